"""Counters and histograms that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitrail.errors import UsageError
from vitrail.monitoring.observation import Observation
from vitrail.monitoring.sinks.base import Notice, Watched, needed

#: Upper bounds of the histograms: of strengths, where 1 is typical, and of novelty.
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
NOVELTY = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0)
_WORD = ("word", "layer")
_CONCEPT = (*_WORD, "concept", "name")


class ToPrometheus:
    """Serves metrics over HTTP for Prometheus to scrape, at `http://HOST:PORT/metrics`.

    Labels are the word, the layer, the index of a concept and the first word of its title; never a caption, an id or a
    tag.

    Args:
        address: `PORT`, which only this machine can reach, or `HOST:PORT`; "" serves nothing.
        registry: where the metrics belong, such as `prometheus_client.REGISTRY` of a service that serves its own; one
            of the sink's own by default.

    Raises:
        UsageError: the address is none, or is taken; prometheus-client is not installed.
    """

    def __init__(self, address: str = "", registry: Any = None) -> None:
        client = needed("prometheus_client", "prometheus")
        self.registry = registry or client.CollectorRegistry()
        self._names: dict[tuple[str, str], list[tuple[str, str]]] = {}
        counter, histogram = client.Counter, client.Histogram
        self.metrics: dict[str, Any] = {
            "observations": counter("vitrail_observations", "Answers that said the word", _WORD, registry=None),
            "outliers": counter("vitrail_outliers", "Of these, states of attention sinks", _WORD, registry=None),
            "active": counter(
                "vitrail_concept_active", "Answers in which the concept is active", _CONCEPT, registry=None
            ),
            "strength": histogram(
                "vitrail_concept_strength",
                "Activations in multiples of their root mean square over the samples learned from",
                _CONCEPT,
                buckets=STRENGTHS,
                registry=None,
            ),
            "novelty": histogram(
                "vitrail_novelty",
                "How little of the state is made of known concepts",
                _WORD,
                buckets=NOVELTY,
                registry=None,
            ),
            "alarms": counter("vitrail_alarms", "Alarms, by what moved first", (*_WORD, "stream"), registry=None),
        }
        self._server = self._serve(client, address) if address else None
        for metric in self.metrics.values():
            self.registry.register(metric)

    def _serve(self, client: Any, address: str) -> tuple[Any, Any]:
        host, _, port = address.rpartition(":")
        if not port.isdecimal() or int(port) > 65535:
            raise UsageError(f"prometheus:{address} is no address: give a port, or HOST:PORT.")
        try:
            return client.start_http_server(int(port), host or "127.0.0.1", self.registry)
        except OSError as error:
            raise UsageError(f"Cannot serve metrics at {address}: {error.strerror or error}.") from error

    @property
    def port(self) -> int | None:
        """Where the metrics are served; None where they are not."""
        return None if self._server is None else self._server[0].server_port

    def begin(self, watched: Sequence[Watched]) -> None:
        """Makes the series of every concept, so that they start at 0."""
        for one in watched:
            key = (one.word, str(one.layer))
            self._names[key] = [(str(k), name) for k, name in enumerate(one.names)]
            for concept in self._names[key]:
                self.metrics["active"].labels(*key, *concept)
                self.metrics["strength"].labels(*key, *concept)
            for name in ("observations", "outliers", "novelty"):
                self.metrics[name].labels(*key)
            for stream in ("concept", "novelty", "word"):
                self.metrics["alarms"].labels(*key, stream)

    def write(self, observations: Sequence[Observation]) -> None:
        """Counts them; those of attention sinks by their number alone."""
        for one in observations:
            key = (one.word, str(one.layer))
            self.metrics["observations"].labels(*key).inc()
            if not one.ordinary:
                self.metrics["outliers"].labels(*key).inc()
                continue
            self.metrics["novelty"].labels(*key).observe(one.error)
            names = self._names.get(key) or [(str(k), "") for k in range(len(one.strengths))]
            for concept, strength in zip(names, one.strengths, strict=True):
                self.metrics["strength"].labels(*key, *concept).observe(strength)
                if strength != 0:
                    self.metrics["active"].labels(*key, *concept).inc()

    def alarm(self, notice: Notice) -> None:
        """Counts it."""
        self.metrics["alarms"].labels(notice.word, str(notice.layer), notice.stream).inc()

    def flush(self) -> None:
        """Holds nothing back."""

    def close(self) -> None:
        """Serves no longer, and leaves the registry as it was."""
        for metric in self.metrics.values():
            self.registry.unregister(metric)
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
