"""A recorded request as it is sent again, and the answer that comes back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from timetracer.cassette import bodies
from timetracer.cassette.model import Cassette
from timetracer.engine.reruns import HEADER
from timetracer.errors import UnsupportedError

_OUR_OWN = frozenset(
    {"traceparent", HEADER.lower(), "connection", "keep-alive", "content-length", "expect", "proxy-connection"}
)
_FLAGS = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request.

    Attributes:
        headers: as recorded, but for those that say how it was transferred and whose trace it was.
        chunked: whether it was sent without its length.
        limit: bytes of the answer to read, where the client of that time left before its end; None for all.
    """

    method: str
    target: str
    scheme: str
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    chunked: bool = False
    limit: int | None = None

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks)

    @property
    def path(self) -> str:
        """The target without its query, as the client spelt it."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What comes after the first question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """Returns the first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port that the client named."""
        host, _, port = (self.header("host") or "localhost").rpartition(":")
        if not host or not port.isdecimal():
            return self.header("host") or "localhost", 443 if self.scheme == "https" else 80
        return host.strip("[]"), int(port)


@dataclass(slots=True)
class Answer:
    """What came back; `error` is what the application raised instead of answering, or while it answered.

    As a context manager it takes what the block raises as part of the answer.
    """

    status: int | None = None
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self.error = error
        return isinstance(error, Exception)


def question_of(cassette: Cassette, run: str) -> Question:
    """Returns the request of a cassette.

    The trace's id and, as the caller's span, the recorded root's id make a replaying server choose this very cassette:
    a caller may have asked several things within one span.

    Args:
        run: names the run and the request in it.

    Raises:
        UnsupportedError: no HTTP request came in.
    """
    inbound, trace = cassette.inbound, cassette.trace
    if inbound is None or inbound.type != "http.server":
        raise UnsupportedError("only HTTP requests can be sent again")
    sent = inbound.request
    chunks = tuple(bodies.unpack(sent.body)) if sent.body is not None else ()
    names = {name.lower(): value for name, value in sent.headers}
    chunked = "chunked" in names.get("transfer-encoding", "").lower()
    headers = [(name, value) for name, value in sent.headers if name.lower() not in _OUR_OWN]
    if not chunked and (chunks or "content-length" in names):
        headers.append(("Content-Length", str(sum(map(len, chunks)))))  # redaction may have changed it
    flags = _FLAGS.match(names.get("traceparent", ""))
    headers.append(("traceparent", f"00-{trace.trace_id}-{trace.root_id}-{flags[1] if flags else '01'}"))
    headers.append((HEADER, run))
    answer = inbound.result.body
    left = answer is not None and answer.end == "partial" and not inbound.incomplete
    limit = sum(map(len, bodies.unpack(answer))) if answer is not None and left else None
    scheme: Any = inbound.fields.get("scheme")
    return Question(
        method=inbound.method,
        target=inbound.target,
        scheme=scheme if scheme in ("http", "https") else "http",
        headers=tuple(headers),
        chunks=chunks,
        chunked=chunked,
        limit=limit,
    )
