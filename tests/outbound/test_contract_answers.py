"""The contract where an answer on a link has a body of its own, and a request may be sent in pieces: `Send.answer`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import timetracer
from timetracer.cassette import read_cassette
from timetracer.engine import wrapping
from timetracer.plugin import Call, Capture, Close, Open, Patch, Plugin, Receive, Request, Send, Upload

_numbers = itertools.count(1)


def owner(call: Call) -> object:
    """The link: the object that the method was called on."""
    return call.owner


POST = """
class Post:
    answers = {}
    def __init__(self):
        self.office, self.state, self.sent = None, "idle", b""
    def open(self):
        if Post.answers.get("open") == "refused":
            raise ConnectionRefusedError(111, "nobody")
        self.office = Office()
    def ask(self, what, body=None):
        self.state, self.sent = "asked", b""
        if self.office is None:
            self.open()
        self.office.sending(what)
        for piece in body or ():
            self.more(piece)
    def more(self, piece):
        self.office.sending(piece)
        self.sent += piece
    def answer(self):
        if self.state != "asked":
            raise LookupError("nothing was asked")
        pages = self.office.pages()
        self.state = "idle"
        return pages
    def close(self):
        self.office, self.state = None, "idle"
class Office:
    def sending(self, what):
        asked.append(what)
        if what == b"too much":
            raise BrokenPipeError(32, "enough")
    def pages(self):
        pages = Post.answers["pages"]
        if isinstance(pages, Exception):
            raise pages
        return Pages(iter(pages))
class Pages:
    def __init__(self, pages):
        self.pages = pages
    def __iter__(self):
        return self.pages
"""


class StandIn:
    """An office with no server behind it: takes everything, and has the answer that it was handed."""

    def __init__(self, lib: Any) -> None:
        self.lib, self.handed = lib, None

    def sending(self, what: Any) -> None:
        """Takes what is sent."""

    def pages(self) -> Any:
        if isinstance(self.handed, BaseException):
            raise self.handed
        assert self.handed is not None
        return self.lib.Pages(iter(self.handed.body))


class Letter:
    """The body of a request that is sent by later calls: what came since it was last read."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.copy: Any = None

    def read(self) -> bytes:
        """Returns what came."""
        came, self.came = b"".join(self.came), []
        return came


def post(**answers: Any) -> Any:
    """Makes a library whose answers have bodies of their own, taken by a call of its own from a peer."""
    letters: dict[int, Letter] = {}

    def asked(call: Call) -> Request:
        arguments: Any = call.kwargs
        body: Any = None
        if call.arg(0, "what") == "later":
            letter = letters[id(call.owner)] = Letter()
            body = Upload(letter, lambda copy: setattr(letter, "copy", copy), late=True)  # type: ignore[arg-type]
        elif arguments.get("body") is not None:
            body = Upload(arguments["body"], lambda source: arguments.update(body=source))
        return Request(type="toy.post", method="POST", target=str(call.arg(0, "what")), body=body)

    def more(call: Call) -> Call:
        letter = letters.get(id(call.owner))
        if letter is not None:
            letter.came.append(call.args[0])
            if letter.copy is not None:
                letter.copy.read()
        return call

    def keep(call: Call, pages: Any, capture: Capture) -> Any:
        letter = letters.pop(id(call.owner), None)
        if letter is not None and letter.copy is not None:
            letter.copy.read()  # nothing more: it is whole
        capture.reply("pages")
        sink, source = capture.body(), pages.pages

        def copied() -> Iterator[Any]:
            for page in source:
                sink.feed(page)
                yield page
            sink.finish()

        pages.pages = copied()
        return pages

    def hand(call: Call, answer: Any) -> None:
        if not isinstance(call.owner.office, StandIn):
            call.owner.office = StandIn(lib)
        if answer is not None:
            call.owner.office.handed = answer

    lib = ModuleType(f"posttoy{next(_numbers)}")
    exec("asked = []\n" + POST, lib.__dict__)
    sys.modules[lib.__name__] = lib
    lib.Post.answers = answers  # type: ignore[attr-defined]
    opened = Open(
        link=owner,
        stand_in=lambda call, real, known: setattr(call.owner, "office", StandIn(lib)),
        leave=lambda made: setattr(made, "office", None),
        holds=False,
    )
    name = lib.__name__
    patches = (
        Patch(f"{name}:Post.open", opened),
        Patch(f"{name}:Post.ask", Send(link=owner, describe=asked, answer=hand)),
        Patch(f"{name}:Post.more", prepare=more),
        Patch(
            f"{name}:Post.answer",
            Receive(link=owner, keep=keep, decode=None, idle=lambda error: isinstance(error, LookupError)),
        ),
        Patch(f"{name}:Post.close", Close(link=owner)),
    )
    wrapping.install(Plugin(name=name, kind="http", library=name, patches=patches))
    return lib


def test_an_answer_on_a_link_may_have_a_body_of_its_own(tmp_path: Path) -> None:
    """It is copied while it is read; replayed, the library's own code takes it from the peer that was handed it."""
    lib = post(pages=[b"one", b"two"])

    def talk() -> list[Any]:
        wire = lib.Post()
        with pytest.raises(LookupError) as early:
            wire.answer()
        wire.ask("first", body=iter([b"a", b"b"]))
        pages = wire.answer()
        wire.ask("second")  # the first answer is not read yet
        seen = [list(pages), next(iter(wire.answer())), early.value.args]
        with pytest.raises(LookupError):
            wire.answer()
        return seen

    with timetracer.record(tmp_path / "c.json"):
        live = talk()
    assert live == [[b"one", b"two"], b"one", ("nothing was asked",)]
    first, second = read_cassette(tmp_path / "c.json").events
    assert [event.result.body.end for event in (first, second) if event.result.body is not None] == [
        "complete",
        "partial",
    ]
    lib.asked.clear()
    with timetracer.replay(tmp_path / "c.json"):
        assert talk() == live
    assert lib.asked == []


def test_an_error_in_an_answers_place_leaves_the_library_as_it_was(tmp_path: Path) -> None:
    """Raised by the library's own code: its state is what it was live."""
    lib = post(pages=TimeoutError("late"))

    def talk() -> list[Any]:
        wire = lib.Post()
        wire.ask("first")
        with pytest.raises(TimeoutError) as caught:
            wire.answer()
        return [caught.value.args, wire.state]

    with timetracer.record(tmp_path / "c.json"):
        live = talk()
    assert live == [("late",), "asked"]
    with timetracer.replay(tmp_path / "c.json"):
        assert talk() == live


def test_a_failed_request_leaves_the_library_as_it_was_and_may_be_answered(tmp_path: Path) -> None:
    """Refused, or broken off by the other side, which says why."""
    lib = post(pages=[b"enough"])

    def talk(answer: str) -> list[Any]:
        lib.Post.answers["open"] = answer
        wire = lib.Post()
        with pytest.raises(ConnectionRefusedError):
            wire.ask("first")
        seen = [wire.state]
        lib.Post.answers["open"] = "welcome"
        with pytest.raises(BrokenPipeError) as caught:
            wire.ask("second", body=iter([b"some", b"too much", b"more"]))
        return [*seen, caught.value.args, wire.state, list(wire.answer())]

    with timetracer.record(tmp_path / "c.json"):
        live = talk("refused")
    assert live == ["asked", (32, "enough"), "asked", [b"enough"]]
    with timetracer.replay(tmp_path / "c.json"):
        assert talk("welcome") == live


def test_a_body_may_be_sent_by_later_calls(tmp_path: Path) -> None:
    """It is compared when the answer is asked for, and refused before its first byte where it was."""
    lib = post(pages=[b"fine"])

    def talk(last: bytes) -> Any:
        wire = lib.Post()
        lib.Post.answers["open"] = "refused"
        with pytest.raises(ConnectionRefusedError):
            wire.ask("later")
        lib.Post.answers["open"] = "welcome"
        wire.close()
        wire.ask("later")
        wire.more(b"dear ")
        wire.more(last)
        return list(wire.answer())

    with timetracer.record(tmp_path / "c.json"):
        assert talk(b"you") == [b"fine"]
    with timetracer.replay(tmp_path / "c.json"):
        assert talk(b"you") == [b"fine"]
    with (
        pytest.raises(timetracer.NoMatch, match="body: recorded b'dear you', asked b'dear me'"),
        timetracer.replay(tmp_path / "c.json"),
    ):
        talk(b"me")
