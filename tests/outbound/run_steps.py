"""Runs one library's steps in a process of its own and writes down what the app saw: the suite starts it.

    python -m tests.outbound.run_steps STEPS_MODULE record|replay|live CASSETTE OUTCOME [--instrumentors NAME,...]
        [--instrument before|after] [--only STEP,...]

Replaying, an audit hook refuses and notes every connection and name lookup (loopback unix sockets of a stand-in peer
aside). The outcome is JSON: each step with its value or error and its tree of spans.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._importlib_metadata import entry_points

from timetracer.errors import ReplayError

ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
VOLATILE = {
    "exception.stacktrace",
    "gen_ai.response.time_to_first_chunk",
    "net.sock.peer.port",
    "network.peer.port",
    "thread.id",
    "url.template",
}


def plain(value: Any) -> Any:
    """Turns what a step returned into JSON that tells types apart; memory addresses are taken out."""
    if value is None or isinstance(value, bool | int):
        return value if type(value) in (bool, int, type(None)) else {"type": _name(value), "int": int(value)}
    if type(value) is str:
        return ADDRESS.sub("0x", value)
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, bytes | bytearray):
        return {"type": _name(value), "bytes": bytes(value).decode("latin-1")}
    if isinstance(value, BaseException):
        return error(value)
    if type(value) in (list, tuple):
        return (
            {"type": _name(value), "items": [plain(each) for each in value]}
            if type(value) is tuple
            else [plain(each) for each in value]
        )
    if type(value) is dict:
        if all(type(key) is str for key in value):
            return {"dict": {key: plain(each) for key, each in value.items()}}
        return {"pairs": [[plain(key), plain(each)] for key, each in value.items()]}
    return {"type": _name(value), "repr": ADDRESS.sub("0x", repr(value))}


def error(raised: BaseException) -> dict[str, Any]:
    """Describes an exception by class, args, text, cause and context."""
    seen: dict[str, Any] = {"raised": _name(raised), "args": [plain(each) for each in raised.args]}
    seen["text"] = ADDRESS.sub("0x", str(raised))
    if raised.__cause__ is not None:
        seen["cause"] = error(raised.__cause__)
    elif raised.__context__ is not None and not raised.__suppress_context__:
        seen["context"] = error(raised.__context__)
    return seen


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def tree(spans: list[ReadableSpan], parent: ReadableSpan) -> list[dict[str, Any]]:
    """Returns the spans beneath one span, in the order they began, without what differs in every run."""
    assert parent.context is not None
    children = [each for each in spans if each.parent is not None and each.parent.span_id == parent.context.span_id]
    return [
        {
            "name": span.name,
            "kind": span.kind.name,
            "status": [span.status.status_code.name, ADDRESS.sub("0x", span.status.description or "")],
            "attributes": {k: plain(v) for k, v in (span.attributes or {}).items() if _compared(k)},
            "events": [
                [event.name, {k: plain(v) for k, v in (event.attributes or {}).items() if _compared(k)}]
                for event in span.events
            ],
            "spans": tree(spans, span),
        }
        for span in sorted(children, key=lambda each: each.start_time or 0)
    ]


def _compared(attribute: str) -> bool:
    return attribute not in VOLATILE and not attribute.startswith("timetracer.")


def run(step: Any) -> dict[str, Any]:
    """Runs one step; what it raises is its outcome."""
    try:
        value = asyncio.run(step()) if inspect.iscoroutinefunction(step) else step()
        return {"value": plain(value)}
    except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - an exception is an outcome
        return {"error": error(raised), "traceback": traceback.format_exc()}


def trap() -> list[str]:
    """Refuses every connection and lookup from here on, and notes who asked."""
    asked: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event not in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
            return
        if event == "socket.connect" and isinstance(args[1], str | bytes):
            return  # a unix socket: a stand-in peer inside this process
        asked.append(f"{event} {args[-1] if event == 'socket.connect' else args[0]!r}")
        raise RuntimeError(f"trapped: {asked[-1]}")

    sys.addaudithook(hook)
    return asked


@contextmanager
def instrumented(names: list[str]) -> Iterator[None]:
    """Switches OTel's instrumentors on, by their entry point names."""
    found = {each.name: each for each in entry_points(group="opentelemetry_instrumentor")}
    made = [found[name].load()() for name in names]
    for each in made:
        each.instrument()
    try:
        yield
    finally:
        for each in made:
            each.uninstrument()


def main() -> None:
    """Runs the steps and writes the outcome file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("mode", choices=["record", "replay", "live"])
    parser.add_argument("cassette", type=Path)
    parser.add_argument("outcome", type=Path)
    parser.add_argument("--instrumentors", type=lambda text: [name for name in text.split(",") if name], default=[])
    parser.add_argument("--instrument", choices=["before", "after"], default="after")
    parser.add_argument("--only", type=lambda text: set(text.split(",")) if text else set(), default=set())
    options = parser.parse_args()

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("tests.outbound")

    early = instrumented(options.instrumentors if options.instrument == "before" else [])
    late = instrumented(options.instrumentors if options.instrument == "after" else [])
    trapped: list[str] = []
    outcome: dict[str, Any] = {"steps": {}, "trapped": trapped}
    with early, _misses_in(outcome), _session(options.mode, options.cassette), late:
        steps = importlib.import_module(options.module).steps
        if options.mode == "replay":
            trapped = outcome["trapped"] = trap()
        with tracer.start_as_current_span("root"):
            for name, step in steps:
                if options.only and name not in options.only:
                    continue
                with tracer.start_as_current_span(f"step {name}"):
                    outcome["steps"][name] = run(step)
    spans = list(exporter.get_finished_spans())
    for span in spans:
        if span.name.startswith("step "):
            outcome["steps"][span.name.removeprefix("step ")]["spans"] = tree(spans, span)
    options.outcome.write_text(json.dumps(outcome, indent=1))


@contextmanager
def _misses_in(outcome: dict[str, Any]) -> Iterator[None]:
    """Keeps what a replay raises at its end: a miss that the steps swallowed."""
    try:
        yield
    except ReplayError as missed:
        outcome["missed"] = str(missed)


def _session(mode: str, cassette: Path) -> Any:
    if mode == "live":
        return nullcontext()
    import timetracer

    return timetracer.record(cassette) if mode == "record" else timetracer.replay(cassette)


if __name__ == "__main__":
    main()
