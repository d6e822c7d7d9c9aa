"""Draws of entropy: noted in a session, given again in its replay, untouched outside."""

from __future__ import annotations

import os
import random
import secrets
import sqlite3
import string
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.utils.crypto import get_random_string
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

import timetracer
from timetracer.cassette.store import read_cassette
from timetracer.engine import entropy
from timetracer.engine.sessions import SESSIONS, current


class Noting:
    """A session that notes draws, or gives them again."""

    def __init__(self, given: list[Any] | None = None) -> None:
        self.noted: list[tuple[str, Any]] = []
        self.given = given

    def draw(self, source: str, drawn: Any) -> Any:
        """Notes a draw; returns the one to use."""
        self.noted.append((source, drawn))
        return drawn if self.given is None else self.given.pop(0)


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """The sources wrapped, for one test."""
    entropy.uninstall()
    entropy.install()
    yield
    entropy.uninstall()


def everything() -> list[Any]:
    """What an app may draw."""
    return [
        uuid.uuid4(),
        uuid.uuid1(),
        secrets.token_hex(8),
        secrets.choice("abcdef"),
        os.urandom(5),
        random.random(),
        random.randint(1, 10**12),
        random.choice(range(10**9)),
        random.sample(range(1000), 5),
        random.gauss(0, 1),
        random.uniform(2, 3),
        random.getrandbits(70),
        random.shuffle(order := list(range(20))) or order,
        random.SystemRandom().random(),
    ]


def test_what_is_drawn_in_a_session_is_drawn_again() -> None:
    """A replay of the noted draws gives every value again, whatever function asked for it."""
    recording = Noting()
    with current(recording):
        first = everything()
    with current(Noting([drawn for _, drawn in recording.noted])):
        assert everything() == first


def test_nothing_is_noted_outside_a_session() -> None:
    """A draw outside any session is what it always was."""
    session = Noting()
    assert everything() != everything()
    with ThreadPoolExecutor(1) as pool, current(session):
        pool.submit(everything).result()  # a thread without context
    assert session.noted == []


def test_draws_go_where_the_calls_of_their_code_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code without a context draws in the session that adopts it, or in a script's own; never in a server's own."""
    adopting, own = Noting(), Noting()
    monkeypatch.setattr(SESSIONS, "searching", True)
    monkeypatch.setattr(SESSIONS, "process", own)
    uuid.uuid4()
    assert own.noted == []
    monkeypatch.setattr(SESSIONS, "scripted", True)
    uuid.uuid4()
    monkeypatch.setattr(SESSIONS, "orphan", lambda: adopting)
    uuid.uuid4()
    drawn = ["os.urandom(16) by uuid"]
    assert [source for source, _ in own.noted] == drawn == [source for source, _ in adopting.noted]


def test_otel_draws_its_ids_for_itself() -> None:
    """Span ids are no draws of the app: a replay must not repeat them."""
    session = Noting()
    ids = RandomIdGenerator()
    with current(session):
        drawn = {ids.generate_span_id() for _ in range(50)} | {ids.generate_trace_id() for _ in range(50)}
    assert len(drawn) == 100
    assert session.noted == []


def test_a_draw_names_its_source_and_who_asked() -> None:
    """One library's draws do not shift another's."""
    session = Noting()
    with current(session):
        uuid.uuid4()
        secrets.token_bytes(3)
        random.random()
    sources = [source for source, _ in session.noted]
    assert sources == ["os.urandom(16) by uuid", f"secrets(3) by {__name__}", f"random.random() by {__name__}"]


def test_seeding_still_works() -> None:
    """`random.seed` makes the same sequence as ever."""
    random.seed(7)
    first = [random.random(), random.randint(0, 99)]
    random.seed(7)
    assert first == [random.random(), random.randint(0, 99)]


def test_without_the_key_what_is_sealed_is_drawn_anew(tmp_path: Path) -> None:
    """A view that asks for a random byte still works; what is not sealed is as it was."""
    path = tmp_path / "drawn.json"
    with timetracer.record(path, secrets="seal", encryption_key="5f" * 32):
        recorded = secrets.token_hex(8)
    with timetracer.replay(path):
        assert len(secrets.token_hex(8)) == 16
    with timetracer.replay(path, encryption_key="5f" * 32):
        assert secrets.token_hex(8) == recorded


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_hex(8),
        lambda: secrets.token_urlsafe(12),
        lambda: get_random_string(12),
        lambda: "".join(secrets.choice(string.digits) for _ in range(12)),
        lambda: str(secrets.randbelow(10**12)),
        lambda: str(uuid.UUID(bytes=os.urandom(16))),
    ],
    ids=["hex", "urlsafe", "django", "digits", "number", "uuid"],
)
def test_what_secrets_drew_comes_again_where_the_cassette_shows_it(make: Callable[[], str], tmp_path: Path) -> None:
    """An order number is asked for again, under the default redaction; what a session key was made of is not kept."""

    def order() -> tuple[str, str]:
        number, key = f"no-{make()}", _session_key()
        with closing(sqlite3.connect(":memory:")) as database:
            database.execute("create table orders (number text, session_key text)")
            database.execute("insert into orders (number, session_key) values (?, ?)", (number, key))
        return number, key

    path = tmp_path / "order.json"
    with timetracer.record(path):
        recorded, hidden = order()
    with timetracer.replay(path):
        again, other = order()
    assert again == recorded
    assert other != hidden
    (kept,) = [d.values for d in read_cassette(path).draws if d.source == "secrets(20) by another"]
    assert kept == []


_session_key: Callable[[], str] = eval("lambda: secrets.token_hex(20)", {"secrets": secrets, "__name__": "another"})


def test_a_uuid1_comes_again_whatever_the_clock_says(tmp_path: Path) -> None:
    """The clock of a replay does not have it made anew."""
    with timetracer.record(tmp_path / "one.json"):
        made = [uuid.uuid1() for _ in range(3)]
    with timetracer.replay(tmp_path / "one.json"):
        assert [uuid.uuid1() for _ in range(3)] == made
    assert uuid.uuid1() not in made
