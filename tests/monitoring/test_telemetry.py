"""What dashboards get: Prometheus, OpenTelemetry, TensorBoard."""

from __future__ import annotations

import json
import math
import re
import socket
import sys
import threading
import urllib.request
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.monitoring.conftest import observations

import vitrail
from vitrail.errors import UsageError
from vitrail.monitoring import Watch
from vitrail.monitoring.sinks import Notice, Telemetry, ToOpenTelemetry, ToPrometheus, ToTensorBoard, Watched, as_sinks

DASHBOARD = Path(__file__).parents[2] / "examples" / "monitoring" / "grafana.json"
NAMES = ("snow", "ball", "white", "black", "mean of “dog”", "no words")
WATCHED = Watched("dog", 8, NAMES)
NOTICE = Notice("dog", 8, 1010.0, "concept", 2, "'dog': concept 2 (white) rises")
SEEN = [*observations(150, 3), replace(observations(1)[0], ordinary=False)]
LABELS = {"word": "dog", "layer": "8"}


def fed(sink: Telemetry) -> Telemetry:
    sink.begin([WATCHED])
    sink.write(SEEN[:100])
    sink.write(SEEN[100:])
    sink.alarm(NOTICE)
    sink.flush()
    return sink


# ---- Prometheus ------------------------------------------------------------------------------------------------------


def scraped(port: int | None) -> dict[tuple[str, frozenset], float]:
    """Every sample of an endpoint, by Prometheus's own parser."""
    from prometheus_client.parser import text_string_to_metric_families

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def prometheus():
    sink = ToPrometheus("0")
    yield sink
    sink.close()


def test_prometheus_scrapes_what_was_observed(prometheus):
    found = scraped(fed(prometheus).port)
    ordinary = SEEN[:150]
    assert found["vitrail_observations_total", frozenset(LABELS.items())] == 151
    assert found["vitrail_outliers_total", frozenset(LABELS.items())] == 1
    assert found["vitrail_novelty_count", frozenset(LABELS.items())] == 150
    assert found["vitrail_novelty_sum", frozenset(LABELS.items())] == pytest.approx(sum(o.error for o in ordinary))
    for k, name in enumerate(NAMES):
        labels = {**LABELS, "concept": str(k), "name": name}
        strengths = [o.strengths[k] for o in ordinary]
        assert found["vitrail_concept_active_total", frozenset(labels.items())] == sum(s > 0 for s in strengths)
        assert found["vitrail_concept_strength_sum", frozenset(labels.items())] == pytest.approx(sum(strengths))
        below = frozenset({**labels, "le": "1.0"}.items())
        assert found["vitrail_concept_strength_bucket", below] == sum(s <= 1 for s in strengths)
    assert found["vitrail_alarms_total", frozenset({**LABELS, "stream": "concept"}.items())] == 1


def test_series_of_all_concepts_are_there_before_the_first_answer(prometheus):
    prometheus.begin([WATCHED])
    found = scraped(prometheus.port)
    assert found["vitrail_alarms_total", frozenset({**LABELS, "stream": "word"}.items())] == 0
    assert sum(name == "vitrail_concept_active_total" for name, _ in found) == len(NAMES)


def test_no_label_holds_a_caption_an_id_or_a_tag(prometheus):
    labels = {value for _, of in scraped(fed(prometheus).port) for _, value in of}
    private = {o.caption for o in SEEN} | {o.sample for o in SEEN} | {"1" + v for o in SEEN for v in o.tags.values()}
    assert not labels & private
    assert labels >= {"dog", "8", *NAMES}


def test_metrics_can_belong_to_the_registry_of_a_service():
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    sink = fed(ToPrometheus(registry=registry))
    assert sink.port is None
    assert b'vitrail_observations_total{layer="8",word="dog"} 151.0' in generate_latest(registry)
    sink.close()
    assert generate_latest(registry) == b""


@pytest.mark.parametrize("address", ["here", "localhost:", "1:2:x", "99999"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(UsageError, match="is no address: give a port, or HOST:PORT"):
        ToPrometheus(address)


def test_a_port_that_is_taken_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=r"Cannot serve metrics at .*in use"):
            as_sinks([f"prometheus:{taken.getsockname()[1]}"])


def test_every_query_of_the_dashboard_asks_for_metrics_and_labels_that_are_exported(prometheus):
    exported: dict[str, set[str]] = {}
    for name, labels in scraped(fed(prometheus).port):
        exported.setdefault(name, set()).update(dict(labels))
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    queries += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    assert len(queries) >= 12
    for query in queries:
        names = re.findall(r"\bvitrail_\w+", query)
        assert names, query
        for name in names:
            assert name in exported, query
            asked = re.findall(r"(\w+)\s*(?:=~|=|!=)", query) + re.findall(r"by \(([^)]*)\)", query)
            for label in (one.strip() for text in asked for one in text.split(",")):
                assert label in exported[name], (query, label)


# ---- OpenTelemetry ---------------------------------------------------------------------------------------------------


@pytest.fixture
def providers():
    """In-memory providers of the SDK: (tracers, meters, spans, what the meter reads)."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from vitrail.monitoring.sinks.opentelemetry import exponential

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader], views=[exponential()])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    yield tracers, meters, exporter, reader
    tracers.shutdown()
    meters.shutdown()


def test_every_observation_is_a_span_with_its_concepts(providers):
    tracers, meters, exporter, _ = providers
    fed(ToOpenTelemetry(tracers=tracers, meters=meters))
    *words, sink, alarm = exporter.get_finished_spans()
    assert [span.name for span in words] == ["vitrail.word"] * 150
    for span, one in zip(words, SEEN, strict=False):
        found = span.attributes
        order = sorted((k for k in range(6) if one.strengths[k] > 0), key=lambda k: -one.strengths[k])[:5]
        assert list(found["vitrail.concepts"]) == order
        assert list(found["vitrail.concepts.names"]) == [NAMES[k] for k in order]
        assert found["vitrail.novelty"] == one.error
        assert found["vitrail.tag.version"] == "1"
        assert span.start_time == span.end_time == round(one.time * 1e9)
        assert one.caption not in found.values()
    assert sink.attributes["vitrail.concepts"] == ()
    assert (alarm.name, alarm.attributes["vitrail.concept"]) == ("vitrail.alarm", 2)
    assert NOTICE.text not in alarm.attributes.values()


def test_a_span_belongs_to_the_trace_of_the_request(providers):
    from opentelemetry import propagate

    tracers, meters, exporter, _ = providers
    sink = ToOpenTelemetry(tracers=tracers, meters=meters)
    carrier: dict[str, str] = {}
    with tracers.get_tracer("a service").start_as_current_span("request") as request:
        propagate.inject(carrier)
    sink.write([replace(SEEN[0], tags=carrier, evidence=0.25), SEEN[1]])
    _, inside, alone = exporter.get_finished_spans()
    assert inside.parent.span_id == request.get_span_context().span_id
    assert inside.context.trace_id == request.get_span_context().trace_id
    assert alone.parent is None
    assert "vitrail.tag.traceparent" not in inside.attributes
    assert (inside.attributes["vitrail.evidence"], alone.attributes.get("vitrail.evidence")) == (0.25, None)


def test_metrics_have_exponential_histograms(providers):
    tracers, meters, _, reader = providers
    fed(ToOpenTelemetry(tracers=tracers, meters=meters))
    (scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
    found = {metric.name: metric.data for metric in scope.metrics}
    assert {type(found[f"vitrail.{n}"]).__name__ for n in ("novelty", "concept.strength")} == {"ExponentialHistogram"}
    points = {p.attributes["vitrail.concept"]: p for p in found["vitrail.concept.strength"].data_points}
    assert len(points) == 6
    assert points[2].sum == pytest.approx(sum(o.strengths[2] for o in SEEN[:150]))
    assert points[2].zero_count == sum(o.strengths[2] == 0 for o in SEEN[:150])
    active = {p.attributes["vitrail.concept"]: p.value for p in found["vitrail.concept.active"].data_points}
    assert active[2] == sum(o.strengths[2] > 0 for o in SEEN[:150])
    assert sum(p.value for p in found["vitrail.observations"].data_points) == 151
    assert [p.value for p in found["vitrail.alarms"].data_points] == [1]


def test_a_collector_gets_spans_and_metrics():
    """A server in place of a collector, which reads the protocol by its own definition."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            got.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Is quiet."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        (sink,) = as_sinks([f"opentelemetry:http://127.0.0.1:{server.server_port}"])
        fed(sink).close()
        server.shutdown()
        thread.join()
    spans = [ExportTraceServiceRequest.FromString(body) for path, body in got if path == "/v1/traces"]
    assert sum(len(s.spans) for r in spans for x in r.resource_spans for s in x.scope_spans) == 152
    numbers = [ExportMetricsServiceRequest.FromString(body) for path, body in got if path == "/v1/metrics"]
    (first, *_) = numbers
    names = {m.name for x in first.resource_metrics for s in x.scope_metrics for m in s.metrics}
    assert names >= {"vitrail.novelty", "vitrail.concept.strength", "vitrail.observations"}


def test_a_collector_needs_an_address():
    with pytest.raises(UsageError, match="give global, or http://HOST:PORT"):
        as_sinks(["opentelemetry:somewhere"])


# ---- TensorBoard -----------------------------------------------------------------------------------------------------


def test_tensorboard_reads_the_curves(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fed(ToTensorBoard(str(tmp_path / "events"))).close()
    found = EventAccumulator(str(tmp_path / "events"), {"histograms": 0}).Reload()
    points = found.Scalars("dog@8/active/2 white")
    assert [p.step for p in points] == [100, 150]
    assert points[0].value == pytest.approx(sum(o.strengths[2] > 0 for o in SEEN[:100]) / 100)
    assert points[1].value == pytest.approx(sum(o.strengths[2] > 0 for o in SEEN[100:150]) / 50)
    novelty = found.Scalars("dog@8/novelty")[0]
    assert novelty.value == pytest.approx(sum(o.error for o in SEEN[:100]) / 100)
    assert novelty.wall_time == SEEN[99].time
    assert found.Histograms("dog@8/strengths/2 white")[0].histogram_value.num == 100
    assert "dog@8/alarms/text_summary" in found.Tags()["tensors"]


# ---- all of them -----------------------------------------------------------------------------------------------------


class Heard:
    """A sink of a dashboard that keeps what it is told."""

    def __init__(self) -> None:
        self.watched: list[Watched] = []
        self.notices: list[Notice] = []
        self.begin = self.watched.extend
        self.alarm = self.notices.append
        self.write = self.flush = self.close = lambda *_: None


def test_a_monitor_says_what_is_watched_and_passes_alarms_on(lmm, dog_study, reference, tmp_path):
    heard, watch = Heard(), Watch(reference, out=tmp_path / "watch")
    with vitrail.monitor(lmm, dog_study, sink=[heard, watch]):
        watch.write(observations(400, 8, snow=0.6))
    (watched,) = heard.watched
    assert (watched.word, watched.layer) == ("dog", dog_study.learned.layer)
    assert list(watched.names) == [title.split(" · ")[0] for title in dog_study.titles]
    (notice,), (alarm,) = heard.notices, watch.alarms
    assert (notice.text, notice.time, notice.stream) == (str(alarm), alarm.time, alarm.moved[0].stream.kind)


@pytest.mark.parametrize(
    ("sink", "module", "extra"),
    [
        ("prometheus:0", "prometheus_client", "prometheus"),
        ("opentelemetry:global", "opentelemetry.trace", "opentelemetry"),
        ("opentelemetry:http://localhost:1", "opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry"),
        ("tensorboard:events", "tensorboard", "tensorboard"),
    ],
)
def test_without_its_library_a_sink_says_what_to_install(monkeypatch, sink, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"pip install 'vitrail\[{extra}\]'"):
        as_sinks([sink])


def test_a_novelty_that_is_no_number_is_passed_over_by_none_of_them(prometheus):
    """States that are not finite are not ordinary: their NaN never enters a sum."""
    prometheus.begin([WATCHED])
    prometheus.write([replace(SEEN[0], error=math.nan, ordinary=False)])
    assert scraped(prometheus.port)["vitrail_novelty_sum", frozenset(LABELS.items())] == 0
