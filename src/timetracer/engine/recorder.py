"""The recorder: lets every call run for real and notes what it asked and how it was answered.

On the caller's path it only keeps references; encoding, redaction and writing happen on the writer's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry import trace

from timetracer import values
from timetracer.cassette import model
from timetracer.engine.bodies import Budget, Copy, CopyingStream
from timetracer.engine.drivers import REAL, Core
from timetracer.engine.guard import guard
from timetracer.engine.lanes import current_lane
from timetracer.engine.links import Link, link_of
from timetracer.engine.sessions import silenced
from timetracer.errors import UnsupportedError
from timetracer.plugin import (
    Call,
    Exchange,
    Headers,
    Open,
    Plugin,
    Poll,
    Receive,
    Request,
    Send,
    Upload,
    Value,
    Volatile,
)

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


class Take:
    """One event while it is recorded. It is the `Capture` that `encode` fills, and a conversation on a link."""

    __slots__ = (
        "call",
        "cancelled",
        "eid",
        "ended",
        "error",
        "incomplete",
        "lane",
        "left",
        "plugin",
        "replies",
        "request",
        "response_body",
        "response_headers",
        "response_items",
        "span_id",
        "started",
        "status",
        "stream",
        "tape",
        "upload",
        "value",
    )

    def __init__(self, tape: Tape, plugin: Plugin, request: Request, call: Call) -> None:
        self.tape, self.plugin, self.request, self.call = tape, plugin, request, call
        self.eid = -1
        self.started = time.time_ns()
        self.ended: int | None = None
        self.lane = current_lane()
        self.span_id = trace.get_current_span().get_span_context().span_id
        self.upload: Copy | None = None
        self.status: int | None = None
        self.response_headers: Headers = ()
        self.value: Value = None
        self.response_body: Copy | None = None
        self.response_items: Copy | None = None
        self.replies: list[Value] | None = None
        self.error: Value = None
        self.cancelled = False
        self.incomplete: str | None = None
        self.stream = request.replies is None
        self.left = request.replies or 0

    # -- Capture

    def reply(self, value: Value = None, *, status: int | None = None, headers: Headers = ()) -> None:
        """Takes the answer itself."""
        self.value, self.status, self.response_headers = value, status, headers

    def body(self) -> Copy:
        """Opens the sink of the answer's body; the session stays open until it ends."""
        self.tape.hold()
        self.response_body = Copy(self.tape.body_limit, self.tape.budget, self._body_done, paced=True)
        return self.response_body

    def items(self) -> Copy:
        """Opens the sink of the answer's rows. They do not keep the session open: a cursor is often left unread."""
        self.response_items = Copy(self.tape.body_limit, self.tape.budget)
        return self.response_items

    def _body_done(self) -> None:
        self.ended = time.time_ns()
        self.tape.release()

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
        if not self.stream and not self.done:
            self.tape.release()

    def receive(self, plugin: Plugin, role: Receive, call: Call, link: Link) -> Core:
        """Lets the real function take the answer and notes it."""
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
        with guard(f"{plugin.name}: keeping an answer"):
            if not role.idle(result) or (not self.stream and self.left):
                self.came(role.encode(call, result), link)
            elif self.stream:
                self.came(EMPTY, link)
        return result

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
        if self.done and link.pending and link.pending[0] is self:
            link.pending.popleft()
            self.tape.release()

    # -- on the writer's thread

    def event(self, epoch: int) -> model.Event:
        """Returns the finished event; `epoch` is the session's start in nanoseconds."""
        return model.Event(
            eid=self.eid,
            type=self.request.type,
            signature=model.Signature(
                lib=self.plugin.name,
                method=self.request.method,
                url=self.request.target,
                fields=self._encoded("fields", lambda: encode_fields(self.request.fields), {}),
            ),
            request=model.Sent(headers=list(self.request.headers), body=self._sent_body()),
            result=model.Result(
                status=self.status,
                headers=list(self.response_headers),
                value=self._encoded("answer", lambda: values.encode(self.value), None),
                body=None if self.response_body is None else self.response_body.body(),
                items=None if self.response_items is None else self._encoded("rows", self.response_items.rows, None),
                replies=None if self.replies is None else self._encoded("answers", self._encoded_replies, []),
                error=self._encoded("error", lambda: None if self.error is None else values.encode(self.error), None),
                cancelled=self.cancelled,
            ),
            lane=self.lane,
            span_id=f"{self.span_id:016x}" if self.span_id else None,
            start_offset_ms=round((self.started - epoch) / 1e6, 3),
            duration_ms=None if self.ended is None else round((self.ended - self.started) / 1e6, 3),
            incomplete=self._why_incomplete(),
        )

    def _encoded_replies(self) -> list[Any]:
        return [EMPTY if v is EMPTY else values.encode(v) for v in self.replies or ()]

    def _encoded(self, what: str, encode: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return encode()
        except UnsupportedError as error:
            self.incomplete = f"{what}: {error}"
            return otherwise

    def _sent_body(self) -> model.Body | None:
        if self.upload is not None:
            return self.upload.body(unread=True)
        body = self.request.body
        return model.Body(raw=[body]) if isinstance(body, bytes) and body else None

    def _why_incomplete(self) -> str | None:
        for copy in (self.upload, self.response_body, self.response_items):
            if copy is not None and copy.why_incomplete:
                self.incomplete = self.incomplete or copy.why_incomplete
        if (
            self.incomplete is None
            and not self.cancelled
            and not self.stream
            and self.left > 0
            and self.replies is not None
            and self.error is None
        ):
            self.incomplete = f"{self.left} more answers were expected when the connection ended"
        return self.incomplete


def encode_fields(fields: Any) -> dict[str, Any]:
    """Encodes a request's fields; a `Volatile` becomes `{"$volatile": [family, value]}`, at any depth."""
    return {name: _with_volatile(value) for name, value in fields.items()}


def _with_volatile(value: Value) -> Any:
    if isinstance(value, Volatile):
        return {"$volatile": [value.family, values.encode(value.value)]}
    if type(value) is list and any(isinstance(v, (Volatile, list, dict)) for v in value):
        return [_with_volatile(v) for v in value]
    if (
        type(value) is dict
        and any(isinstance(v, (Volatile, list, dict)) for v in value.values())
        and all(type(k) is str for k in value)
    ):
        return {k: _with_volatile(v) for k, v in value.items()}
    return values.encode(value)


class Recorder:
    """The side of a plugin whose calls are recorded."""

    stand_in = False

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def begin(self, plugin: Plugin, describe: Callable[[Call], Request | None], call: Call) -> Take | None:
        """Describes a call and starts its event; None where it is not the plugin's, or describing it failed."""
        with guard(f"{plugin.name}: describing a call"):
            request = describe(call)
            if request is None:
                return None
            take = Take(self.tape, plugin, request, call)
            if isinstance(request.body, Upload):
                take.upload = Copy(self.tape.body_limit, self.tape.budget)
                request.body.replace(CopyingStream(request.body.source, take.upload))
            if request.shared:
                self.tape.share(take)
            else:
                self.tape.add(take)
            return take
        return None

    def exchange(self, plugin: Plugin, role: Exchange, call: Call) -> Core:
        """Runs the real function, with the layers beneath it silent, and has its answer encoded."""
        take = self.begin(plugin, role.describe, call)
        if take is None:
            return (yield REAL)
        self.tape.hold()
        try:
            with silenced(plugin.owns):
                result = yield REAL
        except BaseException as error:
            take.failed(call, error)
            raise
        else:
            take.finished()
            with guard(f"{plugin.name}: keeping an answer") as kept:
                result = role.encode(call, result, take)
            if kept.failed:
                take.incomplete = f"the answer could not be kept: {type(kept.failed).__name__}"
            return result
        finally:
            self.tape.release()

    def send(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core:
        """Runs the real function and expects the answers on the link."""
        if link.opened is not None:
            self.tape.share(link.opened)
        take = self.begin(plugin, role.describe, call)
        if take is None:
            return (yield REAL)
        if take.stream or link.stream is not None:
            link.stream = link.stream or take
        elif take.left:
            self.tape.hold()
            link.pending.append(take)
        link.sending += 1
        try:
            if asyncio._get_running_loop() is None:
                return (yield REAL)
            with silenced(frozenset()):  # tasks that the client makes to write are in no lane: a stand-in makes none
                return (yield REAL)
        except BaseException as error:
            take.failed(call, error)
            if take in link.pending:
                link.pending.remove(take)
                self.tape.release()
            raise
        finally:
            link.sending -= 1

    def open(self, plugin: Plugin, role: Open, call: Call, link: Link | None) -> Core:
        """Runs the real function with all beneath it silent; keeps how it failed, or what is known of the peer."""
        if link is not None:
            link.quiet += 1
        request = None
        with guard(f"{plugin.name}: describing a connection"):
            request = role.describe(call)
        take = None if request is None else Take(self.tape, plugin, request, call)
        try:
            with silenced(plugin.owns | {plugin.name}):
                result = yield REAL
        except BaseException as error:
            if take is not None:
                take.failed(call, error)
                if link is None or not (link.sending or link.quiet > 1):  # else the call around this one says so
                    self.tape.add(take)
            raise
        finally:
            if link is not None:
                link.quiet -= 1
        if take is not None:
            take.finished()
            with guard(f"{plugin.name}: keeping a connection's settings"):
                take.reply(role.encode(call, result))
                self.tape.share(take)
                (link or link_of(result)).opened = take
        return result

    def known(self, plugin: Plugin, role: Open, call: Call) -> Value:
        """Nothing needs to be known of a real connection."""
        return None


class Passage:
    """The side of a plugin that stays live in a replay: nothing is kept, and what it owns stays silent beneath it."""

    stand_in = False

    def exchange(self, plugin: Plugin, role: Exchange, call: Call) -> Core:
        """Runs the real function."""
        with silenced(plugin.owns | {LIVE}):
            return (yield REAL)

    def send(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core:
        """Runs the real function."""
        with silenced(frozenset({LIVE})):
            return (yield REAL)

    def open(self, plugin: Plugin, role: Open, call: Call, link: Link | None) -> Core:
        """Runs the real function."""
        with silenced(plugin.owns | {plugin.name, LIVE}):
            return (yield REAL)

    def known(self, plugin: Plugin, role: Open, call: Call) -> Value:
        """Nothing needs to be known of a real connection."""
        return None


LIVE = "timetracer:live"
"""Stands among the silent names while a live plugin's call is under way: the fence lets it connect."""
PASSAGE = Passage()
