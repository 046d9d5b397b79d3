"""`vitrail steer`: make, apply, export, rank, search, evaluate."""

import vitrail.cli.steer.apply
import vitrail.cli.steer.make
import vitrail.cli.steer.measure  # noqa: F401 – these add their commands to the group
