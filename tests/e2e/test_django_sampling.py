"""Which requests are recorded: by our own rate, errors, paths; which spans are exported: by OpenTelemetry's sampler."""

from __future__ import annotations

import random

import pytest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from tests.e2e.serving import Asked
from tests.e2e.shopping import GUNICORN, PLAIN_GUNICORN, RUNSERVER, Shop
from tests.e2e.test_collector import SERVER, exporting
from tests.services import Collector
from timetracer.config import TraceConfig

PATHS = ["/orders/1/", "/fail/?n=1", "/api/orders/1/", "/stock/a/"]


def traced(path: str, trace_id: int) -> Asked:
    """Returns a question from a caller that has a trace of its own."""
    return Asked("GET", path, headers={"traceparent": f"00-{trace_id:032x}-00f067aa0ba902b7-01"})


@pytest.mark.parametrize("ours", ["1.0", "0.5", "0.0"])
@pytest.mark.parametrize("sampler", [("always_off", 0.0), ("traceidratio", 0.5)], ids=lambda sampler: sampler[0])
def test_recording_and_exporting_are_sampled_each_for_itself(
    ours: str, sampler: tuple[str, float], shop: Shop, collector: Collector
) -> None:
    """Cassettes hold the traces of our rate with all their spans; the collector gets those of OTel's, and no other."""
    ids = [random.Random(number).getrandbits(128) for number in range(12)]
    recorded = {f"{i:032x}" for i in ids if TraceConfig.create(sample_rate=ours).should_sample(i)}
    exported = {f"{i:032x}" for i in ids if i & ((1 << 64) - 1) < TraceIdRatioBased.get_bound_for_rate(sampler[1])}
    name = f"sampled-{shop.port}"
    more = exporting(collector, name) | {"OTEL_TRACES_SAMPLER": sampler[0], "OTEL_TRACES_SAMPLER_ARG": str(sampler[1])}
    asked = [traced("/orders/1/", i) for i in ids]
    answers = shop.run("record", GUNICORN, asked, TIMETRACER_SAMPLE_RATE=ours, **more)
    assert {answer.status for answer in answers} == {200}
    cassettes = shop.recorded()
    assert {cassette.trace.trace_id for cassette in cassettes} == recorded
    for cassette in cassettes:
        kinds = sorted(span.kind for span in cassette.spans)
        assert kinds.count("SERVER") == 1
        assert kinds.count("CLIENT") >= 2
        assert len(cassette.events) >= 3
    roots = [span for span in collector.spans(name) if span["kind"] == SERVER and span.get("parentSpanId")]
    assert {span["traceId"] for span in roots} == exported


@pytest.mark.parametrize("command", [pytest.param(GUNICORN, id="spans"), pytest.param(RUNSERVER, id="runserver")])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"TIMETRACER_ERRORS_ONLY": "true"}, ["/fail/?n=1"]),
        ({"TIMETRACER_INCLUDE_PATHS": "/api/*,/stock"}, ["/api/orders/1/", "/stock/a/"]),
        ({"TIMETRACER_EXCLUDE_PATHS": "/orders/*,/fail/"}, ["/api/orders/1/", "/stock/a/"]),
        ({"TIMETRACER_EXCLUDE_PATHS": "/api/*,/stock", "TIMETRACER_ERRORS_ONLY": "1"}, ["/fail/?n=1"]),
    ],
    ids=["errors", "include", "exclude", "all"],
)  # fmt: skip
def test_only_what_is_wanted_is_recorded(
    settings: dict[str, str], expected: list[str], command: list[str], shop: Shop
) -> None:
    """Errors only, included and excluded paths: what is left out leaves no cassette."""
    more = settings | ({"OTEL_SDK_DISABLED": "true"} if command == RUNSERVER else {})
    shop.run("record", command, [Asked("GET", path) for path in PATHS], **more)
    assert shop.targets() == expected


def test_the_middleware_alone_is_sampled_too(shop: Shop) -> None:
    """Without launcher and spans, the rate goes by the caller's trace id."""
    ids = [random.Random(number).getrandbits(128) for number in range(12)]
    asked = [traced("/orders/1/", i) for i in ids]
    shop.run("record", PLAIN_GUNICORN, asked, SHOP_MIDDLEWARE="1", TIMETRACER_SAMPLE_RATE="0.5")
    expected = {f"{i:032x}" for i in ids if TraceConfig.create(sample_rate=0.5).should_sample(i)}
    assert {cassette.trace.trace_id for cassette in shop.recorded()} == expected
