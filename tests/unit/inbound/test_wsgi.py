"""The WSGI door, asked in process: every way to read the input and to answer, and what a cassette keeps."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import timetracer
from timetracer.cassette.bodies import unpack
from timetracer.cassette.model import Inbound
from timetracer.cassette.store import find_cassettes, read_cassette
from timetracer.config import TraceConfig
from timetracer.engine.door import door
from timetracer.inbound.wsgi import Middleware

Kept = Callable[[], Inbound]
DATA = b"one\ntwo\nthree"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Records this process; called, it stops and returns the one request that came in."""
    timetracer.start(TraceConfig(mode="record", cassette_dir=str(tmp_path), secrets="keep"))

    def stop() -> Inbound:
        timetracer.stop()
        cassettes = [read_cassette(path) for path in find_cassettes(tmp_path)]
        (inbound,) = [c.inbound for c in cassettes if c.inbound is not None]
        return inbound

    yield stop
    timetracer.stop()


def environ(**more: Any) -> dict[str, Any]:
    """A request as a server describes it."""
    described = {"REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a b", "QUERY_STRING": "q=1"}
    described |= {"HTTP_X_A": "1", "CONTENT_LENGTH": str(len(DATA)), "CONTENT_TYPE": "text/plain"}
    return {**described, "wsgi.input": io.BytesIO(DATA), "wsgi.url_scheme": "http", **more}


def body_of(body: Any) -> tuple[bytes, str]:
    """A recorded body in one piece, and how it ended."""
    return b"".join(unpack(body)), body.end


class Client:
    """Takes what an application gives to `start_response` and `write`."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.written: list[bytes] = []

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        self.started.append((status, headers, exc_info))
        return self.written.append

    def call(self, app: Any, **more: Any) -> list[bytes]:
        """Calls an application as a server does."""
        result = Middleware(app, door)(environ(**more), self.start)
        try:
            return list(result)
        finally:
            if hasattr(result, "close"):
                result.close()


READS: dict[str, Callable[[Any], Iterable[bytes]]] = {
    "read": lambda file: [file.read()],
    "read-length": lambda file: [file.read(len(DATA))],
    "read-pieces": lambda file: [file.read(5), file.read(5), file.read(5)],
    "readline": lambda file: [file.readline(), file.readline(2), file.readline(), file.readline()],
    "readlines": lambda file: file.readlines(),
    "iterate": lambda file: list(file),
    "next": lambda file: [next(file), next(file), next(file)],
    "line-then-rest": lambda file: [file.readline(), *file],
    "read1": lambda file: [file.read1(4), file.read1()],
    "readinto": lambda file: [_into(file, 5), _into(file, 20)],
}


def _into(file: Any, size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: file.readinto(buffer)])


@pytest.mark.parametrize("way", READS)
def test_the_input_reads_as_it_is_and_is_copied(way: str, kept: Kept) -> None:
    """Each way to read gives what the server's own file gives, and the cassette has all of it."""
    got: list[bytes] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        got.extend(READS[way](environ["wsgi.input"]))
        start_response("200 OK", [])
        return []

    Client().call(app)
    assert got == list(READS[way](io.BytesIO(DATA)))
    assert body_of(kept().request.body) == (DATA, "complete")


def test_the_input_is_never_read_ahead(kept: Kept) -> None:
    """What the application left unread is unread, and not in the cassette."""
    source = io.BytesIO(DATA)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].readline()
        start_response("200 OK", [])
        return []

    Client().call(app, **{"wsgi.input": source})
    assert source.tell() == 4
    assert body_of(kept().request.body) == (b"one\n", "partial")


def test_an_answer_at_hand_passes_as_it_is(kept: Kept) -> None:
    """A list is returned as that very list: servers look at its length."""
    answer = [b"one", b"two"]
    headers = [("X-B", "1"), ("X-B", "2")]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("404 Not Here", headers)
        return answer

    client = Client()
    assert Middleware(app, door)(environ(), client.start) is answer
    assert client.started == [("404 Not Here", headers, None)]
    inbound = kept()
    assert (inbound.result.status, inbound.result.value) == (404, {"reason": "Not Here"})
    assert inbound.result.headers == headers
    assert body_of(inbound.result.body) == (b"onetwo", "complete")


def test_what_is_written_comes_before_what_is_returned(kept: Kept) -> None:
    """The `write` callable of PEP 3333 writes at once, and is copied."""
    client = Client()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"one ")
        assert client.written == [b"one "]
        return [b"two"]

    assert client.call(app) == [b"two"]
    assert body_of(kept().result.body) == (b"one two", "complete")


class Streamed:
    """An answer that is closed."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks, self.closed = chunks, 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed += 1


def streaming(answer: Streamed) -> Callable[..., Streamed]:
    """An application that gives this answer."""

    def app(environ: Any, start_response: Any) -> Streamed:
        start_response("200 OK", [])
        return answer

    return app


def test_a_streamed_answer_is_closed_once(kept: Kept) -> None:
    """Chunks keep their borders; the application's own `close` runs once."""
    answer = Streamed(b"one", b"two")
    assert Client().call(streaming(answer)) == [b"one", b"two"]
    assert answer.closed == 1
    inbound = kept()
    assert unpack(inbound.result.body) == [b"one", b"two"]  # type: ignore[arg-type]
    assert body_of(inbound.result.body)[1] == "complete"


def test_an_answer_closed_early_is_partial(kept: Kept) -> None:
    """A server closes where the client left."""
    answer = Streamed(b"one", b"two")
    result: Any = Middleware(streaming(answer), door)(environ(), Client().start)
    assert next(iter(result)) == b"one"
    result.close()
    assert answer.closed == 1
    assert body_of(kept().result.body) == (b"one", "partial")


def test_an_answer_that_nobody_closes_is_whole_all_the_same(kept: Kept) -> None:
    """A middleware further out may join the chunks and forget to close."""
    assert b"".join(Middleware(streaming(Streamed(b"one", b"two")), door)(environ(), Client().start)) == b"onetwo"
    assert body_of(kept().result.body) == (b"onetwo", "complete")


def test_an_exception_in_the_middle_of_an_answer_is_kept(kept: Kept) -> None:
    """The exception goes on to the server; the cassette has it, its traceback, and what was sent before."""
    with pytest.raises(LookupError, match="the other half"):
        Client().call(streaming(Streamed(b"half", LookupError("the other half"))))
    inbound = kept()
    assert body_of(inbound.result.body) == (b"half", "error")
    assert inbound.traceback is not None
    assert "LookupError: the other half" in inbound.traceback


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({}, "/a%20b?q=1"),
        ({"RAW_URI": "/a+b%2Fc?q=1"}, "/a+b%2Fc?q=1"),
        ({"RAW_URI": "http://localhost/a%20b?q=1"}, "/a%20b?q=1"),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/\u00c3\u00a9", "QUERY_STRING": ""}, "/app/%C3%A9"),
        ({"PATH_INFO": "", "QUERY_STRING": ""}, "/"),
    ],
)
def test_the_target_is_what_the_client_asked_for(more: dict[str, str], target: str, kept: Kept) -> None:
    """As the client spelt it where the server says so, else put together again."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    Client().call(app, **more)
    inbound = kept()
    assert inbound.target == target
    assert inbound.request.headers[:2] == [("X-A", "1"), ("Content-Type", "text/plain")]
