"""Headers, bodies and values as lines of harmless text: pretty where they are data, cut where they are long."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from timetracer.cassette import bodies
from timetracer.cassette.model import Body, Result, Sent
from timetracer.cli import terminal

_LOOKED_AT = 64 << 10  # characters of a value that are printed at all when it is to be shortened
_BRIEF = 140  # characters of a line that stands for a whole part


def parts(holder: Sent | Result, *, lines: int | None, width: int | None) -> list[Text]:
    """Returns what was sent, or what was answered: headers, value, body.

    Args:
        lines: of each part at most; None for all.
        width: of a line at most; None for all.
    """
    made: list[Text] = []
    for name, value in holder.headers:
        header = f"{name}: {value}"
        made.append(terminal.styled(terminal.shortened(header, width or len(header)), "dim"))
    if isinstance(holder, Result):
        for name, data in _answers(holder):
            if name == "value" and lines is not None and holder.status is not None:
                continue  # what a protocol says beside its status (a reason phrase)
            made += _named(name, _cut(_printed(data, lines is None), lines, width))
    if holder.body is not None:
        made += _named("", _cut(body_lines(holder.body, whole=lines is None), lines, width))
        made += _end(holder.body)
    return made


def brief(holder: Sent | Result) -> list[Text]:
    """Returns what was sent or answered on a line for each part, without what the event's own line says."""
    made: list[Text] = []
    if isinstance(holder, Result):
        for name, data in _answers(holder):
            said = name == "error" or (name == "value" and (holder.status is not None or holder.items is not None))
            if not said:
                made += _named(name, [_compact(data)])
    if holder.body is not None:
        body = holder.body
        lines = [_compact(body.json)] if body.layout is not None else _cut(body_lines(body, whole=False), 2, _BRIEF)
        made += _named("", [" ".join(lines)] if lines else [])
        made += _end(body)
    return made


def brief_fields(fields: dict[str, Any]) -> list[Text]:
    """Returns what a call asked on a line, what is empty aside; nothing where all of it is."""
    parts = [f"{name} {_compact(value)}" for name, value in fields.items() if value not in (None, "", [], {}, False)]
    return [terminal.styled(terminal.shortened(" · ".join(parts), _BRIEF))] if parts else []


def _compact(value: Any) -> str:
    return terminal.safe(terminal.shortened(" ".join(_encoded(value, None, _BRIEF + 1).split()), _BRIEF))


def _end(body: Body) -> list[Text]:
    if body.end == "complete":
        return []
    how = f": {error_name(body.error)}" if body.error is not None else ""
    return [terminal.styled(f"the body ended here ({body.end}{how})", "yellow")]


def _answers(result: Result) -> Iterator[tuple[str, Any]]:
    """Gives what a result holds beside headers and body, each with its name."""
    if result.value is not None:
        yield "value", result.value
    if result.items is not None:
        count = len(result.items.values)
        yield f"{count} {'row' if count == 1 else 'rows'}", result.items.values
    if result.replies is not None:
        yield "replies", result.replies
    if result.error is not None:
        yield "error", result.error


def _named(name: str, lines: list[str]) -> list[Text]:
    indent = " " * (len(name) + 1) if name else ""
    return [Text.assemble((f"{name} ", "dim") if name and not n else indent, line) for n, line in enumerate(lines)]


def value_lines(name: str, value: Any) -> list[Text]:
    """Returns a value in full."""
    return _named(name, _cut(_printed(value, True), None, None))


def body_lines(body: Body, *, whole: bool) -> Iterator[str]:
    """Gives a body line by line: JSON with one value a line, text as it is, anything else by its size."""
    if body.layout is not None:
        yield from _printed(body.json, whole)
    elif body.text is not None:
        yield from (body.text if whole else body.text[:_LOOKED_AT]).splitlines()
    elif body.base64 is not None:
        data = len(body.base64) * 3 // 4 - body.base64.count("=")
        yield body.base64 if whole else f"{terminal.size(data)} of binary data"
    elif body.file is not None and not whole:
        yield f"in the side file {body.file}"
    elif body.file is not None:
        raw = b"".join(bodies.unpack(body))
        yield from raw.decode(errors="backslashreplace").splitlines()


def _printed(value: Any, whole: bool) -> Iterator[str]:
    """Gives encoded data as JSON, on one line if it fits there."""
    text = _encoded(value, 2, None if whole else _LOOKED_AT)
    compact = " ".join(part.strip() for part in text.splitlines()) if len(text) < 200 else text
    yield from [compact] if len(compact) <= 100 else text.split("\n")


def _encoded(value: Any, indent: int | None, limit: int | None) -> str:
    """Returns data as JSON, not printed to its end where it is longer than `limit` characters."""
    pieces: list[str] = []
    length = 0
    try:
        for piece in json.JSONEncoder(ensure_ascii=False, indent=indent).iterencode(value):
            pieces.append(piece)
            length += len(piece)
            if limit is not None and length > limit:
                break
    except RecursionError:
        pieces.append("… nests too deep to be shown")
    return "".join(pieces)


def _cut(lines: Iterable[str], limit: int | None, width: int | None) -> list[str]:
    made: list[str] = []
    for line in lines:
        if limit is not None and len(made) == limit:
            made.append("…")
            break
        made.append(terminal.safe(terminal.shortened(line, width) if width else line))
    return made


def error_name(error: Any) -> str:
    """Returns an encoded exception's class and first argument, as far as it says them."""
    try:
        inner = error["$error"]
        name = str(inner.get("class") or inner.get("type") or inner.get("name") or "error")
        args = inner.get("args") or []
        text = f": {args[0]}" if args and isinstance(args[0], str) else ""
        return terminal.shortened(name.rpartition(":")[2] + text, 160)
    except (TypeError, KeyError, AttributeError, LookupError):
        return "error"
