"""Puts the bytes of a body into the most readable form that restores them, and takes them out again.

JSON is kept as JSON only where one of eight layouts prints the very bytes again; else text, else base64. Its tokens
stay as they are in the file, so that the layout is a matter of the space between them: neither writing nor reading a
body makes objects of it. A body above the inline limit becomes a side file. Coded bodies (gzip, br, zstd) stay as they
came: the redactor may take that off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from timetracer.cassette import codings
from timetracer.cassette.model import NO_JSON, Body, Cassette, Event, Result, Sent
from timetracer.errors import CassetteCorrupt

ReadSideFile: TypeAlias = Callable[[str], bytes]
"""Returns what a side file holds, by its name."""

NewSideFile: TypeAlias = Callable[[bytes], str]
"""Takes what a side file is to hold, and returns its name."""

_SPACE = 32
_DEPTH = 100  # deeper JSON is kept as text: a cassette must stay readable with its own levels around it
_MAPPED = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_UNREADABLE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_INDENTS = {"compact": -1, "spaced": 0}
"""What `msgspec.json.format` calls these layouts; it leaves every token as it is."""

_ESCAPED = {
    f"{spacing}+ascii": json.JSONEncoder(separators=separators).encode
    for spacing, separators in (("compact", (",", ":")), ("spaced", (", ", ": ")))
}
"""Prints JSON whose letters beyond ASCII are escaped, in lower case: the file shows them as they are."""


def pack(
    raw: list[bytes],
    *,
    encoding: str | None = None,
    end: Literal["complete", "partial", "error"] = "complete",
    error: Any = None,
    gaps: list[float] | None = None,
    inline_limit: int | None = None,
    side_file: NewSideFile | None = None,
) -> Body:
    """Returns the body in its written form.

    Args:
        raw: chunks as the app read them.
        encoding: a content coding that was taken off `raw`, and that `unpack` puts on again.
        end: how the body ended.
        error: the encoded exception that ended it.
        gaps: milliseconds before each chunk.
        inline_limit: bytes above which `side_file` takes the body; None for no limit.
        side_file: takes the bytes of a large body and returns the file's name.
    """
    body = Body(encoding=encoding, end=end, error=error, gaps=gaps)
    _put(raw, body, inline_limit, side_file)
    return body


def _put(raw: list[bytes], body: Body, inline_limit: int | None = None, side_file: NewSideFile | None = None) -> None:
    """Gives bytes their written form in a body that holds none."""
    data = raw[0] if len(raw) == 1 else b"".join(raw)
    if len(raw) > 1:
        body.chunks = [len(chunk) for chunk in raw]
    if not data:
        return
    if side_file is not None and inline_limit is not None and len(data) > inline_limit:
        body.file, body.sha256 = side_file(data), hashlib.sha256(data).hexdigest()
    elif not _as_json(data, body):
        _as_text(data, body)


class Edited:
    """What a body says that is kept as JSON, to be changed in place; `close` puts it into the body.

    Attributes:
        value: the data; None where writing it anew would change a number or a double key: the body is text from now on.
    """

    __slots__ = ("_before", "_body", "value")

    def __init__(self, body: Body) -> None:
        self._body, self.value = body, body.json
        self._before = msgspec.json.encode(self.value)
        if self._before != msgspec.json.format(bytes(body.printed), indent=-1):
            self.value = None
            as_text(body)

    def close(self) -> None:
        """Writes the data into the body, if it has changed."""
        after = msgspec.json.encode(self.value)
        if self.value is not None and after != self._before:
            self._body.printed = msgspec.Raw(after)


def as_text(body: Body) -> None:
    """Turns a body that is kept as JSON into one that is kept as text."""
    data = _bytes(body, None)
    body.printed, body.layout = NO_JSON, None
    _as_text(data, body)


def _as_json(data: bytes, body: Body) -> bool:
    if data[0] not in b"{[":
        return False
    line = data.endswith(b"\n")
    printed = data[:-1] if line else data
    try:
        printed.decode()
        if b"\\" in printed and (b"\\u" in printed or b"\\/" in printed):  # one character is found at once
            layout, printed = _escaped(printed)
        else:
            layout = _layout(printed)
        if layout is None or not _shallow(printed):
            return False
    except (ValueError, RecursionError):  # no JSON; or thousands of digits, which Python does not print
        return False
    body.printed, body.layout = msgspec.Raw(printed), layout + ("+newline" if line else "")
    return True


def _layout(printed: bytes) -> str | None:
    """Names the layout that spaces the tokens as they are."""
    name = printed.find(b'":')  # what follows the first one tells which to try first
    spaced = printed[name + 2] == _SPACE if 0 <= name < len(printed) - 2 else b", " in printed
    for layout in ("spaced", "compact") if spaced else ("compact", "spaced"):
        if msgspec.json.format(printed, indent=_INDENTS[layout]) == printed:
            return layout
    return None


def _escaped(printed: bytes) -> tuple[str | None, bytes]:
    """Names the layout that escapes JSON as it is, and returns it as it is without."""
    value, text = msgspec.json.decode(printed), printed.decode()
    layout = next((name for name, encode in _ESCAPED.items() if text.isascii() and encode(value) == text), None)
    return layout, msgspec.json.encode(value)


def _shallow(printed: bytes) -> bool:
    """Whether JSON nests no deeper than a cassette can take."""
    if len(printed) <= _DEPTH or printed.count(b"[") + printed.count(b"{") <= _DEPTH:
        return True
    # Brackets alone, pairs taken out until none is left: a tenth of the time that walking the value takes. Brackets
    # within strings may be left over, and then the value decides.
    brackets = printed.translate(_MAPPED, _NO_BRACKETS)
    for _ in range(_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return True
    level = [msgspec.json.decode(printed)]
    for _ in range(_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if type(holder) is dict else holder)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return True
    return False


def _as_text(data: bytes, body: Body) -> None:
    if not _UNREADABLE.search(data):
        try:
            body.text = data.decode()
            return
        except UnicodeDecodeError:
            pass
    body.base64 = base64.b64encode(data).decode()


def unpack(body: Body, side_files: ReadSideFile | None = None, *, recoding: bool = True) -> list[bytes]:
    """Returns the chunks of a body as the app read them.

    Args:
        body: as written, or with `raw`.
        side_files: reads a side file; not needed for a cassette that `store.read_cassette` read.
        recoding: puts a content coding on again that was taken off.

    Raises:
        CassetteCorrupt: the body is in no form, or a side file is not the one that was written.
    """
    if body.raw is not None:
        return body.raw
    data = _bytes(body, side_files)
    if body.encoding and recoding:
        data = codings.recode(data, body.encoding)
    return _split(data, body.chunks)


def _bytes(body: Body, side_files: ReadSideFile | None) -> bytes:
    try:
        if body.layout is not None:
            layout = body.layout.removesuffix("+newline")
            indent = _INDENTS.get(layout)
            data = (
                _ESCAPED[layout](body.json).encode()
                if indent is None
                else msgspec.json.format(body.printed, indent=indent)
            )
            return data + b"\n" if body.layout.endswith("+newline") else data
        if body.text is not None:
            return body.text.encode()
        if body.base64 is not None:
            return base64.b64decode(body.base64, validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CassetteCorrupt(f"a body cannot be restored: {type(error).__name__}: {error}") from error
    if body.file is None:
        return b""
    if side_files is None:
        raise CassetteCorrupt(f"the body is in the side file {body.file}, which was not read")
    data = side_files(body.file)
    if hashlib.sha256(data).hexdigest() != body.sha256:
        raise CassetteCorrupt(f"the side file {body.file} is not the one that was written: its SHA-256 differs")
    return data


def _split(data: bytes, sizes: list[int] | None) -> list[bytes]:
    """Cuts at the recorded sizes. Redaction or recoding may have changed the length: the last chunk takes the rest."""
    if not sizes:
        return [data] if data else []
    if min(sizes) < 0:
        raise CassetteCorrupt("a body has a chunk of negative size")
    chunks, start = [], 0
    for size in sizes[:-1]:
        chunks.append(data[start : start + size])
        start += size
    return [*chunks, data[start:]]


# ------------------------------------------------------------------------------------------------- whole cassettes


def packed(cassette: Cassette, *, inline_limit: int | None = None, side_file: NewSideFile | None = None) -> Cassette:
    """Returns the cassette with every body in its written form; the one given is left as it is."""
    if all(body.raw is None for body in each(cassette)):
        return cassette

    def written(body: Body | None) -> Body | None:
        if body is None or body.raw is None:
            return body
        return pack(
            body.raw,
            encoding=body.encoding,
            end=body.end,
            error=body.error,
            gaps=body.gaps,
            inline_limit=inline_limit,
            side_file=side_file,
        )

    def call(holder: Any) -> Any:
        sent: Sent = holder.request
        result: Result = holder.result
        if sent.body is not None and sent.body.raw is not None:
            sent = msgspec.structs.replace(sent, body=written(sent.body))
        if result.body is not None and result.body.raw is not None:
            result = msgspec.structs.replace(result, body=written(result.body))
        if sent is holder.request and result is holder.result:
            return holder
        return msgspec.structs.replace(holder, request=sent, result=result)

    return msgspec.structs.replace(
        cassette,
        inbound=None if cassette.inbound is None else call(cassette.inbound),
        events=[call(event) for event in cassette.events],
        shared={digest: call(event) for digest, event in cassette.shared.items()},
    )


def pack_own(cassette: Cassette) -> None:
    """Puts every body into its written form where it is, in a cassette that is nobody else's; but for `shared`."""
    calls: list[Any] = [] if cassette.inbound is None else [cassette.inbound]
    for holder in (*calls, *cassette.events):
        for body in (holder.request.body, holder.result.body):
            if body is not None and body.raw is not None:
                raw, body.raw = body.raw, None
                body.printed = NO_JSON
                body.layout = body.text = body.base64 = body.file = body.sha256 = body.chunks = None
                _put(raw, body)
    if cassette.shared:
        cassette.shared = packed(Cassette(shared=cassette.shared)).shared


def set_apart(
    cassette: Cassette, limit: int, harmless: Callable[[bytes], bool] = lambda data: False
) -> list[Apart | None]:
    """Takes the bytes of large bodies out that are binary or harmless, so that nothing copies them until they are
    written.

    Args:
        harmless: whether a body needs no look for what is secret in itself.

    Returns:
        For each body, in the order of `each`, what was taken out; None for one that stays: it is small, or to be read.
    """
    return [_taken_out(body, limit, harmless) for body in each(cassette)]


class Apart(msgspec.Struct, frozen=True):
    """The chunks of a body that was taken out, and whether it holds no secret of its own."""

    chunks: list[bytes]
    harmless: bool


def _taken_out(body: Body, limit: int, harmless: Callable[[bytes], bool]) -> Apart | None:
    raw = body.raw
    if raw is None or body.encoding is not None or sum(map(len, raw)) <= limit:
        return None
    clean = harmless(raw[0] if len(raw) == 1 else b"".join(raw))
    if not clean and not any(map(_UNREADABLE.search, raw)):
        return None
    body.raw = []
    return Apart(raw, clean)


def changed(chunks: list[bytes], change: Callable[[bytes], bytes]) -> list[bytes]:
    """Returns the chunks of a body with `change` done to the whole of it; the same chunks where it changed nothing."""
    whole = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    made = change(whole)
    return chunks if made is whole else _split(made, [len(chunk) for chunk in chunks])


def each(cassette: Cassette) -> Iterator[Body]:
    """Gives every body of a cassette."""
    calls: list[Any] = [*cassette.events, *cassette.shared.values()]
    for holder in calls if cassette.inbound is None else [cassette.inbound, *calls]:
        event: Event = holder
        if event.request.body is not None:
            yield event.request.body
        if event.result.body is not None:
            yield event.result.body
