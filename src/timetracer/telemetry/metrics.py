"""The counts of this process as OTel metrics: what was written, dropped, hit and missed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from timetracer.engine.measures import MEASURES, Measures

_COUNTERS: tuple[tuple[str, str, str, Callable[[Measures], int]], ...] = (
    ("timetracer.cassettes", "{cassette}", "Cassettes written", lambda m: m.cassettes),
    (
        "timetracer.cassettes.dropped",
        "{cassette}",
        "Cassettes lost: the queue was full, or the store failed",
        lambda m: m.dropped_cassettes,
    ),
    ("timetracer.bodies.dropped", "{body}", "Bodies cut short for want of room", lambda m: m.dropped_bodies),
    ("timetracer.calls.late", "{call}", "Calls made after their cassette was closed", lambda m: m.late_calls),
    ("timetracer.replay.hits", "{call}", "Calls answered from a cassette", lambda m: m.hits),
    ("timetracer.replay.misses", "{call}", "Calls that no cassette could answer", lambda m: m.misses),
)


@functools.cache
def install_metrics() -> None:
    """Registers the counters with the global meter provider, once; one that is set later takes them over.

    They are read when metrics are exported and cost nothing in between.
    """
    register(metrics.get_meter("timetracer"), MEASURES)


def register(meter: Meter, measures: Measures) -> None:
    """Makes a counter of each total in `measures`."""
    for name, unit, description, read in _COUNTERS:
        meter.create_observable_counter(name, [_reader(read, measures)], unit=unit, description=description)


def _reader(read: Callable[[Measures], int], measures: Measures) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda options: [Observation(read(measures))]
