"""What an app makes of the time is compared like all it asks: a replay that is faster or slower asks the same."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from django.core.signing import TimestampSigner

import timetracer


def wait_for_the_middle_of_a_second(after: float) -> int:
    """Waits so long at least, then until no whole second is near."""
    time.sleep(after)
    time.sleep((1.5 - time.time() % 1) % 1)
    return 1


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database with an empty table."""
    with sqlite3.connect(tmp_path / "db.sqlite3") as connection:
        connection.execute("create table seen (at text)")
    connection.close()
    return str(tmp_path / "db.sqlite3")


def test_after_a_slow_call_the_time_is_that_of_the_recording(database: str, tmp_path: Path) -> None:
    """No server keeps a replay waiting, and still the seconds are the same afterwards."""

    def work() -> int:
        connection = sqlite3.connect(database)
        connection.create_function("slow", 0, lambda: wait_for_the_middle_of_a_second(1.5))
        connection.execute("select slow()").fetchall()
        now = int(time.time())
        connection.execute("insert into seen values (?)", (str(now),))
        connection.close()
        return now

    with timetracer.record(tmp_path / "c.json"):
        recorded = work()
    with timetracer.replay(tmp_path / "c.json"):
        assert work() == recorded


@pytest.mark.parametrize("late", [0.0, 1.2])
def test_what_is_signed_with_another_second_is_the_same_question(late: float, database: str, tmp_path: Path) -> None:
    """A busy machine signs later; the answers hold what was signed now, so that it comes back as it was sent."""
    signer = TimestampSigner(key="for tests alone", fallback_keys=())

    def work(late: float) -> bool:
        connection = sqlite3.connect(database)
        connection.execute("select 1").fetchall()
        wait_for_the_middle_of_a_second(late)
        signed = signer.sign("e30")
        connection.execute("insert into seen values (?)", (signed,))
        ((kept,),) = connection.execute("select at from seen where at = ?", (signed,)).fetchall()
        connection.close()
        return bool(kept == signed and signer.unsign(kept, max_age=60) == "e30")

    with timetracer.record(tmp_path / "c.json"):
        assert work(0.0)
    with timetracer.replay(tmp_path / "c.json"):
        assert work(late)
