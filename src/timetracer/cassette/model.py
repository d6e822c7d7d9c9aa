"""What a cassette holds: plain structs that `format` writes and reads, and that everything else passes around.

Every `Any` below is *encoded*: made by `timetracer.values.encode`, so plain JSON data with tagged values. None of it
leads back to what holds it, so that Python's garbage collector need not look at the structs: 2 us an event.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

FORMAT = 2
"""The version this package writes. Version 1 is that of timetracer 1.x."""

Pairs = list[tuple[str, str]]


NO_JSON = msgspec.Raw()


class Body(msgspec.Struct, omit_defaults=True, gc=False, eq=False):
    """The bytes of one request or response, in the most readable form that restores them exactly.

    Exactly one of `json`, `text`, `base64`, `file` is set, or none for no bytes at all. In memory, before a body is
    written and after it is read, `raw` holds the bytes and stands for all of them.
    """

    printed: msgspec.Raw = msgspec.field(default=NO_JSON, name="json")  # as it stands in the file: no token changes
    layout: str | None = None  # how the body had it: "compact" or "spaced", "+ascii" if escaped
    text: str | None = None
    base64: str | None = None
    file: str | None = None  # a side file beside the cassette, by name
    sha256: str | None = None  # of a side file
    encoding: str | None = (
        None  # content coding (gzip, br, zstd) that was taken off before redaction and is put on again
    )
    chunks: list[int] | None = None  # sizes in bytes as read by the app; None: one chunk
    gaps: list[float] | None = None  # milliseconds before each chunk; None: no stream, or all of it at once
    end: Literal["complete", "partial", "error"] = "complete"
    error: Any = None  # encoded exception that ended it
    raw: list[bytes] | None = None  # chunks; never written

    @property
    def json(self) -> Any:
        """What the JSON says, or its text where Python cannot read it; None where the body has another form."""
        return None if self.layout is None else _read(self.printed)

    def __eq__(self, other: object) -> bool:
        """By value: `msgspec.Raw` compares by identity."""
        return isinstance(other, Body) and _parts(self) == _parts(other)

    __hash__ = None  # type: ignore[assignment]


def _read(printed: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(printed)
    except ValueError:  # a number of thousands of digits
        return bytes(printed).decode()


def _parts(body: Body) -> tuple[Any, ...]:
    return (msgspec.json.format(body.printed, indent=-1) if body.layout else b"", *msgspec.structs.astuple(body)[1:])


class Items(msgspec.Struct, omit_defaults=True, gc=False):
    """Typed items that were fetched one by one (rows)."""

    values: list[Any] = []
    end: Literal["complete", "partial", "error"] = "complete"
    error: Any = None


class Signature(msgspec.Struct, omit_defaults=True, gc=False):
    """What a call asked, as far as it is compared. `url` is the target: URL, key, table."""

    lib: str
    method: str
    url: str
    body_hash: str | None = None  # of the redacted body
    fields: dict[str, Any] = {}


class Sent(msgspec.Struct, omit_defaults=True, gc=False):
    """What a call sent, beyond its signature."""

    headers: Pairs = []
    body: Body | None = None


class Result(msgspec.Struct, omit_defaults=True, gc=False):
    """How a call was answered: a value, several replies on a link, an error, or a cancellation."""

    status: int | None = None
    headers: Pairs = []
    value: Any = None
    body: Body | None = None
    items: Items | None = None
    replies: list[Any] | None = None  # encoded; an empty poll is EMPTY, an error an encoded exception
    error: Any = None
    cancelled: bool = False


class Event(msgspec.Struct, omit_defaults=True, gc=False):
    """One outbound call with its answer."""

    eid: int
    type: str
    signature: Signature
    request: Sent
    result: Result
    lane: str = ""
    span_id: str | None = None
    start_offset_ms: float = 0.0
    duration_ms: float | None = None
    incomplete: str | None = None  # why the event cannot be replayed in full
    optional: bool = False  # chance decides whether a replay asks for it


class Draw(msgspec.Struct, omit_defaults=True, gc=False):
    """Entropy that the app drew: `source` names the function and who called it, `values` what it gave, in order."""

    lane: str
    source: str
    values: list[Any] = []


class Inbound(msgspec.Struct, omit_defaults=True, gc=False):
    """The call that came in, and how it was answered."""

    type: str
    method: str
    target: str
    route: str | None = None
    fields: dict[str, Any] = {}
    request: Sent = msgspec.field(default_factory=Sent)
    result: Result = msgspec.field(default_factory=Result)
    traceback: str | None = None
    incomplete: str | None = None


class Span(msgspec.Struct, omit_defaults=True, gc=False):
    """One finished span."""

    span_id: str
    name: str
    kind: str
    parent_id: str | None = None
    start_offset_ms: float = 0.0
    duration_ms: float = 0.0
    status: str = "UNSET"
    status_message: str | None = None
    attributes: dict[str, Any] = {}
    events: list[dict[str, Any]] = []
    scope: str | None = None


class Trace(msgspec.Struct, omit_defaults=True, gc=False):
    """Whose call it was, and when."""

    trace_id: str
    root_id: str  # the root span's id; names the file
    parent_id: str | None = None  # the caller's span
    service: str | None = None
    environment: str | None = None
    start: str = ""  # RFC 3339, UTC, microseconds
    duration_ms: float | None = None
    status: str = "ok"  # ok, error
    resource: dict[str, Any] = {}
    recorder: str | None = None  # "timetracer 2.0.0"


class Match(msgspec.Struct, omit_defaults=True, gc=False):
    """How a replayed call was answered: `eid` is the recorded event or None; `step` exact, masked or courtesy."""

    lib: str
    method: str
    url: str
    eid: int | None = None
    step: str | None = None
    reason: str | None = None
    nearest: int | None = None  # of a miss: the recorded event that comes nearest, and what differs
    differences: list[str] = []
    span_id: str | None = None


class Cassette(msgspec.Struct, omit_defaults=True):
    """One inbound call with all that it did."""

    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is written even if default
    trace: Trace = msgspec.field(default_factory=lambda: Trace(trace_id="", root_id=""))
    inbound: Inbound | None = None
    events: list[Event] = []
    shared: dict[str, Event] = {}  # by digest: what belongs to connections, used by this call
    draws: list[Draw] = []
    spans: list[Span] = []
    logs: list[dict[str, Any]] = []
    replacements: list[str] = []  # what redaction put in: matched by binding, never by value
    replay: list[Match] = []  # only in a cassette that a replay yielded


def data_of(part: Any) -> Any:
    """Returns a part of a cassette as plain data: what its file says, in dicts and lists."""
    return msgspec.to_builtins(part, enc_hook=_read)  # asked for bodies alone: the rest is data already
