"""`vitrail monitor`: run."""

import vitrail.cli.monitor.run  # noqa: F401 – these add their commands to the group
