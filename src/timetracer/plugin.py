"""The contract a plugin author reads: where to patch, what a call asks, how an answer becomes data and back.

A plugin is frozen data and pure functions. It never knows whether a call is recorded, replayed or let through.

    PLUGIN = Plugin(
        name="httpx",
        kind="http",
        library="httpx>=0.24,<1",
        patches=(Patch("httpx:HTTPTransport.handle_request", Exchange(describe=..., encode=..., decode=...)),),
    )

Six roles cover every library seen so far:

* `Exchange`: one function asks and is answered (httpx, requests, botocore).
* `Send`, `Receive`, `Poll`: asking and answering are separate functions of one connection, the *link* (redis, psycopg,
  http.client).
* `Open`, `Close`: a connection is made, readied or checked; it ends.

A patched function may be plain, a coroutine function or a generator function. The engine drives all three, so a plugin
describes each call once. Register a plugin under the entry point group `timetracer_plugin`; see `docs/plugins.md`.

What is data here, and wherever a recording starts, is a `msgspec.Struct` rather than a dataclass: its class is made in
0.03 ms rather than 0.3 to 1 ms, which saved 15 ms of every start.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

Value: TypeAlias = Any
"""Whatever `timetracer.values` restores exactly (exceptions included); anything else makes the event incomplete.

A value is encoded later, on another thread: give the engine what nobody changes afterwards, or a copy. What costs time
to make of the answer can be made there, too: `timetracer.values.Later`.
"""

Headers: TypeAlias = Collection[tuple[str, str]]
"""Header names and values as sent: order, case and duplicates kept, bytes decoded as latin-1."""

BodyEnd: TypeAlias = Literal["complete", "partial", "error"]
"""How a body ended: to its end, left by the app before its end, or by an error."""


# ------------------------------------------------------------------------------------------------ what a call asks


class Call(msgspec.Struct):
    """One call of a patched function, as the app made it. Not to be changed."""

    owner: Any  # the instance or class it was called on; None for a module function
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def arg(self, index: int, name: str, default: Any = None) -> Any:
        """Returns the argument at `index` (the owner not counted), or the one called `name`."""
        return self.args[index] if index < len(self.args) else self.kwargs.get(name, default)


class Volatile(msgspec.Struct, frozen=True):
    """A value made anew in each run (a lock token, a cursor id).

    It is left out of the second attempt to match; from then on the live value stands wherever the recorded one stood in
    later answers.
    """

    value: Value
    family: str


class Upload(msgspec.Struct, frozen=True):
    """A body that is read while it is sent, and never ahead of that.

    Args:
        source: what the library would have read: an iterable (or file) of bytes or str, or an async iterable.
        replace: puts another source of the same shape in its place. Called at most once per call, before the call runs.
        late: further calls send it, so it is known in full only when the answer is asked for (`Send.answer`). Then
            `source` is a file, and what was put in its place is to be read after each of those calls.
    """

    source: Iterable[bytes] | AsyncIterable[bytes]
    replace: Callable[[Any], None]
    late: bool = False


class Request(msgspec.Struct, kw_only=True, gc=False):
    """What a call asks, canonical: whatever differs from run to run without meaning is already taken out.

    `type`, `method`, `target`, `fields` and `body` are compared; calls that are equal in these may answer for each
    other.
    `headers` are shown and redacted, not compared: put a header that decides the answer (`Range`) into `fields`, too.
    """

    type: str  # http.client, db.query, cache.command, aws.call, task.publish
    method: str  # GET, SELECT, HGETALL, PutObject
    target: str  # URL, key, database, queue
    fields: Mapping[str, Value] = msgspec.field(default_factory=dict)
    headers: Headers = ()
    body: bytes | Upload | None = None
    replies: int | None = 1  # answers to expect on the link; None: a stream, open until its link closes
    shared: bool = False  # belongs to the connection (preamble, introspection): served as often as asked
    courtesy: tuple[Value, ...] = ()  # answers nobody depends on (ROLLBACK), given where none was recorded
    optional: bool = False  # chance decides whether it is asked (a pool's check of a connection): never missing


# ------------------------------------------------------------------------------------------------ what comes back


class Sink(Protocol):
    """Takes what outlives the call: feed what the app reads when it reads it, and finish once."""

    def feed(self, item: Value) -> None:
        """Takes one chunk of a body (bytes), or one item (a row)."""

    def feed_all(self, items: Sequence[Value]) -> None:
        """Takes several items (rows) at once; the sequence itself may change afterwards."""

    def finish(self, end: BodyEnd = "complete", error: BaseException | None = None) -> None:
        """Ends it. Later calls do nothing."""


class Source(Protocol):
    """Gives recorded chunks or items back one by one, then raises whatever ended them.

    Reading past what the app read at the time raises `Exhausted`.
    """

    end: BodyEnd

    def __iter__(self) -> Iterator[Value]: ...

    def __aiter__(self) -> AsyncIterator[Value]: ...

    def read(self) -> bytes:
        """Returns all that is left of a body as one piece."""


class Capture(Protocol):
    """Where `encode` puts an answer."""

    def reply(self, value: Value = None, *, status: int | None = None, headers: Headers = ()) -> None:
        """Takes the answer itself; `status` and `headers` where the protocol has them."""

    def body(self) -> Sink:
        """Opens the sink for a body of bytes that the app has yet to read."""

    def items(self) -> Sink:
        """Opens the sink for typed items (rows) that the app has yet to fetch."""


class Reply(msgspec.Struct, frozen=True):
    """What `decode` gets back: what was given to `Capture.reply`, live tokens in place, and the recorded streams."""

    value: Value
    status: int | None
    headers: Headers
    body: Source
    items: Source


# ------------------------------------------------------------------------------------------------ the six roles


class Exchange(msgspec.Struct, frozen=True, kw_only=True, eq=False):  # nobody compares roles
    """One function that asks and is answered."""

    describe: Callable[[Call], Request | None]  # None: not ours, let it through
    encode: Callable[[Call, Any, Capture], Any]  # returns what the app gets: the result, its body perhaps wrapped
    decode: Callable[[Call, Reply], Any]


class Send(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Asks on a link; the answers come through `Receive`.

    With `feed`, a stand-in peer is handed the answers and the real function runs against it, for drivers that accept
    nothing but an answer from their own protocol code (libpq). An error recorded as the answer is handed over as well.
    Where nothing is described and the function is left (cancelled) before the answers came that the link expects, what
    `encode_error` makes of that stands for each of them; None if they may yet come.

    With `answer`, the peer is handed one answer that has a body of its own (`Receive.keep`), or the error that came in
    its place; None: the answer is not known yet (`Upload.late`), and the real function is to reach nobody.
    """

    link: Callable[[Call], object]
    describe: Callable[[Call], Request | None]
    feed: Callable[[Call, Sequence[Value]], None] | None = None
    answer: Callable[[Call, Reply | BaseException | None], None] | None = None


class Receive(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Takes the next answer from a link. Errors that the real function raises are answers too.

    `decode` None: a stand-in peer was fed, and the real function runs against it.

    Args:
        keep: in `encode`'s place for an answer whose body the app has yet to read: as `Exchange.encode`. A request has
            one such answer, and `Send.answer` hands it to the peer.
        idle: tells from a result, with `keep` from an error as well, that there is no answer yet. Such results are kept
            in streams, and dropped elsewhere.
    """

    link: Callable[[Call], object]
    encode: Callable[[Call, Any], Value] = lambda call, result: result
    decode: Callable[[Call, Value], Any] | None
    keep: Callable[[Call, Any, Capture], Any] | None = None
    idle: Callable[[Any], bool] = lambda result: result is None


class Poll(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Asks a link whether an answer waits, and takes none.

    Args:
        opens: opens a closed link, where the real function does so before it looks.
    """

    link: Callable[[Call], object]
    opens: Callable[[Call], object] = lambda call: None


class Open(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Makes, readies or checks a connection. What other plugins see inside is not captured.

    Args:
        stand_in: done instead where no server may be reached. It gets the call, and `real`, which takes the arguments
            to run the real function with: return what `real` returns, and the function runs, sync or async as it is.
        describe: names the server. A failed opening becomes an event, and `reply` (see `encode`) is kept with it.
        encode: what is to be remembered of a connection made live (server settings), given to `stand_in` as `known`.
        link: the connection; None where it does not exist before the call (the function returns it).
        leave: unmakes a connection, made either way, so that its next use opens it again: a pooled connection may pass
            from a live use to a replayed one. Exactly one role of a plugin with links has it.
        holds: whether calls leave something on a connection (a transaction) that leaving it would lose.
    """

    stand_in: Callable[[Call, Callable[..., Any], Value], Any]
    describe: Callable[[Call], Request | None] = lambda call: None
    encode: Callable[[Call, Any], Value] = lambda call, result: None
    link: Callable[[Call], object] | None = None
    leave: Callable[[Any], None] | None = None
    holds: bool = True


class Close(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A link ends: its stream closes, and answers still expected are dropped."""

    link: Callable[[Call], object]


Role: TypeAlias = Exchange | Send | Receive | Poll | Open | Close


# ------------------------------------------------------------------------------------------------ the plugin


class Patch(msgspec.Struct, frozen=True):
    """One function to wrap.

    Args:
        target: `module:Class.function` or `module:function`, as it is called upstream. In another package than the
            library's own it is wrapped once that package is imported.
        role: what the function does; None if it is wrapped for `prepare` alone.
        prepare: rewrites the arguments of every call, whoever answers it (a connection class, a middleware). Not of
            those that are silent beneath another plugin's.
        since: absent before this version of the library. Any other absence is a fault that `timetracer doctor` shows.
    """

    target: str
    role: Role | None = None
    prepare: Callable[[Call], Call] | None = None
    since: str | None = None


def _same_error(call: Call, error: Any) -> Any:
    return error


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """All that timetracer knows of one library."""

    name: str  # as users type it: httpx, redis
    kind: str  # http, db, redis, mongo, aws, celery, cache
    library: str  # requirement: "redis>=5,<9"
    patches: tuple[Patch, ...]
    owns: frozenset[str] = frozenset()  # plugins that stay silent beneath this one's calls
    encode_error: Callable[[Call, BaseException], Value] = _same_error  # adds what the class alone cannot restore
    decode_error: Callable[[Call, Value], BaseException] = _same_error  # gives it its live parts (`.request`)


# ------------------------------------------------------------------------------------------------ the way in


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """What came in: a request or a task. An integration describes it and opens the door with it."""

    type: str  # http.server, task.run; http.websocket passes unrecorded
    method: str  # GET; RUN
    target: str  # path with query; task name
    headers: Headers = ()
    fields: Mapping[str, Value] = msgspec.field(default_factory=dict)
    body: bytes | None = None  # where it is at hand; a web request's is fed to `Visit.request_body`


class Visit(Protocol):
    """One inbound call while it is served."""

    @property
    def trusted(self) -> bool:
        """Whether it is known who asks, so that a guard against forged requests (CSRF tokens) may be lifted."""

    @property
    def reads_ahead(self) -> bool:
        """Whether the request's body is wanted whole before the application has it: only that tells what is asked."""

    def route(self, name: str) -> None:
        """Names the call once routing has run: a route template (`/orders/{id}`) or a task name."""

    def answer(self, value: Value = None, *, status: int | None = None, headers: Headers = ()) -> None:
        """Takes the head of the answer."""

    def request_body(self) -> Sink:
        """Opens the sink for the request's body: fed when the app receives it, or ahead of that (`reads_ahead`)."""

    def body(self) -> Sink:
        """Opens the sink for the answer's body."""

    def error(self, error: BaseException) -> None:
        """Notes the exception that the app raised, also where a framework turned it into an answer."""

    def note(self, function: Callable[..., Value], *args: Any) -> Value:
        """Runs what reads or keeps something of the call; where it fails that is our own affair, and this gives None.

        The app's own functions, and what tells of its client, are never run in here.
        """

    def resume(self) -> AbstractContextManager[None]:
        """Makes the call current again, for work after the door is left (a streamed body)."""


class Door(Protocol):
    """Opens a session for what came in; leaving it ends the call itself, not its open bodies.

    It is given what describes the call, and with what: describing may fail, and then the app serves the call as ever.
    """

    def __call__(self, describe: Callable[..., Inbound], *came: Any) -> AbstractContextManager[Visit]: ...

    def ended(self) -> None:
        """Says that the application behind it has ended in order: its server may let the process be killed next."""
