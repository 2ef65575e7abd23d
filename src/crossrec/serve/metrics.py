"""What is counted, for Prometheus; one registry per app."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crossrec.serve.bundle import Bundles

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one app; what the engine counts and what HTTP counts."""

    def __init__(self) -> None:
        here = self.registry = CollectorRegistry()
        about = ["path", "method", "status"]
        self.requests = Counter("crossrec_requests", "Answers.", about, registry=here)
        self.seconds = Histogram(
            "crossrec_request_seconds", "Time to answer.", ["path"], buckets=SECONDS, registry=here
        )
        self.found = Counter("crossrec_candidates", "Items of answers, by who found them.", ["channel"], registry=here)
        self.fallbacks = Counter("crossrec_fallbacks", "Answers that were a fallback.", ["kind"], registry=here)
        self.store_errors = Counter("crossrec_store_errors", "Calls that the store did not answer.", registry=here)
        self.taken = Counter(
            "crossrec_events", "Events that came in: new, or known by their id.", ["kind"], registry=here
        )
        self.lost = Counter("crossrec_exposures_lost", "Exposures that the store did not take.", registry=here)
        self.batches = Histogram("crossrec_batch_size", "Requests worked on together.", buckets=SIZES, registry=here)
        about = ["model", "name", "version"]
        self.version = Gauge("crossrec_bundle_info", "The version that is served.", about, registry=here)
        self.loaded = Gauge("crossrec_bundle_loaded_seconds", "When it was loaded.", ["model"], registry=here)
        self.refused = Gauge("crossrec_bundle_refusals", "Versions refused since the start.", ["model"], registry=here)
        self.switched = Gauge("crossrec_bundle_switches", "Switches since the start.", ["model"], registry=here)

    def answered(self, path: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.requests.labels(path, method, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def store_error(self) -> None:
        """The store did not answer."""
        self.store_errors.inc()

    def fallback(self, kind: str) -> None:
        """An answer was a fallback."""
        self.fallbacks.labels(kind).inc()

    def candidates(self, channel: str, count: int) -> None:
        """A channel has given so many of the items of an answer."""
        self.found.labels(channel).inc(count)

    def events(self, new: int, known: int) -> None:
        """Events came in."""
        self.taken.labels("new").inc(new)
        self.taken.labels("known").inc(known)

    def batch(self, size: int) -> None:
        """So many requests were worked on together."""
        self.batches.observe(size)

    def dropped(self, exposures: int) -> None:
        """So many exposures could not be kept."""
        self.lost.inc(exposures)

    def text(self, runs: Mapping[str, Bundles]) -> bytes:
        """Everything as Prometheus reads it."""
        self.version.clear()
        for name, run in runs.items():
            self.version.labels(name, run.now.name, run.now.version).set(1)
            self.loaded.labels(name).set(run.now.loaded)
            self.refused.labels(name).set(run.refusals)
            self.switched.labels(name).set(run.switches)
        return generate_latest(self.registry)
