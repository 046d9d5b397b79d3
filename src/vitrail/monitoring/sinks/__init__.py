"""Where observations go: one file per kind, and one line of the registry.

base.py           what a sink is, and a function as one
files.py          JSON lines, and Parquet files of limited size
prometheus.py     metrics that Prometheus scrapes
opentelemetry.py  spans and metrics by OpenTelemetry
tensorboard.py    curves and histograms in TensorBoard
named.py          sinks by their names: `jsonl:FILE`
"""

from vitrail.monitoring.sinks.base import Announces, Notice, Sink, Telemetry, ToFunction, Watched
from vitrail.monitoring.sinks.files import read_observations
from vitrail.monitoring.sinks.named import SINKS, as_sinks
from vitrail.monitoring.sinks.opentelemetry import ToOpenTelemetry
from vitrail.monitoring.sinks.prometheus import ToPrometheus
from vitrail.monitoring.sinks.tensorboard import ToTensorBoard

__all__ = [
    "SINKS",
    "Announces",
    "Notice",
    "Sink",
    "Telemetry",
    "ToFunction",
    "ToOpenTelemetry",
    "ToPrometheus",
    "ToTensorBoard",
    "Watched",
    "as_sinks",
    "read_observations",
]
