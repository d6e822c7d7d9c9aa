"""Cassettes made by hand for the runner's tests."""

from __future__ import annotations

from typing import Any

from timetracer.cassette.model import Body, Cassette, Event, Inbound, Result, Sent, Signature, Span, Trace

ROOT = "00000000000000aa"


def recorded(
    target: str = "/",
    *,
    method: str = "GET",
    sent: bytes = b"",
    sent_headers: tuple[tuple[str, str], ...] = (),
    status: int = 200,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    events: tuple[Event, ...] = (),
    **more: Any,
) -> Cassette:
    """One request and its answer."""
    return Cassette(
        trace=Trace(trace_id="0" * 30 + "bb", root_id=ROOT, start="2026-01-31T12:00:00.000000+00:00", duration_ms=10.0),
        inbound=Inbound(
            type="http.server",
            method=method,
            target=target,
            fields={"scheme": "http"},
            request=Sent(headers=[*sent_headers], body=Body(raw=[sent]) if sent else None),
            result=Result(status=status, headers=[*headers], body=Body(raw=[body])),
        ),
        events=[*events],
        **more,
    )


def event(eid: int, method: str = "GET", url: str = "http://stock/items", **more: Any) -> Event:
    """One call."""
    signature = Signature(lib="httpx", method=method, url=url)
    return Event(eid=eid, type="http.client", signature=signature, request=Sent(), result=Result(status=200), **more)


def span(span_id: str, name: str, parent_id: str | None = None) -> Span:
    """One span."""
    return Span(span_id=span_id, name=name, kind="INTERNAL", parent_id=parent_id)
