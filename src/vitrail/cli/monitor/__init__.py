"""`vitrail monitor`: run, fit, evidence, check, merge, status, acknowledge, report."""

import vitrail.cli.monitor.compare
import vitrail.cli.monitor.run  # noqa: F401 – these add their commands to the group
