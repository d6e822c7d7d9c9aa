"""psycopg: a connection is wholly live or wholly a stand-in, and the same object passes from one to the other."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import timetracer
from tests.services import PostgresServer
from timetracer.errors import ReplayError
from timetracer.outbound.postgres_peer import Peer


@pytest.fixture
def dsn(postgres_server: PostgresServer) -> str:
    """A server with one empty table."""
    with psycopg.connect(postgres_server.dsn, autocommit=True) as conn:
        conn.execute("drop table if exists world")
        conn.execute("create table world (x int, y text)")
    return postgres_server.dsn


def _work(conn: psycopg.Connection, name: str) -> list[Any]:
    seen: list[Any] = []
    with conn.transaction(force_rollback=True):
        conn.execute("insert into world values (%s, %s)", (1, name))
        seen.append(conn.execute("select y from world").fetchall())
        seen.append(conn.execute("select count(*) from world where y = %s", (name,), prepare=True).fetchone())
    return [seen, conn.info.transaction_status.name]


def test_one_connection_passes_between_worlds(dsn: str, tmp_path: Path) -> None:
    """A connection made live is replayed with, and then is live again with the settings it had."""
    cassette = tmp_path / "c.json"
    with psycopg.connect(dsn, autocommit=True) as conn, conn.cursor() as cursor:
        conn.execute("set time zone 'Europe/Rome'")
        with timetracer.record(cassette):
            recorded = [_work(conn, "same"), cursor.execute("select 5").fetchall()]
        for round_ in range(3):
            conn.execute("insert into world values (%s, 'live')", (round_,), prepare=True)
            with timetracer.replay(cassette):
                assert [_work(conn, "same"), cursor.execute("select 5").fetchall()] == recorded
            assert conn.execute("select x from world order by x").fetchall() == [(n,) for n in range(round_ + 1)]
            assert cursor.execute("show time zone").fetchone() == ("Europe/Rome",)


@pytest.mark.parametrize("named", [True, False])
def test_the_default_isolation_level_may_be_named(dsn: str, tmp_path: Path, named: bool) -> None:
    """A pooled connection that had another level names the default one from then on; another level is a difference."""
    cassette = tmp_path / "c.json"
    default, serializable = psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.SERIALIZABLE
    with psycopg.connect(dsn) as conn:
        conn.isolation_level = default if named else None
        with timetracer.record(cassette):
            conn.execute("select 5")
            conn.rollback()
        for level, left in ((None if named else default, []), (serializable, ["BEGIN"])):
            conn.isolation_level = level
            with timetracer.replay(cassette) as replayed:
                assert conn.execute("select 5").fetchone() == (5,)
                conn.rollback()
            assert [event.signature.method for event in replayed.unused] == left


def test_a_connection_made_in_replay_goes_live(dsn: str, tmp_path: Path) -> None:
    """It connects with its own parameters, keeps what the app set, and is replayed with once more."""
    cassette = tmp_path / "c.json"

    def work(conn: psycopg.Connection) -> object:
        conn.autocommit = True
        conn.execute("select set_config('TimeZone', 'Asia/Tokyo', false)")
        return conn.execute("select 1, '2024-01-01 00:00+00'::timestamptz::text").fetchone()

    with timetracer.record(cassette), psycopg.connect(dsn, application_name="mine") as conn:
        recorded = work(conn)
    with timetracer.replay(cassette):
        conn = psycopg.connect(dsn, application_name="mine")
        assert work(conn) == recorded
    assert conn.execute("select count(*), current_setting('TimeZone') from world").fetchone() == (0, "Asia/Tokyo")
    assert conn.execute("show application_name").fetchone() == ("mine",)
    with timetracer.replay(cassette):
        assert work(conn) == recorded
    conn.close()


def test_replay_needs_no_server(dsn: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    """A connection that was live replays after the server went away; live again it is a broken one."""
    cassette = tmp_path / "c.json"
    with psycopg.connect(dsn, autocommit=True) as conn:
        with timetracer.record(cassette):
            recorded = _work(conn, "gone")
        postgres_server.stop()
        try:
            with timetracer.replay(cassette):
                assert _work(conn, "gone") == recorded
            with pytest.raises(psycopg.OperationalError, match=r"terminating|closed"):
                conn.execute("select 1")
            assert conn.broken
        finally:
            postgres_server.start()


def test_a_replayed_transaction_cannot_go_live(dsn: str, tmp_path: Path) -> None:
    """What it began is not there; a rollback ends it."""
    cassette = tmp_path / "c.json"
    with psycopg.connect(dsn) as conn:
        with timetracer.record(cassette):
            recorded = conn.execute("select 1").fetchone()
            conn.rollback()
        with timetracer.replay(cassette):
            assert conn.execute("select 1").fetchone() == recorded
        for _ in range(2):
            with pytest.raises(ReplayError, match="middle of a transaction"):
                conn.execute("insert into world values (2, 'half')")
        conn.rollback()
        assert conn.execute("select x from world").fetchall() == []


def test_a_live_transaction_outlives_a_replay(dsn: str, tmp_path: Path) -> None:
    """A test's cassette inside a transaction of its fixture, as with Django's TestCase; temporary tables stay, too."""
    cassette = tmp_path / "c.json"

    def work(conn: psycopg.Connection) -> object:
        with conn.transaction() as inner:
            conn.execute("insert into world values (5, 'inner')")
            return [inner.savepoint_name, conn.execute("select x from world order by x").fetchall()]

    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("create temporary table mine as select 8 as x")
        for run in (timetracer.record, timetracer.replay, timetracer.replay):
            with conn.transaction(force_rollback=True):
                conn.execute("insert into world values (4, 'outer')")
                with run(cassette):
                    assert work(conn) == ["_pg3_2", [(4,), (5,)]]
                lives = conn.execute("select x from world order by x").fetchall()
                assert lives == ([(4,), (5,)] if run is timetracer.record else [(4,)])
        assert conn.execute("select x from mine").fetchone() == (8,)


def test_a_pipeline_cannot_be_left(dsn: str, tmp_path: Path) -> None:
    """A connection that is busy stays where it is."""
    cassette = tmp_path / "c.json"
    with psycopg.connect(dsn, autocommit=True) as conn:
        with timetracer.record(cassette):
            conn.execute("select 1")
        with conn.pipeline():
            conn.execute("insert into world values (3)")
            with pytest.raises(ReplayError, match="a pipeline"), timetracer.replay(cassette):
                conn.execute("select 1")
        assert conn.execute("select x from world").fetchone() == (3,)


def _threads(live: Callable[[], None], replayed: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def run(body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in (live, replayed)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed, failed


def test_live_and_replayed_calls_share_a_pool(dsn: str, tmp_path: Path) -> None:
    """Two threads on one pool, one live and one replayed, never get each other's answers."""
    cassette = tmp_path / "c.json"
    with ConnectionPool(dsn, min_size=2, max_size=2, kwargs={"autocommit": True}) as pool:
        with timetracer.record(cassette), pool.connection() as conn:
            recorded = _work(conn, "replayed")
        seen: dict[str, list[Any]] = {"live": [], "replayed": []}

        def live() -> None:
            for n in range(40):
                with pool.connection() as conn:
                    conn.execute("insert into world values (%s, 'live')", (n,))
                    seen["live"].append(conn.execute("select max(x), count(*) from world").fetchone())

        def replayed() -> None:
            for _ in range(40):
                with timetracer.replay(cassette), pool.connection() as conn:
                    seen["replayed"].append(_work(conn, "replayed"))

        _threads(live, replayed)
        assert seen["live"] == [(n, n + 1) for n in range(40)]
        assert seen["replayed"] == [recorded] * 40


def test_live_and_replayed_calls_share_a_connection(dsn: str, tmp_path: Path) -> None:
    """Two threads on one connection: statement by statement it is one or the other."""
    cassette = tmp_path / "c.json"
    with psycopg.connect(dsn, autocommit=True) as conn:
        with timetracer.record(cassette):
            recorded = conn.execute("select count(*) + 100 from world").fetchone()
        seen: dict[str, list[Any]] = {"live": [], "replayed": []}

        def live() -> None:
            for n in range(20):
                conn.execute("insert into world values (%s, 'live')", (n,))
                seen["live"].append(conn.execute("select count(*) from world").fetchone())

        def replayed() -> None:
            for _ in range(20):
                with timetracer.replay(cassette):
                    seen["replayed"].append(conn.execute("select count(*) + 100 from world").fetchone())

        _threads(live, replayed)
        assert seen["live"] == [(n + 1,) for n in range(20)]
        assert seen["replayed"] == [recorded] * 20


def test_async_connections_pass_between_worlds(dsn: str, tmp_path: Path) -> None:
    """The same for asyncio: one connection, and a pool with a live and a replayed task at once."""
    cassette = tmp_path / "c.json"

    async def work(conn: psycopg.AsyncConnection) -> list[Any]:
        async with conn.transaction(force_rollback=True):
            await conn.execute("insert into world values (7, 'task')")
            return await (await conn.execute("select x, y from world")).fetchall()

    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            with timetracer.record(cassette):
                recorded = await work(conn)
            for n in range(3):
                await conn.execute("insert into world values (%s, 'live')", (n,))
                with timetracer.replay(cassette):
                    assert await work(conn) == recorded
                assert await (await conn.execute("select count(*) from world")).fetchone() == (n + 1,)
        async with AsyncConnectionPool(dsn, min_size=2, kwargs={"autocommit": True}, open=False) as pool:

            async def live() -> list[Any]:
                seen = []
                for n in range(20):
                    async with pool.connection() as conn:
                        await conn.execute("insert into world values (%s, 'task')", (n,))
                        seen.append(await (await conn.execute("select count(*) - 3 from world")).fetchone())
                return seen

            async def replayed() -> list[Any]:
                seen = []
                for _ in range(20):
                    with timetracer.replay(cassette):
                        async with pool.connection() as conn:
                            seen.append(await work(conn))
                return seen

            found, again = await asyncio.gather(live(), replayed())
            assert found == [(n + 1,) for n in range(20)]
            assert again == [recorded] * 20

    asyncio.run(main())


def test_notices_come_again(dsn: str, tmp_path: Path) -> None:
    """With the statement that they came with, an error's too."""

    def work() -> list[object]:
        seen: list[object] = []
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.add_notice_handler(lambda diag: seen.append([diag.severity, diag.message_primary]))
            conn.execute("do $$ begin raise notice 'one'; raise warning 'two'; end $$")
            seen.append(conn.execute("select 1").fetchone())
            with pytest.raises(psycopg.errors.RaiseException):
                conn.execute("do $$ begin raise notice 'three'; raise exception 'four'; end $$")
        return seen

    with timetracer.record(tmp_path / "c.json"):
        recorded = work()
    assert len(recorded) == 4
    with timetracer.replay(tmp_path / "c.json"):
        assert work() == recorded


def test_notifications_are_refused(dsn: str, tmp_path: Path) -> None:
    """They work while recording, and the replay says that they could not be kept."""
    with timetracer.record(tmp_path / "c.json"), psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("listen x")
        conn.execute("notify x, 'payload'")
        assert [each.payload for each in conn.notifies(timeout=5, stop_after=1)] == ["payload"]
    found = pytest.raises(ReplayError, match="not recorded in full")
    with found, timetracer.replay(tmp_path / "c.json"), psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("listen x")
        conn.execute("notify x, 'payload'")
        list(conn.notifies(timeout=5, stop_after=1))


def test_a_cleared_result_is_refused(dsn: str, tmp_path: Path) -> None:
    """Results are read after the call: one that the app cleared by then makes the event incomplete."""

    def work() -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            found = conn.execute("select 7").pgresult
            assert found is not None
            found.clear()

    with timetracer.record(tmp_path / "c.json"):
        work()
    with pytest.raises(ReplayError, match="not recorded in full"), timetracer.replay(tmp_path / "c.json"):
        work()


def test_there_are_peers_for_ever(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer's number is its port, and ports end at 65535: then it begins anew, past those that are in use."""
    with timetracer.record(tmp_path / "c.json"), psycopg.connect(dsn) as conn:
        recorded = conn.execute("select 1").fetchall()
    last = max(itertools.islice(Peer._numbers, 65535))
    monkeypatch.setattr(Peer, "_numbers", itertools.cycle([last, last, 1]))
    with timetracer.replay(tmp_path / "c.json"), psycopg.connect(dsn), psycopg.connect(dsn) as second:
        assert second.pgconn.port == b"1"
        assert second.execute("select 1").fetchall() == recorded


def test_what_readied_a_connection_goes_with_it(dsn: str, tmp_path: Path) -> None:
    """A connection is kept and used by later requests; replayed by itself, one of those may be the first."""

    def connect() -> psycopg.Connection:
        conn = psycopg.connect(dsn, autocommit=True)
        conn.execute("SELECT set_config('TimeZone', 'Asia/Tokyo', false)")
        return conn

    def work(conn: psycopg.Connection) -> object:
        return conn.execute("select '2024-01-01 00:00+00'::timestamptz").fetchone()

    with timetracer.record(tmp_path / "first.json"):
        kept = connect()
    with kept, timetracer.record(tmp_path / "second.json"):
        recorded = work(kept)
    with timetracer.replay(tmp_path / "second.json"), connect() as conn:
        assert (str(work(conn)), conn.info.timezone.key) == (str(recorded), "Asia/Tokyo")


def test_a_process_that_ends_connected_leaves_no_folder(dsn: str, tmp_path: Path) -> None:
    """Kept connections are open to the end of a worker; a forked child leaves those of its parent alone."""
    with timetracer.record(tmp_path / "c.json"), psycopg.connect(dsn) as conn:
        conn.execute("select 1").fetchall()
    script = f"""
import os, sys, tempfile, timetracer, psycopg
scope = timetracer.replay({str(tmp_path / "c.json")!r})
scope.__enter__()
conn = psycopg.connect({dsn!r})
if os.fork() == 0:
    sys.exit()
os.wait()
print(len(os.listdir(tempfile.gettempdir())), conn.execute("select 1").fetchall())
"""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        environ = {**os.environ, "TMPDIR": folder}
        done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == ("1 [(1,)]\n", 0), done.stderr
        assert os.listdir(folder) == []


@pytest.mark.parametrize("cancels", [True, False])
def test_an_answer_to_a_cancel_waits_for_it(cancels: bool, dsn: str, tmp_path: Path) -> None:
    """What came because another thread cancelled comes once that is done again, or late where nobody does."""

    def work(cancels: bool) -> list[str]:
        seen: list[str] = []

        def cancel(conn: psycopg.Connection[Any]) -> None:
            seen.append("cancels")
            conn.cancel()

        with psycopg.connect(dsn, autocommit=True) as conn:
            timer = threading.Timer(0.3, cancel, [conn]) if cancels else threading.Timer(0, seen.append, ["idle"])
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled) as raised:
                conn.execute("select pg_sleep(60)")
            seen.append(str(raised.value))
            timer.join()
            seen.extend(str(row) for row in conn.execute("select 5"))
        return seen

    with timetracer.record(tmp_path / "c.json"):
        recorded = work(True)
    assert recorded == ["cancels", "canceling statement due to user request", "(5,)"]
    with timetracer.replay(tmp_path / "c.json"):
        assert work(cancels) == ["cancels" if cancels else "idle", *recorded[1:]]
