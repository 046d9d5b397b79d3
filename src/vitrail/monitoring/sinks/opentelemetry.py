"""Spans and metrics by OpenTelemetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitrail.errors import UsageError
from vitrail.monitoring.observation import Observation
from vitrail.monitoring.sinks.base import Notice, Watched, needed

#: A span names so many concepts at most: the strongest.
STRONGEST = 5
_SCOPE = "vitrail.monitoring"


class ToOpenTelemetry:
    """Gives each observation as a span, `vitrail.word`, and its numbers as metrics.

    A span has the word, its form, the layer, the novelty, the strongest concepts with their strengths, the sample's id
    and the tags, never the caption. If a tag is named `traceparent` (W3C; `opentelemetry.propagate.inject` writes it),
    the span belongs to that trace: give the request's to `about(tags=…)`.

    Args:
        address: "global" for the providers that the service has set up; or the address of a collector that takes OTLP
            over HTTP, such as `http://localhost:4318`: its histograms are exponential.
        tracers: a `TracerProvider` in place of the global one.
        meters: a `MeterProvider` in place of the global one; see `exponential`.

    Raises:
        UsageError: no such address, or OpenTelemetry is not installed.
    """

    def __init__(self, address: str = "global", *, tracers: Any = None, meters: Any = None) -> None:
        trace, metrics, contexts = (_library(name) for name in ("trace", "metrics", "context"))
        self._owned: tuple[Any, ...] = ()
        if address != "global":
            self._owned = tracers, meters = _exporting(address)
        meter = metrics.get_meter(_SCOPE, meter_provider=meters)
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracers)
        self._propagator, self._alone = _library("trace.propagation.tracecontext"), contexts.Context()
        self._count = meter.create_counter("vitrail.observations", unit="{answer}", description="Said words")
        self._active = meter.create_counter("vitrail.concept.active", unit="{answer}", description="Active concepts")
        self._strength = meter.create_histogram("vitrail.concept.strength", description="In typical strengths")
        self._novelty = meter.create_histogram("vitrail.novelty", description="What known concepts leave of the state")
        self._alarms = meter.create_counter("vitrail.alarms", unit="{alarm}", description="By what moved first")
        self._names: dict[tuple[str, str], tuple[str, ...]] = {}

    def begin(self, watched: Sequence[Watched]) -> None:
        """Keeps the names of the concepts."""
        self._names |= {(one.word, str(one.layer)): one.names for one in watched}

    def write(self, observations: Sequence[Observation]) -> None:
        """Records them."""
        for one in observations:
            of_word = {"vitrail.word": one.word, "vitrail.layer": str(one.layer)}
            names = self._names.get((one.word, str(one.layer)), ("",) * len(one.strengths))
            self._span(one, of_word, names)
            self._count.add(1, {**of_word, "vitrail.ordinary": one.ordinary})
            if not one.ordinary:
                continue
            self._novelty.record(one.error, of_word)
            for k, strength in enumerate(one.strengths):
                labels = {**of_word, "vitrail.concept": k, "vitrail.concept.name": names[k]}
                self._strength.record(abs(strength), labels)  # exponential histograms take no negative numbers
                if strength != 0:
                    self._active.add(1, labels)

    def _span(self, one: Observation, of_word: dict[str, str], names: Sequence[str]) -> None:
        active = [k for k, strength in enumerate(one.strengths) if strength != 0 and one.ordinary]
        active = sorted(active, key=lambda k: -abs(one.strengths[k]))[:STRONGEST]
        attributes: dict[str, Any] = {
            **of_word,
            "vitrail.form": one.form,
            "vitrail.ordinary": one.ordinary,
            "vitrail.novelty": one.error,
            "vitrail.concepts": active,
            "vitrail.concepts.names": [names[k] for k in active],
            "vitrail.concepts.strengths": [one.strengths[k] for k in active],
            **({} if one.sample is None else {"vitrail.sample": one.sample}),
            **({} if one.evidence is None else {"vitrail.evidence": one.evidence}),
            **{f"vitrail.tag.{name}": value for name, value in one.tags.items() if name != "traceparent"},
        }
        at = round(one.time * 1e9)
        span = self._tracer.start_span("vitrail.word", self._trace_of(one), attributes=attributes, start_time=at)
        span.end(at)

    def _trace_of(self, one: Observation) -> Any:
        """The trace that an observation belongs to: that of its tags, or a new one."""
        return self._propagator.TraceContextTextMapPropagator().extract(dict(one.tags), context=self._alone)

    def alarm(self, notice: Notice) -> None:
        """Counts it, and records it as a span, `vitrail.alarm`, without the words that it names."""
        labels: dict[str, Any] = {
            "vitrail.word": notice.word,
            "vitrail.layer": str(notice.layer),
            "vitrail.stream": notice.stream,
        }
        self._alarms.add(1, labels)
        at = round(notice.time * 1e9)
        concept = {} if notice.concept is None else {"vitrail.concept": notice.concept}
        self._tracer.start_span("vitrail.alarm", attributes={**labels, **concept}, start_time=at).end(at)

    def flush(self) -> None:
        """Sends what waits, where the providers are the sink's own."""
        for provider in self._owned:
            provider.force_flush()

    def close(self) -> None:
        """Ends the sink's own providers."""
        for provider in self._owned:
            provider.shutdown()


def exponential() -> Any:
    """A view for a `MeterProvider`: the histograms of this sink are exponential, so that nobody chooses buckets."""
    views = _library("sdk.metrics.view")
    return views.View(
        meter_name=_SCOPE,
        instrument_type=_library("sdk.metrics").Histogram,
        aggregation=views.ExponentialBucketHistogramAggregation(),
    )


def _exporting(address: str) -> tuple[Any, Any]:
    """Providers of spans and metrics that are sent to a collector."""
    if not address.startswith(("http://", "https://")):
        raise UsageError(f"opentelemetry:{address} is no address: give global, or http://HOST:PORT of a collector.")
    base, exporters = address.rstrip("/"), "exporter.otlp.proto.http"
    spans = _library(f"{exporters}.trace_exporter").OTLPSpanExporter(f"{base}/v1/traces")
    numbers = _library(f"{exporters}.metric_exporter").OTLPMetricExporter(f"{base}/v1/metrics")
    resource = _library("sdk.resources").Resource.create({"service.name": "vitrail"})
    tracers = _library("sdk.trace").TracerProvider(resource=resource)
    tracers.add_span_processor(_library("sdk.trace.export").BatchSpanProcessor(spans))
    reader = _library("sdk.metrics.export").PeriodicExportingMetricReader(numbers)
    return tracers, _library("sdk.metrics").MeterProvider([reader], resource=resource, views=[exponential()])


def _library(name: str) -> Any:
    return needed(f"opentelemetry.{name}", "opentelemetry")
