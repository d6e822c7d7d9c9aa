"""The report of a call that no recorded event answers: what was asked, what comes nearest, what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any

from timetracer.cassette import bodies
from timetracer.cassette.model import Body, Event, Result, Sent, Signature
from timetracer.engine.matching import Matcher
from timetracer.errors import Exhausted, NoMatch, ReplayError
from timetracer.plugin import Plugin, Request

_LONGEST = 300


def report(
    plugin: Plugin,
    request: Request,
    fields: dict[str, Any],
    body: bytes,
    *,
    matcher: Matcher | None,
    text: str,
    cassette: str | None,
    rerecord: str,
    hide: Callable[[Sequence[Event]], Sequence[Event]],
) -> ReplayError:
    """Makes the error for a miss: it names the call, the fields compared, the nearest event and how to go on.

    Args:
        hide: takes secrets out of events. An error is printed, logged and put into spans; what was asked and what was
            recorded may both be full of them.
    """
    live = _as_event(plugin, request, fields, body)
    nearest = None if matcher is None or cassette is None else _nearest(plugin, request, fields, matcher, text)
    asked, *others = hide([live] if nearest is None else [live, _with_its_body(nearest)])
    call = f"{plugin.name} {request.method} {_short(asked.signature.url)}"
    if matcher is None or cassette is None:
        return NoMatch(
            f"no cassette for this call: {call}\n  {_hint_without_cassette(cassette)}\n  {rerecord}",
            reason="no cassette",
            call=call,
        )
    lines = [f"  compared: {_short(_fields(asked))}"]
    details: dict[str, Any] = {}
    if matcher.exhausted(text):
        times = len(matcher.index.exact[text])
        head, reason = (
            f"recorded {times} time{'s' * (times > 1)}, and every answer was already given: {call}",
            "already consumed",
        )
        error: type[NoMatch] = Exhausted
    else:
        head, reason, error = f"no recorded call matches: {call}", "no match", NoMatch
        if not others:
            lines.append(f"  nearest:  none, the cassette holds no {plugin.name} call that is left")
        else:
            nearest = others[0]
            lines.append(f"  nearest:  event {nearest.eid}: {nearest.signature.method} {_short(nearest.signature.url)}")
            details = {"nearest": nearest.eid, "differences": differences(nearest, asked)}
            lines += [f"  differs:  {line}" for line in details["differences"]]
    lines += [f"  cassette: {cassette}", f"  {rerecord}"]
    return error("\n".join([head, *lines]), reason=reason, call=call, cassette=cassette, **details)


def _hint_without_cassette(cassette: str | None) -> str:
    return (
        f"looked in: {cassette}"
        if cassette
        else "this code runs outside any replayed request, and no process cassette answers it"
    )


def _as_event(plugin: Plugin, request: Request, fields: dict[str, Any], body: bytes) -> Event:
    signature = Signature(plugin.name, request.method, request.target, fields=fields)
    return Event(-1, request.type, signature, Sent(body=Body(raw=[body])), Result())


def _with_its_body(event: Event) -> Event:
    """Returns the asking half of a recorded event."""
    sent = event.request.body
    raw = [] if sent is None or sent.raw is None else sent.raw
    return Event(event.eid, event.type, event.signature, Sent(body=Body(raw=raw)), Result())


def _body(event: Event) -> bytes:
    sent = event.request.body
    return b"" if sent is None else b"".join(bodies.unpack(sent))


def _fields(asked: Event) -> str:
    signature = asked.signature
    shown: dict[str, Any] = {"method": signature.method, "target": signature.url, **signature.fields}
    if body := _body(asked):
        shown["body"] = body[:_LONGEST].decode("utf-8", "backslashreplace")
    return ", ".join(f"{k}={v!r}" for k, v in shown.items())


def _nearest(plugin: Plugin, request: Request, fields: dict[str, Any], matcher: Matcher, text: str) -> Event | None:
    best: tuple[float, int, Event] | None = None
    asked = f"{request.method} {request.target} {fields}"[:500]
    compare = SequenceMatcher(autojunk=False)
    compare.set_seq2(asked)
    same_library = [e.event for e in matcher.index.entries if e.event.signature.lib == plugin.name]
    left = [e for e in same_library if e.eid not in matcher.used] or same_library
    for event in left[:200]:
        signature = event.signature
        compare.set_seq1(f"{signature.method} {signature.url} {signature.fields}"[:500])
        score = compare.real_quick_ratio() if best and compare.real_quick_ratio() < best[0] else compare.ratio()
        if best is None or score > best[0]:
            best = (score, event.eid, event)
    return None if best is None else best[2]


def differences(event: Event, asked: Event) -> list[str]:
    """Returns a line for each compared field in which a recorded event and a live call differ."""
    signature, live = event.signature, asked.signature
    pairs: list[tuple[str, Any, Any]] = [
        ("type", event.type, asked.type),
        ("method", signature.method, live.method),
        ("target", signature.url, live.url),
    ]
    names = sorted({*signature.fields, *live.fields})
    pairs += [(name, signature.fields.get(name), live.fields.get(name)) for name in names]
    lines = [f"{name}: recorded {_short(repr(a))}, asked {_short(repr(b))}" for name, a, b in pairs if a != b]
    recorded, body = _body(event), _body(asked)
    if recorded != body:
        lines.append(f"body: recorded {_short(repr(recorded))}, asked {_short(repr(body))}")
    return lines or ["only in order or number: see `timetracer show`"]


def _short(text: str) -> str:
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
