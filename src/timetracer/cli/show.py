"""`timetracer show`: one cassette for the eyes, the inbound call first, then its events beneath their spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from timetracer.cassette import bodies, store
from timetracer.cassette.model import Cassette, Event, Inbound, Result, Sent, Span, data_of
from timetracer.cli import cassettes, payloads, terminal
from timetracer.cli.options import json_option
from timetracer.config import TraceConfig
from timetracer.errors import CassetteNotFound

_STATEMENTS = ("sql", "statement")  # fields that the event's own line shows


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--event", "number", type=int, help="Show this event alone, in full.")
@json_option
@click.pass_obj
def command(settings: Any, file: Path | None, number: int | None, as_json: bool) -> None:
    """Show what the cassette FILE holds, or the newest cassette of a folder.

    Without FILE: the newest of TIMETRACER_CASSETTE_DIR.
    """
    config = cassettes.configuration(settings)
    path = _newest(file, config)
    cassette = cassettes.read(path, config, side_files=number is not None)
    event = _event(cassette, number) if number is not None else None
    if as_json:
        terminal.print_json(_data(path, cassette, event))
        return
    out = terminal.console()
    if event is not None:
        _print_event(out, event)
    else:
        _print_cassette(out, path, cassette)


def _newest(file: Path | None, config: TraceConfig) -> Path:
    where = file or Path(config.cassette_dir)
    if where.is_file():
        return where
    found = store.find_cassettes(where)
    if not found:
        raise CassetteNotFound(f"there is no cassette in {where}")
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def _event(cassette: Cassette, number: int) -> Event:
    for event in cassette.events:
        if event.eid == number:
            return event
    last = max((event.eid for event in cassette.events), default=None)
    there = "it has no events" if last is None else f"its events are 0 to {last}"
    raise click.BadParameter(f"there is no event {number}: {there}", param_hint="--event")


def _data(path: Path, cassette: Cassette, event: Event | None) -> Any:
    for body in bodies.each(cassette):
        body.raw = None
    if event is not None:
        return {"file": str(path), "event": data_of(event)}
    return {"file": str(path), **data_of(cassette)}


# ------------------------------------------------------------------------------------------------ the whole cassette


def _print_cassette(out: Console, path: Path, cassette: Cassette) -> None:
    trace = cassette.trace
    failed = trace.status == "error"
    out.print(_headline(cassette.inbound, failed, trace.duration_ms), soft_wrap=True)
    when = trace.start[:19].replace("T", " ")
    about = [trace.service, trace.environment, when, f"trace {trace.trace_id}", trace.recorder]
    out.print(terminal.styled(" · ".join(part for part in about if part), "dim"), soft_wrap=True)
    out.print(terminal.styled(f"{path} ({terminal.size(cassettes.size_of(path, cassette))})", "dim"), soft_wrap=True)
    if cassette.inbound is not None:
        _print_inbound(out, cassette.inbound)
    out.print()
    out.print(_tree(cassette), soft_wrap=not out.is_terminal)
    if cassette.inbound is not None and cassette.inbound.traceback:
        out.print()
        out.print(Text(terminal.safe(cassette.inbound.traceback.rstrip(), lines=True), style="red"), soft_wrap=True)


def _headline(inbound: Inbound | None, failed: bool, duration_ms: float | None) -> Text:
    status = inbound.result.status if inbound is not None else None
    line = Text()
    if inbound is None:
        line.append("calls of a process, a script or a test", style="bold")
    else:
        line.append_text(terminal.styled(f"{inbound.method} {inbound.target}", "bold"))
        if inbound.route and inbound.route != inbound.target:
            line.append_text(terminal.styled(f"  ({inbound.route})", "dim"))
    outcome = str(status) if status is not None else "failed" if failed else "ok"
    line.append(f"  {outcome}", style="red" if failed else "green")
    return line.append(f"  {terminal.milliseconds(duration_ms)}")


def _print_inbound(out: Console, inbound: Inbound) -> None:
    width = out.width if out.is_terminal else 160
    for name, holder in (("request", inbound.request), ("answer", inbound.result)):
        lines = payloads.parts(holder, lines=12, width=width)
        if lines:
            out.print()
            out.print(Text(name, style="bold cyan"))
            for line in lines:
                out.print(Text("  ").append_text(line), soft_wrap=True)
    if inbound.incomplete:
        out.print(terminal.styled(f"incomplete: {inbound.incomplete}", "yellow"), soft_wrap=True)


def _tree(cassette: Cassette) -> Tree:
    """Hangs spans beneath their parents and events beneath their spans; what has no place stands at the top."""
    known = {span.span_id for span in cassette.spans}
    children: dict[str, list[Span]] = {}
    calls: dict[str, list[Event]] = {}
    for span in sorted(cassette.spans, key=lambda span: span.start_offset_ms):
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else ""
        children.setdefault(parent or "", []).append(span)
    for event in cassette.events:
        where = event.span_id if event.span_id is not None and event.span_id in known else ""
        calls.setdefault(where, []).append(event)
    tree = Tree(terminal.styled(f"{len(cassette.events)} events, {len(cassette.spans)} spans", "bold"))
    waiting: list[tuple[Tree, str]] = [(tree, "")]
    placed: set[str] = set()
    while waiting:
        node, name = waiting.pop(0)
        for event in calls.pop(name, []):
            _add_event(node, event)
        for span in children.get(name, []):
            if span.span_id not in placed:
                placed.add(span.span_id)
                beneath = node if _is_its_event(span, children, calls) else node.add(_span_line(span))
                waiting.append((beneath, span.span_id))
    for event in [event for rest in calls.values() for event in rest]:  # spans in a circle: a broken cassette
        _add_event(tree, event)
    return tree


def _is_its_event(span: Span, children: dict[str, list[Span]], calls: dict[str, list[Event]]) -> bool:
    """Whether a span says nothing that its one event does not say."""
    return span.kind == "CLIENT" and len(calls.get(span.span_id, ())) == 1 and span.span_id not in children


def _span_line(span: Span) -> Text:
    line = Text()
    line.append_text(terminal.styled(span.name, "bold"))
    line.append_text(terminal.styled(f"  {span.kind.lower()}", "dim"))
    line.append(f"  {terminal.milliseconds(span.duration_ms)}")
    if span.status == "ERROR":
        line.append_text(terminal.styled(f"  error {span.status_message or ''}".rstrip(), "red"))
    return line


def _add_event(node: Tree, event: Event) -> None:
    branch = node.add(event_line(event))
    asked = payloads.brief(event.request)
    if not event.type.startswith("http."):
        said = {name: value for name, value in event.signature.fields.items() if name not in _STATEMENTS}
        asked = payloads.brief_fields(said) + asked
    for label, lines in (("→", asked), ("←", payloads.brief(event.result))):
        for line in lines:
            branch.add(Text(f"{label} ", style="dim").append_text(line))


def event_line(event: Event) -> Text:
    """Returns one event on one line."""
    asked = event.signature
    line = Text()
    line.append_text(terminal.styled(f"#{event.eid} ", "dim"))
    line.append_text(terminal.styled(f"{asked.lib} ", "cyan"))
    line.append_text(terminal.styled(asked.method, "bold"))
    line.append_text(terminal.styled(f" {terminal.shortened(asked.url, 120)}"))
    statement = next((asked.fields[name] for name in _STATEMENTS if name in asked.fields), None)
    if isinstance(statement, str):
        line.append_text(terminal.styled(f" {terminal.shortened(' '.join(statement.split()), 100)}", "italic"))
    line.append_text(_outcome(event.result))
    line.append(f"  {terminal.milliseconds(event.duration_ms)}")
    if event.incomplete:
        line.append_text(terminal.styled(f"  incomplete: {event.incomplete}", "yellow"))
    return line


def _outcome(result: Result) -> Text:
    if result.cancelled:
        return Text("  cancelled", style="yellow")
    if result.error is not None:
        return terminal.styled(f"  {payloads.error_name(result.error)}", "red")
    if result.status is None:
        return Text()
    return Text(f"  {result.status}", style="red" if result.status >= 400 else "green")


# ------------------------------------------------------------------------------------------------ one event


def _print_event(out: Console, event: Event) -> None:
    out.print(event_line(event), soft_wrap=True)
    at = terminal.milliseconds(event.start_offset_ms)
    facts = {"type": event.type, "span": event.span_id, "lane": event.lane, "at": at}
    out.print(terminal.styled(" · ".join(f"{k} {v}" for k, v in facts.items() if v), "dim"), soft_wrap=True)
    parts: tuple[tuple[str, Sent | Result], ...] = (("asked", event.request), ("answered", event.result))
    for name, holder in parts:
        out.print()
        out.print(Text(name, style="bold cyan"))
        if name == "asked" and event.signature.fields:
            for line in payloads.value_lines("fields", event.signature.fields):
                out.print(line, soft_wrap=True)
        for line in payloads.parts(holder, lines=None, width=None):
            out.print(line, soft_wrap=True)
