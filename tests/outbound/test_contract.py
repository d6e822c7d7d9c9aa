"""The contract of plugins, role by role, over libraries of a few lines: what is recorded, and what is given back."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace as changed
from opentelemetry.instrumentation.utils import suppress_instrumentation

import timetracer
from timetracer.cassette import read_cassette
from timetracer.cassette.model import Event
from timetracer.engine import wrapping
from timetracer.plugin import (
    Call,
    Capture,
    Close,
    Exchange,
    Open,
    Patch,
    Plugin,
    Poll,
    Receive,
    Reply,
    Request,
    Role,
    Send,
    Upload,
    Volatile,
)

_numbers = itertools.count(1)


def toy(source: str, roles: dict[str, Role], **more: Any) -> Any:
    """Makes a library of `source`, and installs a plugin for it. `asked` lists what reached the library."""
    library = ModuleType(f"toy{next(_numbers)}")
    exec("asked = []\n" + source, library.__dict__)
    sys.modules[library.__name__] = library
    patches = tuple(Patch(f"{library.__name__}:{target}", role) for target, role in roles.items())
    plugin: Any = {"name": library.__name__, "kind": "http", "library": library.__name__, "patches": patches, **more}
    wrapping.install(Plugin(**plugin))
    return library


def described(call: Call) -> Request:
    """The first argument is what is asked."""
    return Request(type="toy.ask", method="ASK", target=str(call.arg(0, "what")))


def kept(call: Call, result: Any, capture: Capture) -> Any:
    capture.reply(result)
    return result


ASK = Exchange(describe=described, encode=kept, decode=lambda call, reply: reply.value)


def events(path: Path) -> list[Event]:
    return read_cassette(path).events


# ------------------------------------------------------------------------------------------------ shapes of functions

SHAPES = """
from time import time_ns

def function(what):
    asked.append(what); return [what, time_ns()]
async def coroutine(what):
    asked.append(what); return [what, time_ns()]
def generator(what):
    got = yield "wait"
    asked.append(what); return [what, got, time_ns()]
class Thing:
    def method(self, what):
        asked.append(what); return [what, time_ns()]
    async def later(self, what):
        asked.append(what); return [what, time_ns()]
    @staticmethod
    def static(what):
        asked.append(what); return [what, time_ns()]
    @classmethod
    def of_class(cls, what):
        asked.append(what); return [what, cls.__name__, time_ns()]
"""


def _driven(generator: Any) -> Any:
    """Runs a generator to its end, answering each yield."""
    try:
        sent = next(generator)
        while True:
            sent = generator.send(f"{sent} over")
    except StopIteration as stop:
        return stop.value


CALLS: dict[str, Callable[[Any], Any]] = {
    "function": lambda lib: lib.function("a"),
    "coroutine": lambda lib: asyncio.run(lib.coroutine("a")),
    "generator": lambda lib: _driven(lib.generator("a")),
    "Thing.method": lambda lib: lib.Thing().method(what="a"),
    "Thing.later": lambda lib: asyncio.run(lib.Thing().later("a")),
    "Thing.static": lambda lib: lib.Thing.static("a"),
    "Thing.of_class": lambda lib: lib.Thing.of_class("a"),
}


@pytest.mark.parametrize("target", CALLS)
def test_every_shape_of_function_is_recorded_and_answered(target: str, tmp_path: Path) -> None:
    """Functions, coroutine functions, generator functions; of modules, classes and objects: one description."""
    lib, call = toy(SHAPES, {target: ASK}), CALLS[target]
    with timetracer.record(tmp_path / "c.json"):
        live = call(lib)
    with timetracer.replay(tmp_path / "c.json"):
        assert call(lib) == live
    assert lib.asked == ["a"]
    assert call(lib) != live  # outside of both it is the library's again
    assert lib.asked == ["a", "a"]


@pytest.mark.parametrize("target", ["function", "coroutine", "generator"])
def test_every_shape_of_function_raises_what_it_raised(target: str, tmp_path: Path) -> None:
    """Class, arguments and cause."""
    failing = SHAPES.replace("asked.append(what); return", "raise LookupError(what, 7) from KeyError('why');")
    lib, call = toy(failing, {target: ASK}), CALLS[target]
    for scope in (timetracer.record, timetracer.replay):
        with scope(tmp_path / "c.json"), pytest.raises(LookupError) as caught:
            call(lib)
        assert (caught.value.args, repr(caught.value.__cause__)) == (("a", 7), "KeyError('why')")


def test_a_call_that_is_not_the_plugins_is_let_through(tmp_path: Path) -> None:
    """`describe` returns None: not recorded, and live in a replay."""
    lib = toy(SHAPES, {"function": changed(ASK, describe=lambda call: None)})
    with timetracer.record(tmp_path / "c.json"):
        lib.function("a")
    with timetracer.replay(tmp_path / "c.json"):
        lib.function("a")
    assert lib.asked == ["a", "a"]
    assert events(tmp_path / "c.json") == []


def test_a_miss_names_the_nearest_call_and_is_raised_even_if_swallowed(tmp_path: Path) -> None:
    """The app's `except Exception` does not hide it from the scope."""
    lib = toy(SHAPES, {"function": ASK})
    with timetracer.record(tmp_path / "c.json"):
        lib.function("apple")
    with (
        pytest.raises(timetracer.NoMatch, match="target: recorded 'apple', asked 'pear'"),
        timetracer.replay(tmp_path / "c.json"),
        pytest.raises(timetracer.NoMatch),
    ):
        lib.function("pear")
    with pytest.raises(timetracer.Exhausted), timetracer.replay(tmp_path / "c.json"):
        assert lib.function("apple") == lib.function("apple")
    with timetracer.replay(tmp_path / "c.json", allow_repeats=True):
        assert lib.function("apple") == lib.function("apple")


# ------------------------------------------------------------------------------------------------ bodies and rows

SENDING = """
class Letter:
    def __init__(self, body):
        self.body = body
def post(letter):
    asked.append(b"".join(letter.body)); return len(asked[-1])
"""


def _posted(call: Call) -> Request:
    letter = call.arg(0, "letter")
    body = Upload(letter.body, lambda source: setattr(letter, "body", source))
    return Request(type="toy.post", method="POST", target="box", body=body)


def test_an_upload_is_copied_while_it_is_sent(tmp_path: Path) -> None:
    """Never ahead; in replay it is drained, for its side effects and to be compared."""
    lib, made = toy(SENDING, {"post": changed(ASK, describe=_posted)}), []

    def pieces(*chunks: bytes) -> Iterator[bytes]:
        for chunk in chunks:
            made.append(chunk)
            yield chunk

    with timetracer.record(tmp_path / "c.json"):
        letter = lib.Letter(pieces(b"dear ", b"you"))
        assert made == []
        assert lib.post(letter) == 8
    assert (lib.asked, made) == ([b"dear you"], [b"dear ", b"you"])
    with timetracer.replay(tmp_path / "c.json"):
        assert lib.post(lib.Letter(pieces(b"dear ", b"you"))) == 8
    assert (len(lib.asked), len(made)) == (1, 4)
    with (
        pytest.raises(timetracer.NoMatch, match="body: recorded b'dear you', asked b'dear me'"),
        timetracer.replay(tmp_path / "c.json"),
    ):
        lib.post(lib.Letter(pieces(b"dear me")))


ROWS = """
class Cursor:
    def __init__(self, rows):
        self.rows = rows
def query(what):
    asked.append(what); return Cursor(iter([(1, "a"), (2, None), (3, b"c")]))
"""


def _keep_rows(call: Call, cursor: Any, capture: Capture) -> Any:
    rows, sink = cursor.rows, capture.items()

    def copied() -> Iterator[Any]:
        for row in rows:
            sink.feed(row)
            yield row
        sink.finish()

    cursor.rows = copied()
    return cursor


@pytest.mark.parametrize("fetched", [0, 2, 3])
def test_rows_come_back_as_far_as_they_were_fetched(fetched: int, tmp_path: Path) -> None:
    """With their types; reading on is an error, not a guess."""
    lib = toy(ROWS, {"query": ASK})
    role = Exchange(describe=described, encode=_keep_rows, decode=lambda call, reply: lib.Cursor(iter(reply.items)))
    lib = toy(ROWS, {"query": role})

    def fetch() -> list[Any]:
        return list(itertools.islice(lib.query("x").rows, fetched))

    with timetracer.record(tmp_path / "c.json"):
        live = fetch()
    with timetracer.replay(tmp_path / "c.json"):
        assert fetch() == live
    if fetched < 3:
        replay = timetracer.replay(tmp_path / "c.json")
        with pytest.raises(timetracer.Exhausted), replay, suppress(timetracer.Exhausted):  # a miss, swallowed or not
            list(lib.query("x").rows)


# ------------------------------------------------------------------------------------------------ matching

LOCKING = """
def take(token):
    asked.append(token); return {"owner": token}
def owner(what):
    return asked[-1]
"""
TOKEN = {
    "take": changed(
        ASK,
        describe=lambda call: Request(
            type="toy.lock", method="TAKE", target="lock", fields={"mark": Volatile(call.arg(0, "token"), "mark")}
        ),
    ),
    "owner": ASK,
}


def test_a_volatile_value_is_masked_and_bound(tmp_path: Path) -> None:
    """Another token in the replay matches, and later answers carry it; strictly it does not match."""
    lib = toy(LOCKING, TOKEN)
    with timetracer.record(tmp_path / "c.json"):
        assert lib.take("first-token") == {"owner": "first-token"}
        assert lib.owner("lock") == "first-token"
    with timetracer.replay(tmp_path / "c.json"):
        assert lib.take("other-token") == {"owner": "other-token"}
        assert lib.owner("lock") == "other-token"
    with pytest.raises(timetracer.NoMatch), timetracer.replay(tmp_path / "c.json", strict_replay=True):
        lib.take("other-token")
    assert lib.asked == ["first-token"]


def test_bound_values_tell_equal_calls_apart(tmp_path: Path) -> None:
    """Two tokens: each live one keeps standing for the recorded one that it was bound to."""
    lib = toy(LOCKING, TOKEN)
    with timetracer.record(tmp_path / "c.json"):
        for token in ("token-one", "token-two", "token-one"):
            lib.take(token)
    with timetracer.replay(tmp_path / "c.json"):
        assert [lib.take(t)["owner"] for t in ("live-one", "live-two", "live-one")] == [
            "live-one",
            "live-two",
            "live-one",
        ]


def test_a_volatile_value_under_a_secret_name_is_bound_all_the_same(tmp_path: Path) -> None:
    """What stands in a field called `token` is redacted; its family is no secret."""

    def describe(call: Call) -> Request:
        token = Volatile(call.arg(0, "token"), "token")
        return Request(type="toy.lock", method="TAKE", target="lock", fields={"token": token})

    lib = toy(LOCKING, {"take": changed(ASK, describe=describe)})
    with timetracer.record(tmp_path / "c.json"):
        for token in ("token-one", "token-two"):
            lib.take(token)
    with timetracer.replay(tmp_path / "c.json"):
        assert [lib.take(t)["owner"] for t in ("live-one", "live-two")] == ["live-one", "live-two"]


def test_courtesy_answers_where_nothing_was_recorded_and_only_there(tmp_path: Path) -> None:
    """A ROLLBACK that replay makes and the recording did not; a recorded error is raised all the same."""
    polite = changed(ASK, describe=lambda call: changed(described(call), courtesy=("fine",)))
    lib = toy(
        "def end(what):\n    asked.append(what)\n    if what == 'commit': raise ValueError(what)\n    return what",
        {"end": polite},
    )
    with timetracer.record(tmp_path / "c.json"), pytest.raises(ValueError, match="commit"):
        lib.end("commit")
    with timetracer.replay(tmp_path / "c.json"):
        assert lib.end("rollback") == "fine"
        with pytest.raises(ValueError, match="commit"):
            lib.end("commit")
    assert lib.asked == ["commit"]


def test_a_shared_event_is_stored_once_and_served_as_often_as_asked(tmp_path: Path) -> None:
    """It belongs to the connection, not to the order of calls."""
    lib = toy(SHAPES, {"function": changed(ASK, describe=lambda call: changed(described(call), shared=True))})
    with timetracer.record(tmp_path / "c.json"):
        live = lib.function("version")
    cassette = read_cassette(tmp_path / "c.json")
    assert (cassette.events, len(cassette.shared)) == ([], 1)
    with timetracer.replay(tmp_path / "c.json"):
        assert [lib.function("version") for _ in range(3)] == [live] * 3


# ------------------------------------------------------------------------------------------------ links

LINE = """
from collections import deque

class Line:
    answers = {}
    def __init__(self):
        self.made = False
        self.waiting = deque()
    def open(self):
        asked.append("open")
        if Line.answers.get("open") == "refused":
            raise ConnectionRefusedError(111, "nobody")
        self.made = True
    def send(self, *words):
        if not self.made:
            self.open()
        asked.append(words)
        self.waiting.extend(Line.answers[word] for word in words)
    def poll(self):
        return bool(self.waiting)
    def look(self):
        if not self.made:
            self.join()
        return bool(self.waiting)
    def join(self):
        self.open()
        self.made = True
        self.send("listen")
    def receive(self):
        answer = self.waiting.popleft() if self.waiting else None
        if isinstance(answer, Exception):
            raise answer
        return answer
    def close(self):
        self.made = False
        self.waiting.clear()
"""


def _owner(call: Call) -> object:
    return call.owner


def _said(call: Call) -> Request:
    listening = "listen" in call.args
    words = list(call.args)
    return Request(
        type="toy.say", method="SAY", target="line", fields={"words": words}, replies=None if listening else len(words)
    )


def line(**answers: Any) -> Any:
    """Makes a library of connections that give these answers."""
    same: Any = lambda call, value: value  # noqa: E731
    opened = Open(
        link=_owner,
        describe=lambda call: Request(type="toy.open", method="OPEN", target="line"),
        stand_in=lambda call, real, known: None,
        leave=lambda line: line.close(),
    )
    roles: dict[str, Role] = {
        "Line.open": opened,
        "Line.send": Send(link=_owner, describe=_said),
        "Line.receive": Receive(link=_owner, encode=same, decode=same),
        "Line.poll": Poll(link=_owner),
        "Line.look": Poll(link=_owner, opens=lambda call: None if call.owner.made else call.owner.join()),
        "Line.close": Close(link=_owner),
    }
    lib = toy(LINE, roles)
    lib.Line.answers = answers
    return lib


def test_answers_come_back_on_their_link_in_order(tmp_path: Path) -> None:
    """Several to one send, an error among them; two links do not mix."""
    lib = line(a="A", b=KeyError("b"), c="C")

    def talk() -> list[Any]:
        one, two = lib.Line(), lib.Line()
        one.send("a", "b", "c")
        two.send("c")
        seen = [one.receive(), two.receive()]
        with pytest.raises(KeyError) as caught:
            one.receive()
        return [*seen, caught.value.args, one.receive()]

    with timetracer.record(tmp_path / "c.json"):
        live = talk()
    assert live == ["A", "C", ("b",), "C"]
    assert [event.result.replies is not None for event in events(tmp_path / "c.json")] == [True, True]
    lib.asked.clear()
    with timetracer.replay(tmp_path / "c.json"):
        assert talk() == live
    assert lib.asked == []


def test_a_stream_keeps_its_empty_polls(tmp_path: Path) -> None:
    """What was there when the app looked is there again, and not earlier."""
    lib = line(listen="joined")

    def listen(news: Callable[[Any], None]) -> list[Any]:
        wire = lib.Line()
        wire.send("listen")
        seen = [wire.poll(), wire.receive(), wire.poll(), wire.poll()]
        news(wire)
        seen += [wire.poll(), wire.receive(), wire.poll(), wire.receive()]
        wire.close()
        return seen

    with timetracer.record(tmp_path / "c.json"):
        live = listen(lambda wire: wire.waiting.append("news"))
    assert live == [True, "joined", False, False, True, "news", False, None]
    with timetracer.replay(tmp_path / "c.json"):
        assert listen(lambda wire: None) == live
    with pytest.raises(timetracer.Exhausted), timetracer.replay(tmp_path / "c.json"):
        listen(lambda wire: [wire.receive() for _ in range(9)])


def test_a_look_at_a_closed_link_opens_it(tmp_path: Path) -> None:
    """Where the library opens, and subscribes, as it looks for an answer, a replay does, and finds what was there."""
    lib = line(listen="joined")

    def listen() -> list[Any]:
        wire, seen = lib.Line(), []
        wire.join()
        for _ in range(2):
            seen += [wire.look(), wire.receive(), wire.made]
            wire.close()
        return seen

    with timetracer.record(tmp_path / "c.json"):
        live = listen()
    assert live == [True, "joined", True] * 2
    lib.asked.clear()
    with timetracer.replay(tmp_path / "c.json"):
        assert listen() == live
    assert lib.asked == []


def test_a_refused_opening_is_refused_again_and_a_later_one_is_not(tmp_path: Path) -> None:
    """A failure to open is an event, in its order."""
    lib = line(a="A")

    def knock(answer: str) -> Any:
        lib.Line.answers["open"] = answer
        wire = lib.Line()
        try:
            wire.open()
        except ConnectionRefusedError as error:
            return (type(error), error.args)
        wire.send("a")
        return wire.receive()

    with timetracer.record(tmp_path / "c.json"):
        live = [knock("refused"), knock("welcome")]
    assert live == [(ConnectionRefusedError, (111, "nobody")), "A"]
    with timetracer.replay(tmp_path / "c.json"):
        assert [knock("welcome"), knock("refused")] == live


def test_one_connection_goes_live_and_back(tmp_path: Path) -> None:
    """A pooled connection that changes worlds is left, and opened again when it is next used live."""
    lib = line(a="A")
    wire = lib.Line()
    with timetracer.record(tmp_path / "c.json"):
        wire.send("a")
        assert wire.receive() == "A"
    lib.Line.answers["a"] = "B"
    with timetracer.replay(tmp_path / "c.json"):
        wire.send("a")
        assert not wire.made
        assert wire.receive() == "A"
    wire.send("a")
    assert wire.made
    assert wire.receive() == "B"


# ------------------------------------------------------------------------------------------------ faults of plugins


def _broken(*args: Any) -> Any:
    raise RuntimeError("a fault in the plugin")


def test_a_failing_describe_never_harms_the_app_and_is_an_error_in_replay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Recording, the call goes on, and the fault is logged without a payload."""
    lib = toy(SHAPES, {"function": changed(ASK, describe=_broken)})
    with timetracer.record(tmp_path / "c.json"):
        assert lib.function("secret word")[0] == "secret word"
    assert f"{lib.__name__}: describing a call failed (RuntimeError)" in caplog.text
    assert "secret word" not in caplog.text
    with pytest.raises(timetracer.ReplayError, match="describing a call failed: RuntimeError: a fault in the plugin"):
        _replayed(lib, tmp_path / "c.json")
    assert lib.asked == ["secret word"]


def _replayed(lib: Any, path: Path) -> None:
    with timetracer.replay(path):
        lib.function("a")


def test_a_failing_encode_never_harms_the_app_and_replay_refuses_the_event(tmp_path: Path) -> None:
    """The app gets its answer; the event is incomplete, and says why."""
    lib = toy(SHAPES, {"function": changed(ASK, encode=_broken)})
    with timetracer.record(tmp_path / "c.json"):
        assert lib.function("a")[0] == "a"
    (event,) = events(tmp_path / "c.json")
    assert event.incomplete == "the answer could not be kept: RuntimeError"
    with (
        pytest.raises(timetracer.ReplayError, match="not recorded in full: the answer could not be kept"),
        timetracer.replay(tmp_path / "c.json"),
    ):
        lib.function("a")


def test_a_failing_decode_is_raised(tmp_path: Path) -> None:
    """An answer is never invented."""
    lib = toy(SHAPES, {"function": changed(ASK, decode=_broken)})
    with timetracer.record(tmp_path / "c.json"):
        lib.function("a")
    with pytest.raises(timetracer.ReplayError, match="failed: RuntimeError: a fault in the plugin"):
        _replayed(lib, tmp_path / "c.json")
    assert lib.asked == ["a"]


@pytest.mark.parametrize("part", ["describe", "decode"])
def test_a_plugins_fault_in_replay_is_told_even_if_the_app_swallows_it(part: str, tmp_path: Path) -> None:
    """As a miss is: else a replay that answered nothing would pass."""
    sound, broken = getattr(ASK, part), threading.Event()
    faulty: Any = {part: lambda *args: _broken() if broken.is_set() else sound(*args)}
    lib = toy(SHAPES, {"function": changed(ASK, **faulty)})
    with timetracer.record(tmp_path / "c.json"):
        lib.function("a")
    broken.set()
    with (
        pytest.raises(timetracer.ReplayError),
        timetracer.replay(tmp_path / "c.json"),
        suppress(RuntimeError, timetracer.ReplayError),
    ):
        lib.function("a")


@pytest.mark.parametrize(
    ("part", "role"),
    [
        ("answer", changed(ASK, encode=lambda call, result, capture: capture.reply(threading.Lock()) or result)),
        ("fields", changed(ASK, describe=lambda call: changed(described(call), fields={"lock": threading.Lock()}))),
    ],
    ids=["answer", "fields"],
)
def test_a_value_that_cannot_be_kept_makes_the_event_incomplete(part: str, role: Exchange, tmp_path: Path) -> None:
    """Never `str()`: the cassette says what is missing, and replay refuses."""
    lib = toy(SHAPES, {"function": role})
    with timetracer.record(tmp_path / "c.json"):
        lib.function("a")
    (event,) = events(tmp_path / "c.json")
    assert event.incomplete is not None
    assert event.incomplete.startswith(f"{part}: ")
    with pytest.raises(timetracer.ReplayError, match="lock"), timetracer.replay(tmp_path / "c.json"):
        lib.function("a")
    assert lib.asked == ["a"]


def test_an_error_keeps_and_regains_its_live_parts(tmp_path: Path) -> None:
    """`encode_error` and `decode_error` carry what class and arguments do not."""
    source = """
class Refused(Exception):
    pass
def function(what):
    error = Refused("no")
    error.request = what
    raise error
"""

    def regain(call: Call, error: Any) -> BaseException:
        error.request = call.arg(0, "what")
        return error  # type: ignore[no-any-return]

    def strip(call: Call, error: BaseException) -> BaseException:
        return type(error)(*error.args)

    lib = toy(source, {"function": ASK}, encode_error=strip, decode_error=regain)
    for scope in (timetracer.record, timetracer.replay):
        with scope(tmp_path / "c.json"), pytest.raises(lib.Refused) as caught:
            lib.function("a")
        assert (caught.value.args, caught.value.request) == (("no",), "a")


# ------------------------------------------------------------------------------------------------ where calls run

SLOW = "import asyncio\nasync def slow(what):\n    asked.append(what)\n    await asyncio.sleep(60)"


def test_a_cancelled_call_is_cancelled_again(tmp_path: Path) -> None:
    """The app's own timeout is what ends it, live and in replay, and no answer is made up."""
    lib = toy(SLOW, {"slow": ASK})

    async def hurry() -> None:
        await asyncio.wait_for(lib.slow("a"), 0.05)

    for scope in (timetracer.record, timetracer.replay):
        with scope(tmp_path / "c.json"), pytest.raises(TimeoutError):
            asyncio.run(hurry())
    (event,) = events(tmp_path / "c.json")
    assert event.result.cancelled
    assert lib.asked == ["a"]


def test_what_is_owned_is_captured_once(tmp_path: Path) -> None:
    """The outer plugin owns the inner one; by itself the inner one is captured as ever."""
    inner = toy(SHAPES, {"function": ASK})
    outer = toy(
        f"import {inner.__name__} as inner\ndef outer(what):\n    return inner.function(what)",
        {"outer": ASK},
        owns=frozenset({inner.__name__}),
    )
    with timetracer.record(tmp_path / "c.json"):
        live = [outer.outer("a"), inner.function("b")]
    assert [event.signature.lib for event in events(tmp_path / "c.json")] == [outer.__name__, inner.__name__]
    with timetracer.replay(tmp_path / "c.json"):
        assert [outer.outer("a"), inner.function("b")] == live
    assert inner.asked == ["a", "b"]


def test_otels_suppression_silences_a_plugin(tmp_path: Path) -> None:
    """An exporter's own traffic is neither recorded nor answered."""
    lib = toy(SHAPES, {"function": ASK})
    for scope in (timetracer.record, timetracer.replay):
        with scope(tmp_path / "c.json"), suppress_instrumentation():
            lib.function("a")
    assert lib.asked == ["a", "a"]
    assert events(tmp_path / "c.json") == []


def test_threads_and_tasks_belong_where_their_context_says(tmp_path: Path) -> None:
    """A thread in a thread, and tasks that ask the same at once: each gets its own answer again."""
    lib = toy(SHAPES, {"function": ASK, "coroutine": ASK})

    def nested(what: str) -> list[Any]:
        with ThreadPoolExecutor(1) as pool:
            deeper = pool.submit(copy_context().run, lib.function, f"{what}-deeper").result()
        return [lib.function(what), deeper]

    async def together() -> list[Any]:
        return await asyncio.gather(*(lib.coroutine("same") for _ in range(5)))

    def work() -> list[Any]:
        with ThreadPoolExecutor(4) as pool:
            found = [pool.submit(copy_context().run, nested, f"w{n}") for n in range(4)]
            return [*(future.result() for future in found), asyncio.run(together())]

    with timetracer.record(tmp_path / "c.json"):
        live = work()
    with timetracer.replay(tmp_path / "c.json"):
        assert work() == live
    assert len(lib.asked) == 13


def test_live_and_replayed_calls_go_side_by_side(tmp_path: Path) -> None:
    """Two threads, one in a replay and one outside of any session: neither sees the other's world."""
    lib = toy(SHAPES, {"function": ASK})
    with timetracer.record(tmp_path / "c.json"):
        recorded = [lib.function("a") for _ in range(50)]
    results: deque[Any] = deque()

    go = threading.Event()

    def live() -> None:
        go.wait(10)
        results.extend(lib.function("a") for _ in range(50))

    thread = threading.Thread(target=live)
    thread.start()
    with timetracer.replay(tmp_path / "c.json"):
        go.set()
        assert [lib.function("a") for _ in range(50)] == recorded
        thread.join()
    assert len(lib.asked) == 100
    assert not [each for each in results if each in recorded]


def test_scopes_are_decorators_and_async(tmp_path: Path) -> None:
    """`record` and `replay` around a function, a coroutine function, and in `async with`; two at once do not mix."""
    lib = toy(SHAPES, {"function": ASK, "coroutine": ASK})
    live = timetracer.record(tmp_path / "f.json")(lib.function)("a")
    assert timetracer.replay(tmp_path / "f.json")(lib.function)("a") == live

    async def work(name: str) -> list[Any]:
        path = tmp_path / f"{name}.json"
        decorated = timetracer.record(path)(lib.coroutine)
        recorded = await decorated(name)
        await asyncio.sleep(0)
        async with timetracer.replay(path):
            await asyncio.sleep(0)
            return [recorded, await lib.coroutine(name)]

    async def both() -> list[list[Any]]:
        return await asyncio.gather(work("one"), work("two"))

    for recorded, replayed in asyncio.run(both()):
        assert recorded == replayed
    assert lib.asked == ["a", "one", "two"]


# ------------------------------------------------------------------------------------------------ who is mocked


@pytest.mark.parametrize(
    ("options", "live"),
    [
        ({}, []),
        ({"live_plugins": ["http"]}, ["a"]),
        ({"live_plugins": ["db"]}, ["b"]),
        ({"mock_plugins": ["db"]}, ["a"]),
        ({"live_plugins": "all", "mock_plugins": ["http"]}, ["b"]),
    ],
    ids=str,
)
def test_hybrid_replay_by_kind(options: dict[str, Any], live: list[str], tmp_path: Path) -> None:
    """What is live reaches its library, and what is not is answered."""
    one, two = toy(SHAPES, {"function": ASK}), toy(SHAPES, {"function": ASK}, kind="db")
    with timetracer.record(tmp_path / "c.json"):
        one.function("a")
        two.function("b")
    one.asked.clear()
    two.asked.clear()
    with timetracer.replay(tmp_path / "c.json", **options):
        one.function("a")
        two.function("b")
    assert one.asked + two.asked == live


def test_capture_by_kind(tmp_path: Path) -> None:
    """What is not captured is not in the cassette."""
    one, two = toy(SHAPES, {"function": ASK}), toy(SHAPES, {"function": ASK}, kind="db")
    with timetracer.record(tmp_path / "c.json", capture=["db"]):
        one.function("a")
        two.function("b")
    assert [event.signature.lib for event in events(tmp_path / "c.json")] == [two.__name__]


def test_a_patch_rewrites_arguments_and_may_be_absent(tmp_path: Path) -> None:
    """`prepare` acts on every call, session or not; what came `since` a later version may be absent."""
    lib = ModuleType(f"toy{next(_numbers)}")
    exec(SHAPES.replace("from time", "asked = []\nfrom time"), lib.__dict__)
    sys.modules[lib.__name__] = lib
    state = wrapping.install(
        Plugin(
            name=lib.__name__,
            kind="http",
            library=lib.__name__,
            patches=(
                Patch(f"{lib.__name__}:function", prepare=lambda call: Call(call.owner, ("prepared",), {})),
                Patch(f"{lib.__name__}:Thing.newer", ASK, since="2.0"),
                Patch(f"{lib.__name__}:Thing.gone", ASK),
            ),
        )
    )
    assert lib.function("a")[0] == "prepared"
    assert state.missing == [f"{lib.__name__}:Thing.gone"]
    with timetracer.record(tmp_path / "c.json"):
        assert lib.function("a")[0] == "prepared"
    assert events(tmp_path / "c.json") == []
    state.remove()
    assert lib.function("a")[0] == "a"


def test_two_plugins_of_one_name_are_refused() -> None:
    """The second one says which setting it breaks."""
    lib = toy(SHAPES, {"function": ASK})
    with pytest.raises(timetracer.ConfigError, match="a name that no other plugin has"):
        wrapping.install(Plugin(name=lib.__name__, kind="http", library="other", patches=()))


def test_reply_carries_status_and_headers(tmp_path: Path) -> None:
    """Order, case and duplicates of headers are kept."""
    headers = [("X-A", "1"), ("x-a", "2"), ("B", "3")]

    def keep(call: Call, result: Any, capture: Capture) -> Any:
        capture.reply(status=207, headers=headers)
        return result

    def restore(call: Call, reply: Reply) -> Any:
        return [reply.status, list(reply.headers), reply.value, list(reply.body), list(reply.items)]

    lib = toy(SHAPES, {"function": Exchange(describe=described, encode=keep, decode=restore)})
    with timetracer.record(tmp_path / "c.json"):
        lib.function("a")
    with timetracer.replay(tmp_path / "c.json"):
        assert lib.function("a") == [207, headers, None, [], []]
