"""PostgreSQL's protocol, version 3, as its server writes and reads it: frames in, messages out, no I/O.

A result is data: `{"status": "SELECT 2", "columns": [...], "types": [...], "rows": [[...]]}`, `{"error": {...}}`,
`{"empty": true}`, or `{"copy": "out", "formats": [...]}`. `types` holds, for each column, what follows its name in
RowDescription: table, attribute, type, size, modifier, format. An error that came of the app's cancelling has
`cancelled` beside it: how many seconds a peer waits to be asked to; with `unanswered` it waits for them even so.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Result: TypeAlias = Mapping[str, Any]

ERROR_FIELDS: Mapping[str, str] = {
    "severity": "S",
    "severity_nonlocalized": "V",
    "sqlstate": "C",
    "message_primary": "M",
    "message_detail": "D",
    "message_hint": "H",
    "statement_position": "P",
    "internal_position": "p",
    "internal_query": "q",
    "context": "W",
    "schema_name": "s",
    "table_name": "t",
    "column_name": "c",
    "datatype_name": "d",
    "constraint_name": "n",
    "source_file": "F",
    "source_line": "L",
    "source_function": "R",
}
"""Names of an error's fields, as libpq names them, and their letters on the wire."""

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102


def to_bytes(value: str | bytes) -> bytes:
    """Returns the bytes that stood for a recorded text or binary value."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Returns one message of the server."""
    return kind + struct.pack("!i", len(body) + 4) + body


def row_description(result: Result) -> bytes:
    """Returns RowDescription, or NoData for a result that has no columns."""
    columns: Sequence[str | bytes] | None = result.get("columns")
    if columns is None:
        return message(b"n")
    described = (
        to_bytes(name) + b"\0" + struct.pack("!ihIhih", *types)
        for name, types in zip(columns, result["types"], strict=True)
    )
    return message(b"T", struct.pack("!h", len(columns)) + b"".join(described))


def data_rows(result: Result) -> Iterator[bytes]:
    """Yields DataRow for each row."""
    for row in result.get("rows", ()):
        parts = [struct.pack("!h", len(row))]
        for value in row:
            if value is None:
                parts.append(b"\xff\xff\xff\xff")
                continue
            raw = to_bytes(value)
            parts.append(struct.pack("!i", len(raw)) + raw)
        yield message(b"D", b"".join(parts))


def complete(result: Result) -> bytes:
    """Returns CommandComplete, or EmptyQueryResponse for an empty statement."""
    if result.get("empty"):
        return message(b"I")
    return message(b"C", to_bytes(result.get("status") or "") + b"\0")


def error_response(fields: Mapping[str, str], kind: bytes = b"E") -> bytes:
    """Returns ErrorResponse, or NoticeResponse for the kind `N`."""
    known = ((ERROR_FIELDS[name], text) for name, text in fields.items() if name in ERROR_FIELDS)
    return message(kind, b"".join(code.encode() + to_bytes(text) + b"\0" for code, text in known) + b"\0")


def copy_response(result: Result) -> bytes:
    """Returns CopyInResponse or CopyOutResponse."""
    formats: Sequence[int] = result["formats"]
    body = struct.pack(f"!bh{len(formats)}h", int(any(formats)), len(formats), *formats)
    return message(b"G" if result["copy"] == "in" else b"H", body)


def parameter_status(settings: Mapping[str, str]) -> bytes:
    """Returns ParameterStatus for each setting."""
    return b"".join(message(b"S", to_bytes(name) + b"\0" + to_bytes(text) + b"\0") for name, text in settings.items())


def text_at(body: bytes, position: int = 0) -> tuple[str, int]:
    """Returns the zero-terminated text at a position, and where the next field starts."""
    end = body.index(b"\0", position)
    return body[position:end].decode("utf-8", "surrogateescape"), end + 1


class Frames:
    """Cuts what a client sends into messages; the first one has no kind letter."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._started = False

    def feed(self, data: bytes) -> Iterable[tuple[bytes, bytes]]:
        """Yields kind and body of each message that is now complete; a start-up message has the kind `b""`."""
        self._buffer += data
        while True:
            head = 1 if self._started else 0
            if len(self._buffer) < head + 4:
                return
            (length,) = struct.unpack_from("!i", self._buffer, head)
            if len(self._buffer) < head + length:
                return
            kind = bytes(self._buffer[:head])
            body = bytes(self._buffer[head + 4 : head + length])
            del self._buffer[: head + length]
            if not head and struct.unpack_from("!i", body)[0] not in (SSL_REQUEST, GSS_REQUEST):
                self._started = True
            yield kind, body
