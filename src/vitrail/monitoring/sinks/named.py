"""Sinks by their names: `jsonl:FILE`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vitrail.errors import UsageError
from vitrail.monitoring.sinks.base import Sink, ToFunction
from vitrail.monitoring.sinks.files import ToJsonl, ToParquet
from vitrail.monitoring.sinks.opentelemetry import ToOpenTelemetry
from vitrail.monitoring.sinks.prometheus import ToPrometheus
from vitrail.monitoring.sinks.tensorboard import ToTensorBoard

#: Kind of sink → what makes one from its address. A new kind is one line here.
SINKS: dict[str, Callable[[str], Sink]] = {
    "jsonl": ToJsonl,
    "parquet": ToParquet,
    "prometheus": ToPrometheus,
    "opentelemetry": ToOpenTelemetry,
    "tensorboard": ToTensorBoard,
}


def as_sinks(given: Iterable[Any]) -> list[Sink]:
    """Sinks from what users give: a sink, a function of observations, or a text `KIND:ADDRESS`.

    Raises:
        UsageError: it is none of these; the kinds are named.
    """
    return [_as_sink(one) for one in given]


def _as_sink(given: Any) -> Sink:
    if isinstance(given, Sink):
        return given
    if callable(given):
        return ToFunction(given)
    kind, _, address = str(given).partition(":")
    if kind not in SINKS or not address:
        kinds = ", ".join(f"{name}:ADDRESS" for name in SINKS)
        raise UsageError(f"{given!r} is no sink: give a function, or one of {kinds}.")
    return SINKS[kind](address)
