"""sqlite3: what an app saw of a database file, it sees again with the file gone."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

import timetracer
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant

SUITE = Suite("tests.outbound.steps.sqlite3", instrumentors=("sqlite3",))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings; the database is gone afterwards."""
    folder = tmp_path_factory.mktemp("sqlite3")
    found: Recordings = {
        each: SUITE.record(
            folder, {"sqlite": str(folder / f"{'instrumented' if each else 'plain'}" / "app.db")}, instrumented=each
        )
        for each in (True, False)
        if not (folder / f"{'instrumented' if each else 'plain'}").mkdir()
    }
    for name in ("instrumented", "plain"):
        shutil.rmtree(folder / name)
    return found


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the file gone."""
    SUITE.check(recordings, variant)


def test_backup_is_refused_clearly(tmp_path: Path) -> None:
    """A backup works while recording, and the replay says that it could not be kept."""
    with timetracer.record(tmp_path / "c.json"):
        source, target = sqlite3.connect(tmp_path / "a.db"), sqlite3.connect(tmp_path / "b.db")
        source.backup(target)
        source.close()
        target.close()
    found = pytest.raises(timetracer.ReplayError, match="not recorded in full")
    with found, timetracer.replay(tmp_path / "c.json"), closing(sqlite3.connect(tmp_path / "a.db")) as source:
        source.backup(source)


def test_a_live_connection_may_be_used_in_a_replay(tmp_path: Path) -> None:
    """One connection answers live, then from the cassette, then live again."""
    conn = sqlite3.connect(tmp_path / "a.db")
    with timetracer.record(tmp_path / "c.json"):
        conn.close()
        conn = sqlite3.connect(tmp_path / "a.db")
        conn.execute("create table t (x)")
        conn.execute("insert into t values (1)")
        recorded = conn.execute("select x from t").fetchall()
        conn.commit()
    conn.execute("insert into t values (2)")
    conn.commit()
    with timetracer.replay(tmp_path / "c.json"):
        conn.execute("create table t (x)")
        conn.execute("insert into t values (1)")
        assert conn.execute("select x from t").fetchall() == recorded == [(1,)]
        conn.commit()
    assert conn.execute("select x from t").fetchall() == [(1,), (2,)]
    conn.close()


def _open(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, isolation_level=None)
    conn.row_factory = sqlite3.Row
    conn.execute("pragma foreign_keys = on")
    conn.create_function("twice", 1, lambda n: n * 2)
    return conn


def _ask(conn: sqlite3.Connection) -> list[dict[str, object]]:
    return [dict(row) for row in conn.execute("select twice(x) as y, 'z' as z from t")]


def test_a_connection_made_in_replay_goes_live(tmp_path: Path) -> None:
    """It opens the database that was asked for, with the functions and settings that it was given; and back again."""
    path, cassette = tmp_path / "a.db", tmp_path / "c.json"
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript("create table t (x); insert into t values (1)")
    with timetracer.record(cassette), closing(_open(path)) as conn:
        recorded = _ask(conn)
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript("insert into t values (2)")
    with timetracer.replay(cassette):
        conn = _open(path)
        cursor = conn.cursor()
        assert _ask(conn) == recorded == [{"y": 2, "z": "z"}]
    for _ in range(2):
        assert [each["y"] for each in _ask(conn)] == [2, 4]
        assert conn.execute("pragma foreign_keys").fetchone()[0] == 1
        assert cursor.execute("select max(x) from t").fetchone()[0] == 2
        with timetracer.replay(cassette):
            conn.execute("pragma foreign_keys = on")
            assert _ask(conn) == recorded
    conn.close()


def test_a_replay_leaves_a_live_database_alone(tmp_path: Path) -> None:
    """A statement without columns runs nothing on the connection it is replayed on."""
    cassette = tmp_path / "c.json"
    with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        with timetracer.record(cassette):
            conn.execute("create table t (x)")
        conn.execute("pragma user_version = 7")
        with timetracer.replay(cassette):
            conn.execute("create table t (x)")
        assert conn.execute("pragma user_version").fetchone() == (7,)


@pytest.mark.parametrize("made", ["live", "replayed"])
def test_a_replayed_transaction_cannot_go_live(tmp_path: Path, made: str) -> None:
    """What it began is not there; a rollback ends it."""
    cassette, path = tmp_path / "c.json", tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("create table t (x)")
        live = sqlite3.connect(path)
        with timetracer.record(cassette):
            conn = sqlite3.connect(path)
            conn.execute("insert into t values (1)")
            conn.close()
    with timetracer.replay(cassette):
        conn = sqlite3.connect(path) if made == "replayed" else live
        conn.execute("insert into t values (1)")
    for refused in (lambda: conn.execute("insert into t values (2)"), conn.commit):
        with pytest.raises(timetracer.ReplayError, match="middle of a transaction"):
            refused()
    conn.rollback()
    assert conn.execute("select x from t").fetchall() == []
    conn.close()
    live.close()


def test_a_live_transaction_outlives_a_replay(tmp_path: Path) -> None:
    """A test's cassette inside a transaction of its fixture."""
    cassette = tmp_path / "c.json"
    with closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        conn.execute("create table t (x)")
        for run in (timetracer.record, timetracer.replay):
            conn.execute("insert into t values (1)")
            with run(cassette):
                conn.execute("savepoint one")
                conn.execute("insert into t values (2)")
                assert conn.execute("select x from t").fetchall() == [(1,), (2,)]
                conn.execute("release one")
                assert conn.in_transaction
            found = conn.execute("select x from t").fetchall()
            assert found == ([(1,), (2,)] if run is timetracer.record else [(1,)])
            conn.rollback()


def test_live_and_replayed_calls_share_a_connection(tmp_path: Path) -> None:
    """Two threads on one connection, one live and one replayed, never get each other's answers."""
    cassette = tmp_path / "c.json"
    conn = sqlite3.connect(tmp_path / "a.db", check_same_thread=False, isolation_level=None)
    conn.execute("create table t (x)")
    with timetracer.record(cassette):
        recorded = conn.execute("select count(*) + 100, 'r' from t").fetchall()
    seen: dict[str, list[object]] = {"live": [], "replayed": []}

    def live() -> None:
        for n in range(200):
            conn.execute("insert into t values (?)", (n,))
            seen["live"].append(conn.execute("select count(*) from t").fetchone())

    def replayed() -> None:
        for _ in range(200):
            with timetracer.replay(cassette):
                seen["replayed"].append(conn.execute("select count(*) + 100, 'r' from t").fetchall())

    threads = [threading.Thread(target=each) for each in (live, replayed)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    conn.close()
    assert seen["live"] == [(n + 1,) for n in range(200)]
    assert seen["replayed"] == [recorded] * 200
