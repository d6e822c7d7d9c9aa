"""Writes a cassette as JSON that reads well in a diff, and reads it back with every breakage named.

msgspec does both at the speed that recording needs. It refuses lone surrogates (a path with undecodable bytes has
them), so a cassette with one takes the slower way through `json`, which writes and reads them as escapes.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import msgspec

from timetracer.cassette.bodies import as_text, each, packed
from timetracer.cassette.model import FORMAT, Cassette
from timetracer.errors import CassetteCorrupt, CassetteVersionError, UnsupportedError

SIZE_LIMIT = 512 << 20
"""A cassette of more bytes than this is not read."""

_ID = re.compile(r"[0-9a-fA-F]{1,64}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Cassette)


class _Head(msgspec.Struct):
    """What tells a cassette from other JSON, whatever else the file holds."""

    format: Any = None
    trace: Any = None
    schema_version: Any = None  # what timetracer 1.x called it


def dump(cassette: Cassette) -> bytes:
    """Returns the cassette as indented UTF-8 JSON that ends in a newline.

    Raises:
        UnsupportedError: it nests too deep, or holds something that is no JSON data.
    """
    cassette = packed(cassette)
    try:
        try:
            return msgspec.json.format(_encoder.encode(cassette), indent=1) + b"\n"
        except UnicodeEncodeError:
            return _dump_surrogates(cassette)
    except (RecursionError, TypeError, ValueError, OverflowError) as error:
        raise UnsupportedError(f"the cassette cannot be written as JSON: {error}") from error


def _dump_surrogates(cassette: Cassette) -> bytes:
    for body in each(cassette):
        if body.layout is not None:
            as_text(body)  # `json` prints objects, not tokens
    text = json.dumps(msgspec.to_builtins(cassette), ensure_ascii=False, indent=1)
    return (_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n").encode()


def load(data: bytes, *, limit: int = SIZE_LIMIT) -> Cassette:
    """Returns the cassette that `data` holds. Runs no code that the data names.

    Args:
        data: what `dump` returned.
        limit: the most bytes to accept.

    Raises:
        CassetteVersionError: it was written in another format.
        CassetteCorrupt: it is broken, too large or too deep; the message says what and where.
    """
    if len(data) > limit:
        raise CassetteCorrupt(f"the cassette has {len(data):,} bytes, and at most {limit:,} are read")
    try:
        try:
            cassette = _decoder.decode(data)
        except msgspec.DecodeError:
            if not _ESCAPED_SURROGATE.search(data):
                raise
            cassette = msgspec.convert(json.loads(data), Cassette)
    except RecursionError:
        raise CassetteCorrupt("the cassette nests too deep") from None
    except ValueError as error:  # msgspec's errors and json's derive from it
        _check_head(data)
        raise CassetteCorrupt(f"the cassette is broken: {error}") from error
    if cassette.format != FORMAT or not cassette.trace.root_id:
        _check_head(data)
    if any(body.raw is not None for body in each(cassette)):
        raise CassetteCorrupt("the cassette is broken: a body holds bytes that are never written")
    return cassette


def check(cassette: Cassette) -> None:
    """Looks at what has the right type and may still be none of ours, before it is replayed.

    Raises:
        CassetteCorrupt: an id or a time is none, or two events have one number.
    """
    trace = cassette.trace
    for text in (trace.trace_id, trace.root_id, trace.parent_id):
        if text and not _ID.fullmatch(text):
            raise CassetteCorrupt(f"the cassette is broken: {text[:40]!r} is no id of a trace or span")
    if trace.start:
        try:
            datetime.fromisoformat(trace.start)
        except ValueError:
            raise CassetteCorrupt(f"the cassette is broken: its start {trace.start[:40]!r} is no time") from None
    if len({event.eid for event in cassette.events}) < len(cassette.events):
        raise CassetteCorrupt("the cassette is broken: two of its events have one number")


def _check_head(data: bytes) -> None:
    """Raises where the format explains why the data cannot be read, or where it is other JSON altogether."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (ValueError, RecursionError):
        return
    found = head.format if head.format is not None else head.schema_version
    if found is None:
        raise CassetteCorrupt("this is no cassette: it names no format")
    if found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        advice = "upgrade timetracer" if newer else "convert it with `timetracer import`"
        raise CassetteVersionError(f"the cassette has format {found}, and this version reads format {FORMAT}: {advice}")
    if head.trace is None:
        raise CassetteCorrupt("the cassette is broken: it has no `trace`")
