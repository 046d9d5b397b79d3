"""Where observations go: one file per kind, and one line of the registry.

base.py   what a sink is, and a function as one
files.py  JSON lines, and Parquet files of limited size
named.py  sinks by their names: `jsonl:FILE`
"""

from vitrail.monitoring.sinks.base import Sink, ToFunction
from vitrail.monitoring.sinks.files import read_observations
from vitrail.monitoring.sinks.named import SINKS, as_sinks

__all__ = ["SINKS", "Sink", "ToFunction", "as_sinks", "read_observations"]
