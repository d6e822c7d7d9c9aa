"""Compares the calls and spans of a replay with the recorded ones: which were changed, missing or extra, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from timetracer.cassette.model import Cassette, Event, Match, Span
from timetracer.runner.findings import Call, Difference, Kind, Line

_STATEMENTS = ("sql", "statement", "query", "command")
_LONGEST = 160


def differences(recorded: Cassette, outcome: Cassette) -> list[Call]:
    """Returns the calls that were not made as recorded, in the order in which that came about."""
    events = {event.eid: event for event in recorded.events}
    used = {match.eid for match in outcome.replay if match.eid is not None}
    unused = {eid: event for eid, event in events.items() if eid not in used}
    now = paths(outcome.spans)
    found = []
    for miss in (match for match in outcome.replay if match.eid is None and match.reason is not None):
        nearest = unused.pop(miss.nearest, None) if miss.nearest is not None else None
        found.append(_missed(miss, nearest, now))
    stopped = min((call.eid for call in found if call.eid is not None), default=None) if found else None
    then = paths(recorded.spans)
    for event in (event for event in unused.values() if not event.optional):
        after_a_miss = bool(found) and (stopped is None or event.eid > stopped)
        kind: Kind = "unreached" if after_a_miss else "missing"
        found.append(Call(kind, name_of(event), event.eid, span=then.get(event.span_id or "", "")))
    return found


def _missed(miss: Match, nearest: Event | None, now: Mapping[str, str]) -> Call:
    span = now.get(miss.span_id or "", "")
    if nearest is None:
        near = [f"nearest: event {miss.nearest}, which was asked as well"] if miss.nearest is not None else []
        return Call("extra", miss.url, span=span, reason=miss.reason, differences=[*near, *miss.differences])
    return Call("changed", name_of(nearest), nearest.eid, span=span, reason=miss.reason, differences=miss.differences)


def name_of(event: Event) -> str:
    """Returns how reports call an event: library, method, target, and a statement where there is one."""
    asked = event.signature
    statement = next((value for key in _STATEMENTS if isinstance(value := asked.fields.get(key), str)), "")
    text = " ".join(f"{asked.lib} {asked.method} {asked.url} {statement}".split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


# ------------------------------------------------------------------------------------------------ spans


def paths(spans: Iterable[Span]) -> dict[str, str]:
    """Returns, by span id, the names of the spans around it, outermost first."""
    known = {span.span_id: span for span in spans}
    found: dict[str, str] = {}
    for span in known.values():
        names, at = [span.name], span
        seen = {span.span_id}
        while at.parent_id in known and at.parent_id not in seen:
            at = known[at.parent_id]
            seen.add(at.span_id)
            names.append(at.name)
        found[span.span_id] = " > ".join(reversed(names))
    return found


def span_differences(recorded: Cassette, outcome: Cassette) -> list[Difference]:
    """Returns the spans that are in one tree only; nothing where one side was not traced."""
    if not recorded.spans or not outcome.spans:
        return []
    then, now = (Counter(paths(side.spans).values()) for side in (recorded, outcome))
    found = []
    for path in dict.fromkeys((*then, *now)):
        if then[path] != now[path]:
            found.append(Difference(f"span {path}", _times(then[path]), _times(now[path])))
    return found


def _times(count: int) -> str | None:
    return None if count == 0 else "once" if count == 1 else f"{count} times"


def tree(recorded: Cassette, calls: list[Call]) -> list[Line]:
    """Returns the recorded span tree with every call in its place, and those that were not recorded where they came."""
    known = {span.span_id for span in recorded.spans}
    where = paths(recorded.spans)
    children: dict[str, list[Span]] = {}
    for span in sorted(recorded.spans, key=lambda span: span.start_offset_ms):
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else ""
        children.setdefault(parent or "", []).append(span)
    events: dict[str, list[Event]] = {}
    for event in recorded.events:
        events.setdefault(event.span_id if event.span_id in known else "", []).append(event)
    kinds = {call.eid: call.kind for call in calls if call.eid is not None}
    extra = [call for call in calls if call.eid is None]
    lines: list[Line] = []

    def add(span_id: str, depth: int) -> None:
        for event in events.get(span_id, ()):
            lines.append(Line(depth, name_of(event), kinds.get(event.eid, "matched")))
        for call in [call for call in extra if span_id and call.span == where[span_id]]:
            extra.remove(call)
            lines.append(Line(depth, call.name, call.kind))
        for span in children.pop(span_id, ()):  # popped: spans in a circle end
            lines.append(Line(depth, span.name))
            add(span.span_id, depth + 1)

    add("", 0)
    # An extra call has a span of its own that no recording knows: it goes to the end.
    return [*lines, *(Line(0, call.name, call.kind) for call in extra)]
