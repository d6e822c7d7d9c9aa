"""sqlite3 and psycopg under any sequence of statements, fetches, transactions and mistakes: replayed as it was live."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import timetracer
from tests.services import PostgresServer

Step = tuple[str, Any]
EXAMPLES = 60

_fetches = st.one_of(
    st.just(("fetchone", ())),
    st.just(("fetchall", ())),
    st.integers(1, 4).map(lambda n: ("fetchmany", (n,))),
    st.just(("next", ())),
    st.just(("list", ())),
)
_numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
_lite_values = st.one_of(
    st.none(), _numbers, st.floats(), st.text(max_size=5), st.binary(max_size=5), st.booleans(),
    st.just(2**70),
)  # fmt: skip
_lite_statements = st.one_of(
    st.sampled_from(
        [
            "begin", "begin immediate", "commit", "rollback", "savepoint a", "release a", "rollback to a", "selec",
            "select * from nowhere", "select x, y from t order by rowid", "delete from t", "drop table t",
            "create table t (x, y unique)", "update t set x = 1", "select 1 union all select 2 union all select 3",
            "select abs(x) from (select 1 as x union all select 2 union all select -9223372036854775808)",
            "insert into t values (1, 1) returning x, y", "pragma foreign_keys = on", "pragma foreign_keys", "",
            "select 1; select 2", "insert into t select x, null from t", "replace into t values (2, 2)", "-- nothing",
        ]
    ).map(lambda text: ("execute", (text,))),
    st.tuples(_lite_values, _lite_values).map(lambda v: ("execute", ("insert into t values (?, ?)", v))),
    _lite_values.map(lambda v: ("execute", ("select ?, typeof(?1)", (v,)))),
    st.dictionaries(st.sampled_from("ab"), _lite_values).map(lambda v: ("execute", ("select :a, :b", v))),
    st.lists(st.tuples(_lite_values, _lite_values), max_size=3).map(
        lambda v: ("executemany", ("insert into t values (?, ?)", v))
    ),
    st.sampled_from(["insert into t values (5, 5); select 1", "create table if not exists u (x); drop table u"]).map(
        lambda text: ("executescript", (text,))
    ),
)  # fmt: skip
_lite_steps = st.one_of(
    st.tuples(st.just("cursor"), _lite_statements | _fetches),
    st.tuples(st.just("other"), _lite_statements | _fetches),
    st.tuples(st.just("new"), _lite_statements),
    st.tuples(st.just("connection"), st.sampled_from([("commit", ()), ("rollback", ())])),
    st.tuples(st.just("factory"), st.sampled_from([("row", ()), ("none", ())])),
    st.tuples(st.just("level"), st.sampled_from([("", ()), ("none", ()), ("IMMEDIATE", ())])),
)


def _told(error: BaseException) -> tuple[Any, ...]:
    return (
        type(error).__name__,
        str(error),
        getattr(error, "sqlite_errorcode", None),
        getattr(error, "sqlstate", None),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, sqlite3.Row):
        return ("row", tuple(value.keys()), _plain(tuple(value)))
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return repr(value) if isinstance(value, str | bytes | float | int | type(None)) else type(value).__name__


def _do(target: Any, name: str, args: tuple[Any, ...]) -> Any:
    if name == "next":
        return next(target, "end")
    return list(target) if name == "list" else getattr(target, name)(*args)


def _lite(path: Path, steps: list[tuple[str, Step]], level: str | None) -> list[Any]:
    seen: list[Any] = []
    with closing(sqlite3.connect(path, isolation_level=level, timeout=0)) as conn:
        conn.execute("create table if not exists t (x, y unique)")
        cursors: dict[str, Any] = {"cursor": conn.cursor(), "other": conn.cursor(), "connection": conn}
        for where, (name, args) in steps:
            try:
                if where == "factory":
                    conn.row_factory = sqlite3.Row if name == "row" else None
                    cursors["cursor"] = conn.cursor()
                    continue
                if where == "level":
                    conn.isolation_level = None if name == "none" else name
                    continue
                if where == "new":
                    where = "cursor"
                    cursors[where] = getattr(conn, name)(*args)
                    seen.append("made")
                else:
                    seen.append(_plain(_do(cursors[where], name, args)))
            except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError, TypeError) as error:
                seen.append(_told(error))
            at = cursors["cursor"]
            seen.append([conn.in_transaction, conn.total_changes, at.rowcount, at.lastrowid, _plain(at.description)])
    return seen


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_lite_steps, max_size=14), st.sampled_from(["", None, "IMMEDIATE"]))
def test_sqlite3_replays_whatever_was_done(steps: list[tuple[str, Step]], level: str | None) -> None:
    """Values, counts, descriptions, transaction state and errors are the same, and nothing is left unanswered."""
    with tempfile.TemporaryDirectory() as folder:
        path, bare = Path(folder, "a.db"), Path(folder, "bare", "a.db")
        bare.parent.mkdir()
        untouched = _lite(bare, steps, level)
        with timetracer.record(Path(folder, "c.json")):
            live = _lite(path, steps, level)
        path.unlink()
        assert live == untouched
        with timetracer.replay(Path(folder, "c.json")):
            assert _lite(path, steps, level) == live


_values = st.one_of(
    st.none(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.binary(max_size=5), st.booleans(), st.datetimes(), st.uuids(), st.decimals(allow_nan=False), st.dates(),
    st.lists(st.integers(0, 9), max_size=3),
)  # fmt: skip
_statements = st.one_of(
    st.sampled_from(
        [
            "select 1", "select 1; select 2, 'two'", "select 1/0", "select 1; select 1/0", "selec",
            "select * from nowhere",
            "select x, y from fuzz order by x", "insert into fuzz values (1, 'a')", "delete from fuzz", "",
            "insert into fuzz values (7, 'r') returning x, y", "update fuzz set y = 'z'", "savepoint a",
            "release savepoint a", "rollback to savepoint a", "begin", "commit", "rollback", "select from fuzz",
            "select generate_series(1, 5)", "set time zone 'Asia/Tokyo'", "set time zone 'UTC'", "show time zone",
            "select '2024-01-01 00:00+00'::timestamptz", "create temporary table other (x int)", "drop table other",
            "select null::int, '{1,null}'::int[], '\\x00ff'::bytea, 'NaN'::numeric", "deallocate all", "discard plans",
        ]
    ).map(lambda text: ("execute", (text,))),
    _values.map(lambda v: ("execute", ("select %s", (v,)))),
    _values.map(lambda v: ("prepared", ("select %s", (v,)))),
    _values.map(lambda v: ("binary", ("select %s, 1.5::float8, 2::int8", (v,)))),
    st.tuples(st.integers(0, 9), st.text(st.characters(codec="utf-8"), max_size=4)).map(
        lambda v: ("execute", ("insert into fuzz values (%s, %s)", v))
    ),
    st.lists(st.tuples(st.integers(0, 3), st.just("m")), max_size=3).map(
        lambda v: ("executemany", ("insert into fuzz values (%s, %s)", v))
    ),
    st.lists(st.integers(0, 9), max_size=3).map(lambda v: ("returning", ("select %s::int", [(n,) for n in v]))),
    st.integers(0, 4).map(lambda n: ("stream", ("select generate_series(1, %s)", (n,)))),
    st.just(("stream", ("select 10 / (2 - n) from generate_series(1, 4) n", ()))),
    st.integers(0, 4).map(lambda n: ("server", (f"select generate_series(1, {n})", n))),
    st.lists(st.integers(0, 9), max_size=4).map(lambda v: ("copy_in", (v,))),
    st.integers(0, 4).map(lambda n: ("copy_out", (f"copy (select generate_series(1, {n})) to stdout",))),
    # How many statements psycopg sends after one that failed depends on how fast the error comes: it is the last one.
    st.tuples(st.lists(st.sampled_from(["select 1", "select 2", "select 'x'"]), max_size=4),
              st.lists(st.just("select 1/0"), max_size=1)).map(lambda v: v[0] + v[1]).map(
        lambda v: ("pipeline", (v,))
    ),
    st.sampled_from([("transaction", ("select 1",)), ("transaction", ("select 1/0",)), ("undone",
    ("delete from fuzz",))]),
)  # fmt: skip
_steps = st.one_of(
    _statements,
    _fetches.filter(lambda fetch: fetch[0] != "next"),
    st.sampled_from([("nextset", ()), ("commit", ()), ("rollback", ())]),
    st.sampled_from([("autocommit", (True,)), ("autocommit", (False,))]),
)
_SETUP = "create table if not exists fuzz (x int unique, y text); truncate fuzz"


async def _step(conn: psycopg.AsyncConnection, cursor: psycopg.AsyncCursor, name: str, args: tuple[Any, ...]) -> Any:
    match name:
        case "execute" | "prepared" | "binary":
            options = {"prepared": {"prepare": True}, "binary": {"binary": True}}.get(name, {})
            await cursor.execute(*args, **options)
        case "executemany" | "returning":
            await cursor.executemany(*args, returning=name == "returning")
        case "fetchone" | "fetchall" | "fetchmany":
            return await getattr(cursor, name)(*args)
        case "list":
            return [row async for row in cursor]
        case "nextset":
            return cursor.nextset()
        case "commit" | "rollback":
            return await getattr(conn, name)()
        case "autocommit":
            return await conn.set_autocommit(*args)
        case "stream":
            return [row async for row in cursor.stream(*args)]
        case "server":
            async with conn.cursor("named") as named:
                await named.execute(args[0])
                return [await named.fetchmany(2), await named.fetchall()]
        case "copy_in":
            async with cursor.copy("copy fuzz (x) from stdin") as copy:
                for value in args[0]:
                    await copy.write_row((value,))
        case "copy_out":
            async with cursor.copy(args[0]) as copy:
                return [bytes(block) async for block in copy]
        case "pipeline":
            await conn.rollback()
            async with conn.pipeline():
                made = [await conn.execute(text) for text in args[0]]
            return [await each.fetchall() if each.description else each.rowcount for each in made]
        case "transaction" | "undone":
            async with conn.transaction(force_rollback=name == "undone"):
                found = await conn.execute(args[0])
                return await found.fetchall() if name == "transaction" else None
    return None


def _sync_step(conn: psycopg.Connection, cursor: psycopg.Cursor, name: str, args: tuple[Any, ...]) -> Any:
    match name:
        case "execute" | "prepared" | "binary":
            options: Any = {"prepared": {"prepare": True}, "binary": {"binary": True}}.get(name, {})
            cursor.execute(*args, **options)
        case "executemany" | "returning":
            cursor.executemany(*args, returning=name == "returning")
        case "fetchone" | "fetchall" | "fetchmany":
            return getattr(cursor, name)(*args)
        case "list":
            return list(cursor)
        case "nextset":
            return cursor.nextset()
        case "commit" | "rollback":
            return getattr(conn, name)()
        case "autocommit":
            conn.autocommit = args[0]
        case "stream":
            return list(cursor.stream(*args))
        case "server":
            with conn.cursor("named") as named:
                named.execute(args[0])
                return [named.fetchmany(2), named.fetchall()]
        case "copy_in":
            with cursor.copy("copy fuzz (x) from stdin") as copy:
                for value in args[0]:
                    copy.write_row((value,))
        case "copy_out":
            with cursor.copy(args[0]) as copy:
                return [bytes(block) for block in copy]
        case "pipeline":
            conn.rollback()
            with conn.pipeline():
                made = [conn.execute(text) for text in args[0]]
            return [each.fetchall() if each.description else each.rowcount for each in made]
        case "transaction" | "undone":
            with conn.transaction(force_rollback=name == "undone"):
                found = conn.execute(args[0])
                return found.fetchall() if name == "transaction" else None
    return None


def _state(conn: Any, cursor: Any) -> list[Any]:
    columns = [(c.name, c.type_code) for c in cursor.description or ()]
    status = conn.info.transaction_status.name
    return [status, conn.closed, columns, cursor.rowcount, cursor.statusmessage, conn.info.parameter_status("TimeZone")]


_CAUGHT = (psycopg.Error, ValueError, TypeError, OverflowError)


def _sync(dsn: str, steps: list[Step]) -> list[Any]:
    seen: list[Any] = []
    with closing(psycopg.connect(dsn)) as conn:
        cursor = conn.cursor()
        for name, args in steps:
            try:
                seen.append(repr(_sync_step(conn, cursor, name, args)))
            except _CAUGHT as error:
                seen.append(_told(error))
            seen.append(_state(conn, cursor))
    return seen


def _async(dsn: str, steps: list[Step]) -> list[Any]:
    async def main() -> list[Any]:
        seen: list[Any] = []
        conn = await psycopg.AsyncConnection.connect(dsn)
        cursor = conn.cursor()
        for name, args in steps:
            try:
                seen.append(repr(await _step(conn, cursor, name, args)))
            except _CAUGHT as error:
                seen.append(_told(error))
            seen.append(_state(conn, cursor))
        await conn.close()
        return seen

    return asyncio.run(main())


@pytest.mark.parametrize("run", [_sync, _async], ids=["sync", "async"])
def test_psycopg_replays_whatever_was_done(run: Callable[..., list[Any]], postgres_server: PostgresServer) -> None:
    """Values, columns, transaction state and errors are the same, and nothing is left unanswered."""
    dsn = postgres_server.dsn

    def fresh() -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(_SETUP)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(_steps, max_size=14))
    def check(steps: list[Step]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            fresh()
            untouched = run(dsn, steps)
            fresh()
            with timetracer.record(Path(folder, "c.json")):
                live = run(dsn, steps)
            assert live == untouched
            with timetracer.replay(Path(folder, "c.json")):
                assert run(dsn, steps) == live

    check()
