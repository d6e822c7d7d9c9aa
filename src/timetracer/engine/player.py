"""The player: answers every call from the cassette, and raises a miss where none answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from timetracer import values
from timetracer.cassette.model import Body, Event, Items
from timetracer.engine.bindings import swap_bytes, swap_data
from timetracer.engine.bodies import Recorded
from timetracer.engine.drivers import REAL, Core, Drain, Linger, RealWith
from timetracer.engine.guard import blamed
from timetracer.engine.lanes import current_lane
from timetracer.engine.links import Link, link_of
from timetracer.engine.takes import EMPTY, encode_fields
from timetracer.errors import CassetteCorrupt, Exhausted, NoMatch, ReplayError, UnsupportedError
from timetracer.plugin import Call, Exchange, Open, Plugin, Poll, Receive, Reply, Request, Send, Upload, Value

Answer: TypeAlias = Callable[[Call, Reply | BaseException | None], None]
"""A plugin's `Send.answer`."""


class Deck(Protocol):
    """The replayed session, as far as the player needs it."""

    @property
    def live(self) -> dict[str, str]:
        """Which live value stands for which recorded one, so far."""

    def answer(self, plugin: Plugin, request: Request, fields: dict[str, Any], body: bytes, lane: str) -> Event:
        """Returns the event that answers a call, and uses it up. Raises a `ReplayError` for a miss, and keeps it."""

    def failure(self, plugin: Plugin, request: Request, fields: dict[str, Any], lane: str) -> Event | None:
        """Returns the recorded failure that is due of an opening, or before a body was sent, and uses it up."""

    def known(self, plugin: Plugin, request: Request | None) -> Event | None:
        """Returns what was recorded of a connection to this server."""

    def missed(self, error: ReplayError) -> ReplayError:
        """Keeps a miss, so that a test fails even if the app swallows it; returns it to be raised."""

    def raw(self, body: Body) -> list[bytes]:
        """Returns the chunks of a recorded body."""

    def gaps(self, body: Body) -> Sequence[float]:
        """Returns the seconds to wait before each chunk of a recorded body."""


class Player:
    """The side of a plugin whose calls are answered from a cassette."""

    stand_in = True

    def __init__(self, deck: Deck) -> None:
        self.deck = deck

    # -- roles

    def exchange(self, plugin: Plugin, role: Exchange, call: Call) -> Core:
        """Answers a call, or raises what was raised."""
        with self._blamed(plugin, "describing a call"):
            request = role.describe(call)
        if request is None:
            return (yield REAL)
        body = request.body
        sent = (yield Drain(body.source)) if isinstance(body, Upload) else body or b""
        event = self._find(plugin, request, sent)
        if event is None:
            with self._blamed(plugin, "giving an answer"):
                return role.decode(call, _courtesy(request))
        if event.result.cancelled:
            yield Linger((event.duration_ms or 0) / 1000 + 1)
        self._raise_recorded(plugin, call, event)
        with self._blamed(plugin, f"giving the answer to {request.method} {request.target}"):
            return role.decode(call, self._reply(event))

    def send(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core:
        """Takes a request on a stand-in link and gets its answers ready."""
        with self._blamed(plugin, "describing a call"):
            request = role.describe(call)
        if request is None:
            return (yield REAL) if role.feed or role.answer else None
        if role.answer is not None:
            return (yield from self._send_whole(plugin, role, role.answer, call, request, link))
        body = request.body if isinstance(request.body, bytes) else b""
        event = self._find(plugin, request, body)
        link.used = True
        replies = [*request.courtesy] if event is None else self._replies(event)
        if event is not None:
            self._raise_recorded(plugin, call, event)
        if role.feed is not None:
            with self._blamed(plugin, f"giving the answer to {request.method} {request.target}"):
                role.feed(call, [self._value(r) for r in replies])
            return (yield REAL)
        asked = Asked(self, deque(replies), stream=request.replies is None)
        if event is not None and event.result.cancelled:
            asked.waits = (event.duration_ms or 0) / 1000 + 1
        if link.stream is not None:
            link.stream.replies.extend(asked.replies)
        elif asked.stream:
            link.stream = asked
        elif not asked.done:
            link.pending.append(asked)
        return None

    def _send_whole(self, plugin: Plugin, role: Send, answer: Answer, call: Call, request: Request, link: Link) -> Core:
        """Runs the real function against a peer that has the answer, or has none yet where the body is still to come.

        It runs as well where it fails: the connection is then in the state that it was in.
        """
        failed: BaseException | None = None
        if isinstance(request.body, Upload) and request.body.late:
            event = self.deck.failure(plugin, request, encode_fields(request.fields), current_lane())
            if event is None:
                answer(call, None)
                link.pending.append(Late(self, plugin, answer, request))
            else:
                failed = self._hand_over(plugin, answer, call, request, event, link)
        else:
            try:
                sent = (yield Drain(request.body.source)) if isinstance(request.body, Upload) else request.body or b""
            except Exception as error:  # noqa: BLE001 - the app's own, which its body raised: raised again below
                answer(call, None)
                failed = error
            else:
                failed = self.hand(plugin, answer, call, request, sent, link)
        if failed is None:
            return (yield REAL)
        yield RealWith(call.args, {**call.kwargs})  # after `REAL` an error would be a fault of ours: this is the answer
        raise failed

    def hand(
        self, plugin: Plugin, answer: Answer, call: Call, request: Request, sent: bytes, link: Link
    ) -> BaseException | None:
        """Hands the peer the answer to a request, or the error in its place; returns what ended the asking itself."""
        event = self._find(plugin, request, sent)
        link.used = True
        return self._hand_over(plugin, answer, call, request, event, link)

    def _hand_over(
        self, plugin: Plugin, answer: Answer, call: Call, request: Request, event: Event | None, link: Link
    ) -> BaseException | None:
        failed: BaseException | None = None
        with self._blamed(plugin, f"giving the answer to {request.method} {request.target}"):
            if event is None:
                answer(call, _courtesy(request))
                return None
            result = event.result
            if result.error is not None:
                failed = plugin.decode_error(call, self._value(result.error))
            raised = [plugin.decode_error(call, self._value(each)) for each in result.replies or ()]
            unasked = not raised and result.value is None and result.status is None
            answer(call, raised[0] if raised else None if unasked else self._reply(event))
            if unasked and failed is None:  # nobody asked for the answer: who does now misses it
                link.pending.append(Asked(self, deque(), stream=False))
        return failed

    def open(self, plugin: Plugin, role: Open, call: Call, link: Link | None) -> Core:
        """Makes a connection to nobody, or fails as it failed."""
        request = role.describe(call)
        if request is not None:
            failure = self.deck.failure(plugin, request, encode_fields(request.fields), current_lane())
            if failure is not None:
                if role.leave is not None and role.link is not None:
                    role.leave(role.link(call))  # settling made it a stand-in already, and it must not look open
                self._raise_recorded(plugin, call, failure)
        made = role.stand_in(call, lambda *args, **kwargs: RealWith(args, kwargs), self.known(plugin, role, call))
        if link is not None:
            link.quiet += 1
        try:
            result = (yield made) if isinstance(made, RealWith) else made
        finally:
            if link is not None:
                link.quiet -= 1
        if link is None and isinstance(made, RealWith):
            link_of(result).stand_in = True
        return result

    def known(self, plugin: Plugin, role: Open, call: Call) -> Value:
        """Returns what was recorded of the server that a call connects to; None where nothing was."""
        event = self.deck.known(plugin, role.describe(call))
        return None if event is None else self._value(event.result.value)

    def _blamed(self, plugin: Plugin, doing: str) -> blamed:
        """A plugin's own fault is a miss: kept, so that a test fails even if the app swallows it."""

        def told(doing: str, error: Exception) -> Exception:
            message = f"{plugin.name}: {doing} failed: {type(error).__name__}: {error}"
            miss = self.deck.missed(ReplayError(message, reason="decode error", call=f"{plugin.name}: {doing}"))
            return error if isinstance(error, UnsupportedError) else miss

        return blamed(doing, told)

    # -- recorded data to live values

    def _find(self, plugin: Plugin, request: Request, body: bytes) -> Event | None:
        try:
            fields = encode_fields(request.fields)
        except UnsupportedError as error:
            raise self.deck.missed(ReplayError(f"{plugin.name}: {error}", reason="no match")) from error
        try:
            return self.deck.answer(plugin, request, fields, body, current_lane())
        except ReplayError as miss:
            if request.courtesy and miss.reason != "no cassette":
                return None
            raise self.deck.missed(miss) from None

    def _replies(self, event: Event) -> list[Any]:
        if event.result.replies is not None:
            return event.result.replies
        return [event.result.value] if event.result.value is not None else []

    def _raise_recorded(self, plugin: Plugin, call: Call, event: Event) -> None:
        if event.result.error is not None:
            raise plugin.decode_error(call, self._value(event.result.error))

    def _reply(self, event: Event) -> Reply:
        result = event.result
        live = self.deck.live
        headers = [(k, v) for k, v in result.headers]
        body = self._body(result.body, event)
        if live:
            headers = [(k, str(swap_data(v, live))) for k, v in headers]
        if result.body is not None and (live or result.body.encoding):
            headers = _of_length(headers, self.deck.raw(result.body), live)
        return Reply(self._value(result.value), result.status, headers, body, self._rows(result.items, event))

    def _body(self, body: Body | None, event: Event) -> Recorded:
        if body is None:
            return Recorded([])
        chunks = self.deck.raw(body)
        if self.deck.live:
            chunks = [swap_bytes(c, self.deck.live) for c in chunks]
        error = None if body.error is None else self._value(body.error)
        linger = (event.duration_ms or 0) / 1000 + 1
        return Recorded(
            list(chunks), body.end, error, missed=self._short(event), gaps=self.deck.gaps(body), linger=linger
        )

    def _short(self, event: Event) -> Callable[[ReplayError], ReplayError]:
        """Keeps, as a miss of its call, that more of an answer is asked for than the app took when it was recorded."""
        signature = event.signature

        def missed(miss: ReplayError) -> ReplayError:
            call = f"{signature.lib} {signature.method} {signature.url.partition('?')[0]}"  # a query may hold secrets
            text = f"{miss}\n  event {event.eid}: {call}"
            more = {"call": call, "nearest": event.eid, "differences": [str(miss)]}
            return self.deck.missed(type(miss)(text, reason=miss.reason, **more))

        return missed

    def _rows(self, items: Items | None, event: Event) -> Recorded:
        if items is None:
            return Recorded([])
        error = None if items.error is None else self._value(items.error)
        return Recorded([self._value(v) for v in items.values], items.end, error, missed=self._short(event))

    def _value(self, data: Any) -> Value:
        if data is None:
            return None
        try:
            return values.decode(swap_data(data, self.deck.live) if self.deck.live else data)
        except CassetteCorrupt as error:
            raise self.deck.missed(ReplayError(str(error), reason="decode error")) from error


class Asked:
    """One request on a stand-in link, with the answers that are left."""

    __slots__ = ("player", "replies", "stream", "waits")

    def __init__(self, player: Player, replies: deque[Any], *, stream: bool) -> None:
        self.player, self.replies, self.stream = player, replies, stream
        self.waits: float | None = None  # seconds to wait for a cancellation, where no answer came

    @property
    def done(self) -> bool:
        """Whether every answer was taken."""
        return not self.stream and not self.replies and self.waits is None

    def close(self) -> None:
        """The link ended."""
        self.replies.clear()

    def receive(self, plugin: Plugin, role: Receive, call: Call, link: Link) -> Core:
        """Gives the next answer, raising it if it is an error."""
        if not self.replies and self.waits is not None:
            if link.pending and link.pending[0] is self:
                link.pending.popleft()
            yield Linger(self.waits)
        if not self.replies:
            error = Exhausted(
                f"{plugin.name}: the recorded answers of this connection are all taken", reason="already consumed"
            )
            raise self.player.deck.missed(error)
        data = self.replies.popleft()
        if self.done and link.pending and link.pending[0] is self:
            link.pending.popleft()
        if data == EMPTY:
            return None
        value = self.player._value(data)
        if isinstance(value, BaseException):
            raise plugin.decode_error(call, value)
        return value if role.decode is None else role.decode(call, value)

    def poll(self, plugin: Plugin, role: Poll, call: Call, link: Link) -> Core:
        """Tells whether an answer waits; an empty poll is used up by asking."""
        if self.replies and self.replies[0] == EMPTY:
            self.replies.popleft()
            return False
        yield from ()  # a core like every other, with nothing to wait for
        return bool(self.replies)


class Late:
    """A request on a stand-in link whose body is known in full only when its answer is asked for."""

    stream = False
    done = False

    def __init__(self, player: Player, plugin: Plugin, answer: Answer, request: Request) -> None:
        self.player, self.plugin, self.answer, self.request = player, plugin, answer, request
        self.advice: str | None = None  # goes with a miss

    def close(self) -> None:
        """The link ended: nobody asks for the answer any more."""

    def receive(self, plugin: Plugin, role: Receive, call: Call, link: Link) -> Core:
        """Finds the answer and lets the real function take it from the peer."""
        link.pending.remove(self)
        body: Any = self.request.body
        sent = yield Drain(body.source)
        try:
            self.player.hand(self.plugin, self.answer, call, self.request, sent, link)
        except NoMatch as miss:
            if self.advice is not None:
                miss.add_note(self.advice)
            raise
        if link.pending:
            return (yield from link.pending[0].receive(plugin, role, call, link))
        return (yield REAL)


def _courtesy(request: Request) -> Reply:
    return Reply(request.courtesy[0], None, (), Recorded([]), Recorded([]))


def _of_length(headers: list[tuple[str, str]], chunks: list[bytes], live: dict[str, str]) -> list[tuple[str, str]]:
    """Returns the headers with the length that the body has now: coded anew, or with other values in it."""
    length = str(sum(len(swap_bytes(chunk, live)) for chunk in chunks))
    return [(name, length if name.lower() == "content-length" else value) for name, value in headers]
