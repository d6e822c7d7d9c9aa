"""What arrives at a real collector: all spans of both runs, our marks and counts, and payloads only where asked for."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import pytest

from tests.e2e.serving import Asked
from tests.e2e.shopping import GUNICORN, UVICORN, Shop, questions
from tests.server_process import wait_until
from tests.services import Collector

DIFFER = {"net.peer.port", "network.peer.port", "client.port", "thread.id", "thread.name"}
"""Span attributes that are never the same twice."""
SAVEPOINT = re.compile(r"\bs\d+_x\d+\b")
"""Django names savepoints by thread."""
SERVER = 2


def exporting(collector: Collector, service: str) -> dict[str, str]:
    """Returns the environment of a service that sends everything to the collector, soon."""
    return {
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        # Metrics go out at the end: where a server forks while they go out, the SDK keeps its lock locked (1.45).
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",
    }


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Returns the attributes of a span, or of a log record or data point, as a mapping."""
    return {item["key"]: next(iter(item["value"].values()), None) for item in span.get("attributes", ())}


def requests(spans: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Returns the span trees by what was asked, without what is never the same twice.

    A service that calls itself makes the inner request's spans live only: replayed, that call is answered from the
    cassette. The inner ones have a caller, so they are left out.
    """
    children = defaultdict(list)
    for span in spans:
        children[span.get("parentSpanId", "")].append(span)

    def tree(span: dict[str, Any]) -> Any:
        kept = {k: v for k, v in attributes(span).items() if k not in DIFFER and not k.startswith("timetracer.")}
        below = [tree(child) for child in children[span["spanId"]] if child["kind"] != SERVER]
        status = span.get("status", {}).get("code", 0)
        events = [event["name"] for event in span.get("events", ())]
        return (
            span["name"],
            span["kind"],
            SAVEPOINT.sub("a savepoint", json.dumps(kept, sort_keys=True)),
            status,
            events,
            sorted(below),
        )

    found = defaultdict(list)
    for root in children[""]:
        values = attributes(root)
        if root["kind"] == SERVER and "/health/" not in str(values):
            # of WSGI the target has the query, of ASGI only the URL
            found[values.get("http.url") or values["http.target"]].append(tree(root))
    return {asked: sorted(trees) for asked, trees in found.items()}


@pytest.mark.parametrize("command", [pytest.param(GUNICORN, id="gunicorn"), pytest.param(UVICORN, id="uvicorn")])
def test_a_replay_makes_every_span_again(command: list[str], shop: Shop, collector: Collector) -> None:
    """Names, kinds, parents, attributes, status and events of all spans are the same; none holds a payload."""
    asked = questions()
    live_name, again_name = f"live-{shop.port}", f"again-{shop.port}"
    live = shop.run("record", command, asked, **exporting(collector, live_name))
    shop.take_all_away()
    shop.replays_alike(command, asked, live, **exporting(collector, again_name))
    recorded = requests(collector.spans(live_name))
    replayed = requests(collector.spans(again_name))
    assert sum(len(trees) for trees in recorded.values()) == len(asked)
    for question, trees in recorded.items():
        assert replayed.get(question) == trees, f"{question}\n  live:   {trees}\n  replay: {replayed.get(question)}"
    assert len(replayed) == len(recorded)
    kept = json.dumps([*collector.spans(live_name), *collector.spans(again_name)])
    for payload in ("THING-3", "a-boundary-of-our-own", '"lucky"', json.loads(live[0].body)["reference"]):
        assert payload not in kept


def test_roots_bear_our_marks_and_our_counts_arrive(shop: Shop, collector: Collector) -> None:
    """The root span says what was done with it, and metrics say how many cassettes, hits and misses there were."""
    live_name, again_name = f"live-{shop.port}", f"again-{shop.port}"
    asked = [Asked("GET", "/orders/1/"), Asked("GET", "/stock/a/")]
    shop.run("record", GUNICORN, asked, **exporting(collector, live_name))
    shop.take_all_away()
    shop.run("replay", GUNICORN, [*asked, Asked("GET", "/orders/77/")], **exporting(collector, again_name))

    def roots(name: str) -> list[dict[str, Any]]:
        spans = [attributes(span) for span in collector.spans(name) if span["kind"] == SERVER]
        return [span for span in spans if "/health/" not in str(span)]

    assert [root["timetracer.mode"] for root in roots(live_name)] == ["record", "record"]
    assert {root["timetracer.mode"] for root in roots(again_name)} == {"replay"}
    named = [root.get("timetracer.cassette", "") for root in roots(again_name)]
    assert sorted(bool(name) for name in named) == [False, True, True]
    assert sorted(int(root["timetracer.misses"]) > 0 for root in roots(again_name)) == [False, False, True]
    counts = {name: total(collector, name) for name in (live_name, again_name)}
    assert counts[live_name]["timetracer.cassettes"] >= 2
    assert counts[live_name]["timetracer.cassettes.dropped"] == 0
    assert counts[again_name]["timetracer.replay.hits"] >= 4
    assert counts[again_name]["timetracer.replay.misses"] >= 1


def total(collector: Collector, service: str) -> dict[str, int]:
    """Returns our counters by name: the last value of each process, added up."""
    latest: dict[tuple[str, str], int] = {}
    for metric in collector.metrics(service):
        if metric["name"].startswith("timetracer."):
            for point in metric["sum"]["dataPoints"]:
                latest[metric["name"], point["startTimeUnixNano"]] = int(point["asInt"])
    added: dict[str, int] = defaultdict(int)
    for (name, _), value in latest.items():
        added[name] += value
    return added


@pytest.mark.parametrize("asked_for", [True, False])
def test_payloads_arrive_as_log_records_where_asked_for(asked_for: bool, shop: Shop, collector: Collector) -> None:
    """Each exchange is one log record with its trace and span, redacted; without the setting there is none."""
    name = f"payloads-{asked_for}-{shop.port}"
    more = {"TIMETRACER_EXPORT_PAYLOADS": "true"} if asked_for else {}
    question = Asked("POST", "/orders/", b'{"item": "a-lamp"}', {"Authorization": "Bearer very-secret-31415926"})
    (answer,) = shop.run("record", GUNICORN, [question], **exporting(collector, name), **more)
    assert answer.status == 201
    if asked_for:
        wait_until(lambda: bool(collector.logs(name)), 5, "log records")
    logs = [record for record in collector.logs(name) if "timetracer.event.type" in attributes(record)]
    (cassette,) = shop.recorded()
    assert len(logs) == (len(cassette.events) if asked_for else 0)
    assert "very-secret-31415926" not in collector.text()
    if asked_for:
        assert {record["traceId"] for record in logs} == {cassette.trace.trace_id}
        assert {attributes(record)["timetracer.plugin"] for record in logs} == {"sqlite3", "redis", "httpx", "requests"}
        assert "a-lamp" in json.dumps(logs)
