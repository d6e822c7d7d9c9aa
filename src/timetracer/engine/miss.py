"""The report of a call that no recorded event answers: what was asked, what comes nearest, what to do."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from timetracer.cassette.model import Event
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
) -> ReplayError:
    """Makes the error for a miss: it names the call, the fields compared, the nearest event and how to go on."""
    call = f"{plugin.name} {request.method} {_short(request.target)}"
    if matcher is None or cassette is None:
        return NoMatch(
            f"no cassette for this call: {call}\n  {_hint_without_cassette(cassette)}\n  {rerecord}",
            reason="no cassette",
            call=call,
        )
    lines = [f"  compared: {_short(_fields(request, fields, body))}"]
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
        nearest = _nearest(plugin, request, fields, matcher, text)
        if nearest is None:
            lines.append(f"  nearest:  none, the cassette holds no {plugin.name} call that is left")
        else:
            lines.append(f"  nearest:  event {nearest.eid}: {nearest.signature.method} {_short(nearest.signature.url)}")
            details = {"nearest": nearest.eid, "differences": differences(nearest, request, fields, body)}
            lines += [f"  differs:  {line}" for line in details["differences"]]
    lines += [f"  cassette: {cassette}", f"  {rerecord}"]
    return error("\n".join([head, *lines]), reason=reason, call=call, cassette=cassette, **details)


def _hint_without_cassette(cassette: str | None) -> str:
    return (
        f"looked in: {cassette}"
        if cassette
        else "this code runs outside any replayed request, and no process cassette answers it"
    )


def _fields(request: Request, fields: dict[str, Any], body: bytes) -> str:
    shown: dict[str, Any] = {"method": request.method, "target": request.target, **fields}
    if body:
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


def differences(event: Event, request: Request, fields: dict[str, Any], body: bytes) -> list[str]:
    """Returns a line for each compared field in which a recorded event and a live call differ."""
    signature = event.signature
    pairs: list[tuple[str, Any, Any]] = [
        ("type", event.type, request.type),
        ("method", signature.method, request.method),
        ("target", signature.url, request.target),
    ]
    pairs += [(name, signature.fields.get(name), fields.get(name)) for name in sorted({*signature.fields, *fields})]
    lines = [f"{name}: recorded {_short(repr(a))}, asked {_short(repr(b))}" for name, a, b in pairs if a != b]
    sent = event.request.body
    recorded = b"" if sent is None else b"".join(sent.raw or [])
    if recorded != body:
        lines.append(f"body: recorded {_short(repr(recorded))}, asked {_short(repr(body))}")
    return lines or ["only in order or number: see `timetracer show`"]


def _short(text: str) -> str:
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
