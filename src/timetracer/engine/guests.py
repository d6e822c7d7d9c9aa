"""Inbound calls while they are served: what came in and went out, kept where recorded, passed on where replayed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from timetracer import values
from timetracer.cassette import model
from timetracer.engine.bodies import Budget, Copy
from timetracer.engine.guard import guard, guarded
from timetracer.engine.reruns import rerun_of
from timetracer.engine.sessions import current
from timetracer.engine.takes import encode_fields
from timetracer.engine.unseen import NOBODY
from timetracer.errors import UnsupportedError
from timetracer.plugin import Headers, Inbound, Sink, Value


class Host(Protocol):
    """The recording that a guest visits."""

    budget: Budget
    body_limit: int
    failed: bool
    stores_request_body: bool
    stores_response_body: bool

    def hold(self) -> None: ...

    def release(self) -> None: ...


class PlayingHost(Protocol):
    """The replay that a guest visits."""

    @property
    def undecided(self) -> bool: ...

    def hold(self) -> None: ...

    def release(self) -> None: ...


class Guest:
    """The visit of one inbound call that is recorded."""

    trusted = False
    reads_ahead = False  # a recording takes what the app reads, when it reads it

    def __init__(self, session: Host, inbound: Inbound) -> None:
        self.session, self._inbound = session, inbound
        self.sent_body: Copy | None = None
        self.response_body: Copy | None = None
        self.name: str | None = None
        self.status: int | None = None
        self.headers: Headers = ()
        self.value: Value = None
        self.raised: BaseException | None = None
        self.lost: str | None = None  # what of it could not be kept

    def note(self, function: Callable[..., Value], *args: Any) -> Value:
        """Runs what keeps something of the call; where that fails the call goes on, and is marked incomplete."""
        with guard("keeping an inbound call") as kept:
            return function(*args)
        self.lost = f"the call could not be kept: {type(kept.failed).__name__}"
        return None

    def route(self, name: str) -> None:
        """Names the call."""
        self.name = name

    def answer(self, value: Value = None, *, status: int | None = None, headers: Headers = ()) -> None:
        """Takes the head of the answer; a 5xx is a failure."""
        self.value, self.status, self.headers = value, status, headers
        if status is not None and status >= 500:
            self.session.failed = True

    def request_body(self) -> Sink:
        """Opens the sink of the request's body."""
        return self.note(self._request_body) or NOBODY

    def _request_body(self) -> Copy:
        limit = self.session.body_limit if self.session.stores_request_body else 0
        self.sent_body = Copy(limit, self.session.budget)
        return self.sent_body

    def body(self) -> Sink:
        """Opens the sink of the answer's body; the session stays open until it ends."""
        return self.note(self._body) or NOBODY

    def _body(self) -> Copy:
        limit = self.session.body_limit if self.session.stores_response_body else 0
        body = Copy(limit, self.session.budget, self._body_done)
        self.session.hold()
        self.response_body = body
        return body

    @guarded("ending a body")
    def _body_done(self) -> None:
        self.session.release()

    def error(self, error: BaseException) -> None:
        """Notes the exception that the app raised."""
        self.raised = error
        self.session.failed = True

    def resume(self) -> AbstractContextManager[None]:
        """Makes the session current again."""
        return current(self.session)

    @property
    def answered(self) -> bool:
        """Whether the answer has gone out in full."""
        return self.response_body is not None and self.response_body.end is not None

    def inbound(self) -> model.Inbound:
        """Returns what came in and went out, encoded."""
        asked = self._inbound
        request = model.Sent(headers=list(asked.headers), body=self._sent())
        result = model.Result(status=self.status, headers=list(self.headers))
        why = [self.lost or ""]
        if self.response_body is not None:
            result.body = self.response_body.body()
            why += [self.response_body.why_incomplete or ""]
        if self.sent_body is not None:
            why += [self.sent_body.why_incomplete or ""]
        trace = None
        with guard("describing an inbound call"):
            try:
                result.value = values.encode(self.value)
                if self.raised is not None:
                    trace = "".join(traceback.format_exception(self.raised))
                    result.error = values.encode(self.raised)
            except UnsupportedError as error:
                why.append(str(error))
        return model.Inbound(
            type=asked.type,
            method=asked.method,
            target=asked.target,
            route=self.name,
            fields=encode_fields(asked.fields),
            request=request,
            result=result,
            traceback=trace,
            incomplete="; ".join(filter(None, why)) or None,
        )

    def _sent(self) -> model.Body | None:
        if self.sent_body is not None:
            return self.sent_body.body()
        body = self._inbound.body
        return model.Body(raw=[body]) if body else None


class PlayedGuest:
    """The visit of an inbound call that is replayed: its body is noted, to choose the cassette."""

    def __init__(self, session: PlayingHost, inbound: Inbound) -> None:
        self.session, self.asked = session, inbound
        self.status: int | None = None
        self.headers: Headers = ()
        self.answered = False  # the answer has gone out in full
        self._sent: list[bytes] = [inbound.body] if inbound.body else []
        self._whole = bool(inbound.body)

    @property
    def trusted(self) -> bool:
        """Whether the replay runner sent it: a token that it carries belongs to a session of another time."""
        return rerun_of(self.asked.headers) is not None

    @property
    def reads_ahead(self) -> bool:
        """Whether several cassettes may answer: the first call chooses one, most often before the app reads."""
        return self.session.undecided

    def sent(self) -> bytes:
        """Returns the inbound body as far as it was read."""
        return b"".join(self._sent)

    def size(self) -> int:
        """Returns the size of the inbound body, as its headers say until it is read: without end for one in chunks."""
        if self._whole:
            return len(self.sent())
        headers = {name.lower(): value for name, value in self.asked.headers}
        stated = headers.get("content-length", "")
        return int(stated) if stated.isascii() and stated.isdigit() else sys.maxsize * ("transfer-encoding" in headers)

    def note(self, function: Callable[..., Value], *args: Any) -> Value:
        """Runs what notes something of the call; where that fails the call goes on."""
        with guard("noting an inbound call"):
            return function(*args)
        return None

    def route(self, name: str) -> None:
        """The name is the cassette's."""

    def answer(self, value: Value = None, *, status: int | None = None, headers: Headers = ()) -> None:
        """Takes the head of the answer."""
        self.status, self.headers = status, headers

    def request_body(self) -> Sink:
        """Notes what is read of the request's body."""
        return _Until(self._read, into=self._sent)

    def _read(self, end: str) -> None:
        self._whole = end == "complete"

    def body(self) -> Sink:
        """The answer's body goes to the client alone; the session stays open until it ends."""
        self.session.hold()
        return _Until(self._answered)

    def _answered(self, end: str) -> None:
        self.answered = True
        self.session.release()

    def error(self, error: BaseException) -> None:
        """The exception goes its way."""

    def resume(self) -> AbstractContextManager[None]:
        """Makes the session current again."""
        return current(self.session)


class _Until:
    """A sink that keeps nothing, but for what is noted in a list, and tells when it ended."""

    def __init__(self, done: Callable[[str], None], into: list[bytes] | None = None) -> None:
        self._done: Callable[[str], None] | None = done
        self._into = into

    def feed(self, item: Value) -> None:
        """Notes it, or nothing."""
        self.feed_all((bytes(item) if isinstance(item, memoryview) else item,))

    def feed_all(self, items: Sequence[Value]) -> None:
        """Notes them, or nothing."""
        if self._into is not None:
            self._into.extend(items)

    def finish(self, end: str = "complete", error: BaseException | None = None) -> None:
        """Tells, once."""
        if self._done is not None:
            done, self._done = self._done, None
            done(end)
