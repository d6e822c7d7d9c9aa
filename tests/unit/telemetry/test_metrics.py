"""The counts of the process as OTel metrics."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from timetracer.engine.measures import Measures
from timetracer.telemetry import metrics

NAMES = {
    "timetracer.bodies.dropped",
    "timetracer.calls.late",
    "timetracer.cassettes",
    "timetracer.cassettes.dropped",
    "timetracer.replay.hits",
    "timetracer.replay.misses",
}


def test_each_count_is_read_when_metrics_are_exported() -> None:
    """What the engine counts is what a collector gets, as a total that only grows."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    measures = Measures()
    metrics.register(provider.get_meter("timetracer"), measures)
    fields = ("cassettes", "dropped_cassettes", "dropped_bodies", "late_calls", "hits", "misses")
    for number, field in enumerate(fields):
        setattr(measures, field, number + 1)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    found = {m.name: m.data for each in data.resource_metrics for scope in each.scope_metrics for m in scope.metrics}
    assert set(found) == NAMES
    assert found["timetracer.cassettes"].data_points[0].value == 1
    assert sorted(point.value for counter in found.values() for point in counter.data_points) == [1, 2, 3, 4, 5, 6]
    assert all(counter.is_monotonic for counter in found.values())


def test_they_are_installed_once() -> None:
    """A second start adds no second set of counters, which would count double."""
    metrics.install_metrics()
    before = metrics.install_metrics.cache_info().misses
    metrics.install_metrics()
    assert metrics.install_metrics.cache_info().misses == before == 1
