"""Compares the answer of a replay with the recorded one: status, headers, and a body as JSON, text or bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from timetracer.cassette import bodies, codings
from timetracer.cassette.model import Inbound
from timetracer.runner.findings import Difference
from timetracer.runner.likeness import Likeness
from timetracer.runner.questions import Answer

VOLATILE = frozenset(
    {
        "age", "alt-svc", "connection", "content-length", "date", "keep-alive", "server", "server-timing",
        "traceparent", "traceresponse", "tracestate", "transfer-encoding", "via",
    }
)  # fmt: skip
"""Headers that servers and tracing add, or that say again how long a body is."""

MOST = 50
"""Differences told of one body."""

_COOKIE_TIMES = ("expires=", "max-age=")
_LONGEST = 200


def differences(inbound: Inbound, answer: Answer, likeness: Likeness) -> list[Difference]:
    """Returns where an answer is not the recorded one."""
    recorded = inbound.result
    status = recorded.status if recorded.status is not None else 500 if recorded.error is not None else None
    replayed = answer.status if answer.status is not None else 500 if answer.error is not None else None
    found = []
    if status is not None and status != replayed:
        raised = f" ({type(answer.error).__name__}: {answer.error})" if answer.error is not None else ""
        found.append(Difference("status", str(status), f"{'none' if replayed is None else replayed}{_short(raised)}"))
    if recorded.status is None or answer.status is None:
        return found  # raised through the application: what a client sees then is its server's
    found += _headers(recorded.headers, answer.headers, likeness, keep_length=inbound.method == "HEAD")
    if recorded.body is not None:
        found += _body(inbound, answer, likeness)
    return found


# ------------------------------------------------------------------------------------------------ headers


def _headers(
    recorded: Sequence[tuple[str, str]], replayed: Sequence[tuple[str, str]], likeness: Likeness, *, keep_length: bool
) -> Iterator[Difference]:
    then, now = (_by_name(headers, likeness, keep_length=keep_length) for headers in (recorded, replayed))
    for name in [*then, *(name for name in now if name not in then)]:
        first, second = then.get(name, []), now.get(name, [])
        if len(first) == len(second) and all(map(likeness.alike, first, second)):
            continue
        where = f"header {name}"
        yield Difference(where, _joined(first), _joined(second))


def _by_name(headers: Sequence[tuple[str, str]], likeness: Likeness, *, keep_length: bool) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        key, value = name.lower(), value.strip()  # Django's WSGI handler has a space before each cookie
        if likeness.ignores_name(name) or (key in VOLATILE and not (keep_length and key == "content-length")):
            continue
        if key == "set-cookie":
            value = "; ".join(part for part in value.split("; ") if not part.lower().startswith(_COOKIE_TIMES))
            if likeness.ignores_name(value.partition("=")[0]):
                continue
        elif key == "location":
            value = _without_ignored(value, likeness)
        elif key == "allow":  # Flask and others keep the methods in a set, whose order differs in each process
            value = ", ".join(sorted(part.strip() for part in value.split(",")))
        found.setdefault(key.title(), []).append(value)
    return found


def _without_ignored(url: str, likeness: Likeness) -> str:
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in query if not likeness.ignores_name(name)]
    return url if kept == query else urlunsplit(parts._replace(query=urlencode(kept)))


def _joined(values: list[str]) -> str | None:
    return _short(", ".join(values)) if values else None


# ------------------------------------------------------------------------------------------------ bodies


def _body(inbound: Inbound, answer: Answer, likeness: Likeness) -> Iterator[Difference]:
    recorded = inbound.result.body
    assert recorded is not None
    if inbound.method == "HEAD":
        return
    then, now = b"".join(bodies.unpack(recorded)), answer.body
    if recorded.end != "complete" or inbound.incomplete:
        now = now[: len(then)]  # as far as it is known
    then, now = decoded(then, inbound.result.headers), decoded(now, answer.headers)
    if then == now:
        return
    first, second = _parsed(then), _parsed(now)
    if first is not _NOT_JSON and second is not _NOT_JSON:
        found = list(_json("$", first, second, likeness))
        yield from found[:MOST]
        if len(found) > MOST:
            yield Difference(f"body: {len(found) - MOST} more differences")
        return
    texts = _text(then), _text(now)
    if texts[0] is None or texts[1] is None:
        yield _bytes(then, now)
    else:
        yield from _lines(texts[0], texts[1], likeness)


def decoded(body: bytes, headers: Sequence[tuple[str, str]]) -> bytes:
    """Returns a body with its content coding taken off, where that is possible."""
    coding = next((value for name, value in headers if name.lower() == "content-encoding"), None)
    return body if coding is None else codings.decoded(body, coding) or body


_NOT_JSON: Any = object()


def _parsed(data: bytes) -> Any:
    if data.lstrip()[:1] not in (b"{", b"["):
        return _NOT_JSON
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return _NOT_JSON


def _json(path: str, then: Any, now: Any, likeness: Likeness) -> Iterator[Difference]:
    """Gives a difference for each path; a field's name may be ignored anywhere, a path where it leads."""
    if likeness.ignores_path(path):
        return
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            inner = f"{path}.{key}" if key.isidentifier() else f"{path}[{_shown(key)}]"
            if likeness.ignores_name(key) or likeness.ignores_path(inner):
                continue
            if key not in now or key not in then:
                sides = (_shown(then[key]), None) if key in then else (None, _shown(now[key]))
                yield Difference(f"body {inner}", *sides)
            else:
                yield from _json(inner, then[key], now[key], likeness)
    elif isinstance(then, list) and isinstance(now, list):
        for n in range(max(len(then), len(now))):
            inner = f"{path}[{n}]"
            if n < len(then) and n < len(now):
                yield from _json(inner, then[n], now[n], likeness)
            elif not likeness.ignores_path(inner):
                sides = (_shown(then[n]), None) if n < len(then) else (None, _shown(now[n]))
                yield Difference(f"body {inner}", *sides)
    elif (isinstance(then, str) and isinstance(now, str)) or (isinstance(then, float) and isinstance(now, float)):
        if not likeness.alike(str(then), str(now)):
            yield Difference(f"body {path}", _shown(then), _shown(now))
    elif type(then) is not type(now) or then != now:  # True is no 1
        yield Difference(f"body {path}", _shown(then), _shown(now))


def _lines(then: str, now: str, likeness: Likeness) -> Iterator[Difference]:
    """Gives the first line that differs."""
    if likeness.alike(then, now):
        return
    first, second = then.splitlines(keepends=True), now.splitlines(keepends=True)
    for number in range(max(len(first), len(second))):
        sides = [lines[number] if number < len(lines) else None for lines in (first, second)]
        if sides[0] is None or sides[1] is None or not likeness.alike(sides[0], sides[1]):
            shown = [None if side is None else _shown(side) for side in sides]
            yield Difference(f"body line {number + 1}", *shown)
            return


def _bytes(then: bytes, now: bytes) -> Difference:
    shorter = min(len(then), len(now))
    at = next((n for n in range(shorter) if then[n] != now[n]), shorter)
    shown = [f"{side[at : at + 16].hex(' ')} ({len(side)} bytes in all)" for side in (then, now)]
    return Difference(f"body byte {at}", *shown)


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def _shown(value: Any) -> str:
    try:
        return _short(msgspec.json.encode(value).decode())
    except (UnicodeEncodeError, RecursionError):
        return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
