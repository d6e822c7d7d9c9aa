"""One event while it is recorded: what was asked, how it is answered, and from both the event that a cassette holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry import trace

from timetracer import values
from timetracer.cassette import model
from timetracer.engine.bodies import Budget, Copy
from timetracer.engine.drivers import REAL, Core
from timetracer.engine.guard import guard, guarded, swallowed
from timetracer.engine.lanes import current_lane
from timetracer.engine.links import Link
from timetracer.errors import UnsupportedError
from timetracer.plugin import Call, Capture, Headers, Plugin, Poll, Receive, Request, Value, Volatile

EMPTY = {"$empty": True}
"""Stands among the replies of a stream for a poll that found nothing."""


class Tape(Protocol):
    """The recording session, as far as the recorder needs it."""

    budget: Budget
    body_limit: int

    def add(self, take: Take) -> None:
        """Takes a new event, in order."""

    def share(self, take: Take) -> None:
        """Takes an event that belongs to a connection."""

    def hold(self) -> None: ...

    def release(self) -> None: ...

    def body_opened(self) -> None:
        """Waits for a body that the app has yet to read."""

    def body_ended(self) -> None:
        """Waits no longer for one such body."""


class Take:
    """One event while it is recorded. It is the `Capture` that `encode` fills, and a conversation on a link."""

    # What a take begins with. Not slots: most calls change few of these, and setting all took twice as long (0.8 us).
    eid = -1
    ended: int | None = None
    upload: Copy | None = None
    status: int | None = None
    response_headers: Headers = ()
    value: Value = None
    response_body: Copy | None = None
    response_items: Copy | None = None
    replies: list[Value] | None = None
    error: Value = None
    cancelled = False
    incomplete: str | None = None
    whole = False  # its answer has a body of its own

    def __init__(self, tape: Tape, plugin: Plugin, request: Request) -> None:
        self.tape, self.plugin, self.request = tape, plugin, request
        self.started = time.time_ns()
        self.lane = current_lane()
        self.span_id = trace.get_current_span().get_span_context().span_id
        self.stream = request.replies is None
        self.left = request.replies or 0

    # -- Capture

    def reply(self, value: Value = None, *, status: int | None = None, headers: Headers = ()) -> None:
        """Takes the answer itself."""
        self.value, self.status, self.response_headers = value, status, headers

    def body(self) -> Copy:
        """Opens the sink of the answer's body; the session stays open until it ends."""
        self.tape.body_opened()
        self.response_body = Copy(self.tape.body_limit, self.tape.budget, self._body_done, paced=True)
        return self.response_body

    def items(self) -> Copy:
        """Opens the sink of the answer's rows. They do not keep the session open: a cursor is often left unread."""
        self.response_items = Copy(self.tape.body_limit, self.tape.budget)
        return self.response_items

    @guarded("ending a body")
    def _body_done(self) -> None:
        self.ended = time.time_ns()
        self.tape.body_ended()

    # -- how it went

    def finished(self) -> None:
        """Notes the time of the answer."""
        if self.ended is None:
            self.ended = time.time_ns()

    def failed(self, call: Call, error: BaseException) -> None:
        """Notes that the real function raised."""
        self.finished()
        with guard(f"{self.plugin.name}: keeping an error"):
            kept = self.plugin.encode_error(call, error)
            if isinstance(kept, asyncio.CancelledError):
                self.cancelled = True
            else:
                self.error = kept

    # -- a conversation on a link

    @property
    def done(self) -> bool:
        """Whether every expected answer came."""
        return not self.stream and self.left <= 0

    def close(self) -> None:
        """The link ended; what was still expected never came."""
        self.finished()
        if self.whole and self.left:
            self.left = 0
            self.tape.body_ended()
        elif not self.stream and not self.done:
            self.tape.release()

    def receive(self, plugin: Plugin, role: Receive, call: Call, link: Link) -> Core:
        """Lets the real function take the answer and notes it."""
        if role.keep is not None:
            return (yield from self._receive_whole(plugin, role, role.keep, call, link))
        try:
            result = yield REAL
        except asyncio.CancelledError:
            self.cancelled = True  # the app stopped waiting; the answer never came
            self.finished()
            raise
        except Exception as error:
            with guard(f"{plugin.name}: keeping an error"):
                self.came(plugin.encode_error(call, error), link)
            raise
        try:
            if not role.idle(result) or (not self.stream and self.left):
                self.came(role.encode(call, result), link)
            elif self.stream:
                self.came(EMPTY, link)
        except BaseException as error:
            if not swallowed(f"{plugin.name}: keeping an answer", error):
                raise
        return result

    def _receive_whole(
        self, plugin: Plugin, role: Receive, keep: Callable[[Call, Any, Capture], Any], call: Call, link: Link
    ) -> Core:
        """Lets the real function take the one answer, whose body is copied from then on.

        It no longer waits on the link meanwhile: with the answer the function may end the connection.
        """
        link.pending.remove(self)
        self.tape.hold()
        waits = False
        try:
            result = yield REAL
        except Exception as error:
            waits = role.idle(error)
            if not waits:
                self.finished()
                with guard(f"{plugin.name}: keeping an error"):
                    self.replies = [plugin.encode_error(call, error)]
            raise
        else:
            self.finished()
            with guard(f"{plugin.name}: keeping an answer") as kept:
                result = keep(call, result, self)
            if kept.failed:
                self.incomplete = f"the answer could not be kept: {type(kept.failed).__name__}"
            return result
        finally:
            if waits:
                link.pending.appendleft(self)
            else:
                self.left = 0
                self.tape.body_ended()
            self.tape.release()

    def poll(self, plugin: Plugin, role: Poll, call: Call, link: Link) -> Core:
        """Lets the real function look, and notes that nothing was there."""
        try:
            ready = yield REAL
        except Exception as error:  # replayed, the answer that waits is this error
            with guard(f"{plugin.name}: keeping an error"):
                self.came(plugin.encode_error(call, error), link)
            raise
        if not ready:
            self.came(EMPTY, link)
        return ready

    def came(self, value: Value, link: Link) -> None:
        """Takes one answer; the last one expected ends the conversation."""
        if self.replies is None:
            self.replies = []
        self.replies.append(value)
        self.ended = time.time_ns()
        self.left -= 1
        if self.left <= 0 and not self.stream and link.pending and link.pending[0] is self:
            link.pending.popleft()
            self.tape.release()

    # -- on the writer's thread

    def event(self, epoch: int) -> model.Event:
        """Returns the finished event; `epoch` is the session's start in nanoseconds."""
        request = self.request
        fields = self._encoded("fields", encode_fields, request.fields) if request.fields else {}
        return model.Event(
            eid=self.eid,
            type=request.type,
            signature=model.Signature(
                lib=self.plugin.name, method=request.method, url=request.target, fields={} if fields is None else fields
            ),
            request=model.Sent(headers=list(request.headers), body=self._sent_body()),
            result=self._result(),
            lane=self.lane,
            span_id=f"{self.span_id:016x}" if self.span_id else None,
            start_offset_ms=(self.started - epoch) // 1000 / 1000,
            duration_ms=None if self.ended is None else (self.ended - self.started) // 1000 / 1000,
            incomplete=self._why_incomplete(),
            optional=request.optional,
        )

    def _result(self) -> model.Result:
        items = self.response_items
        return model.Result(
            status=self.status,
            headers=list(self.response_headers),
            value=None if self.value is None else self._encoded("answer", values.encode, self.value),
            body=None if self.response_body is None else self.response_body.body(),
            items=None if items is None else self._encoded("rows", Copy.rows, items),
            replies=None if self.replies is None else self._encoded("answers", _encode_replies, self.replies) or [],
            error=None if self.error is None else self._encoded("error", values.encode, self.error),
            cancelled=self.cancelled,
        )

    def _encoded(self, what: str, encode: Callable[[Any], Any], value: Any) -> Any:
        try:
            return encode(value)
        except UnsupportedError as error:
            self.incomplete = f"{what}: {error}"
            return None

    def _sent_body(self) -> model.Body | None:
        if self.upload is not None:
            return self.upload.body(unread=True)
        body = self.request.body
        return model.Body(raw=[body]) if isinstance(body, bytes) and body else None

    def _why_incomplete(self) -> str | None:
        for copy in (self.upload, self.response_body, self.response_items):
            if copy is not None and copy.overflow:
                self.incomplete = self.incomplete or copy.why_incomplete
        if self.left > 0 and self.replies is not None and not self.stream and not self.cancelled and self.error is None:
            self.incomplete = self.incomplete or f"{self.left} more answers were expected when the connection ended"
        return self.incomplete


def _encode_replies(replies: list[Value]) -> list[Any]:
    return [EMPTY if v is EMPTY else values.encode(v) for v in replies]


def encode_fields(fields: Any) -> dict[str, Any]:
    """Encodes a request's fields; a `Volatile` becomes `{"$volatile": [family, value]}`, at any depth."""
    return {name: _with_volatile(value) for name, value in fields.items()}


def _with_volatile(value: Value) -> Any:
    try:
        return values.encode(value)  # nearly always there is none: looking for it first cost as much again
    except UnsupportedError:
        if type(value) is Volatile:
            return {"$volatile": [value.family, values.encode(value.value)]}
        if type(value) is list:
            return [_with_volatile(v) for v in value]
        if type(value) is dict and all(type(k) is str for k in value):
            return {k: _with_volatile(v) for k, v in value.items()}
        raise
