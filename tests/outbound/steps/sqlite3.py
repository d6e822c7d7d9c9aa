"""What an app does with sqlite3: every way to run a statement and to fetch its rows, transactions, types and errors."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from tests.outbound.steps import Steps, address

steps = Steps()
shared: dict[str, sqlite3.Connection] = {}


def connect(**options: Any) -> sqlite3.Connection:
    return sqlite3.connect(address("sqlite"), **options)


def raised(error: sqlite3.Error) -> object:
    return [
        type(error).__name__,
        str(error),
        getattr(error, "sqlite_errorcode", None),
        getattr(error, "sqlite_errorname", None),
    ]


@steps
def connects() -> object:
    conn = shared["one"] = connect()
    return [isinstance(conn, sqlite3.Connection), conn.in_transaction, conn.total_changes, conn.isolation_level]


@steps
def makes_tables() -> object:
    conn = shared["one"]
    conn.execute("drop table if exists item")
    cur = conn.execute("create table item (id integer primary key, name text not null unique, price real, data blob)")
    return [cur.description, cur.rowcount, cur.lastrowid, cur.fetchone(), cur.fetchall(), conn.in_transaction]


@steps
def inserts() -> object:
    conn = shared["one"]
    cur = conn.execute("insert into item (name, price) values (?, ?)", ("a", 1.5))
    seen: list[object] = [cur.lastrowid, cur.rowcount, cur.description, conn.in_transaction, conn.total_changes]
    conn.commit()
    return [*seen, conn.in_transaction]


@steps
def selects() -> object:
    cur = shared["one"].execute(
        "select id, name, price as p, null, x'00ff', 9007199254740993, 'é☃' from item where name = ?", ["a"]
    )
    return [cur.description, cur.fetchall(), cur.fetchall(), cur.fetchone(), cur.rowcount]


@steps
def names_parameters() -> object:
    return shared["one"].execute("select :a || :b, :a", {"a": "x", "b": "y"}).fetchone()


@steps
def tells_parameters_apart() -> object:
    return [shared["one"].execute("select ? * 10", (n,)).fetchone() for n in (3, 1, 2)]


@steps
def sends_every_type() -> object:
    class Name(str):
        pass

    class Level(enum.IntEnum):
        HIGH = 3

    values = (
        1,
        -(2**63),
        1.5,
        float("inf"),
        "s",
        "",
        b"\x00\xff",
        bytearray(b"ab"),
        memoryview(b"cd"),
        None,
        True,
        Name("n"),
        Level.HIGH,
    )
    query = "select " + ", ".join("?" * len(values)) + ", typeof(?)"
    return shared["one"].execute(query, (*values, "x")).fetchone()


@steps
def inserts_many() -> object:
    conn = shared["one"]
    cur = conn.executemany("insert into item (name, price) values (?, ?)", [(f"many{n}", n) for n in range(4)])
    seen: list[object] = [cur.rowcount, cur.lastrowid, conn.total_changes]
    conn.commit()
    return seen


@steps
def inserts_from_a_generator() -> object:
    conn = shared["one"]
    cur = conn.cursor()
    cur.executemany("insert into item (name) values (:name)", ({"name": f"gen{n}"} for n in range(3)))
    conn.commit()
    return [cur.rowcount, conn.execute("select count(*) from item where name like 'gen%'").fetchone()]


@steps
def inserts_until_the_generator_fails() -> object:
    def rows() -> Iterator[tuple[str]]:
        yield ("half1",)
        yield ("half2",)
        raise RuntimeError("no more")

    conn = shared["one"]
    try:
        conn.executemany("insert into item (name) values (?)", rows())
    except RuntimeError as error:
        seen: list[object] = [str(error), conn.in_transaction]
    seen.append(conn.execute("select count(*) from item where name like 'half%'").fetchone())
    conn.rollback()
    return seen


@steps
def fetches_in_parts() -> object:
    cur = shared["one"].execute(
        "with recursive n(x) as (select 1 union all select x + 1 from n where x < 9) select x from n"
    )
    seen: list[object] = [cur.fetchone(), cur.fetchmany(2), next(cur)]
    cur.arraysize = 3
    return [*seen, cur.fetchmany(), cur.fetchmany(size=1), list(cur), cur.fetchmany(5), cur.fetchone()]


@steps
def iterates() -> object:
    return list(shared["one"].execute("select name from item where name like 'many%' order by name"))


@steps
def leaves_rows_unread() -> object:
    conn = shared["one"]
    cur = conn.execute("select name from item order by name")
    first = cur.fetchone()
    cur.close()
    try:
        cur.fetchone()
    except sqlite3.ProgrammingError as error:
        return [first, raised(error)]
    return None


@steps
def reuses_a_cursor() -> object:
    cur = shared["one"].cursor()
    cur.execute("select name from item order by name")
    first = cur.fetchone()
    cur.execute("select 2, 3")
    return [first, cur.description, cur.fetchall()]


@steps
def runs_a_script() -> object:
    conn = shared["one"]
    cur = conn.executescript(
        "create table if not exists script (x); delete from script; insert into script values (1), (2);"
    )
    return [cur.rowcount, cur.description, conn.in_transaction, conn.execute("select x from script").fetchall()]


@steps
def makes_rows() -> object:
    conn = connect()
    conn.row_factory = sqlite3.Row
    row = conn.execute("select 1 as a, 'x' as B").fetchone()
    rows = conn.execute("select name from item where name like 'many%' order by 1").fetchall()
    conn.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True)
    }
    made = [*conn.execute("select 1 as a, 'x' as b")]
    cur = conn.cursor()
    cur.row_factory = lambda cursor, row: list(row)
    seen = [
        row.keys(),
        tuple(row),
        row["b"],
        type(row).__name__,
        [r["name"] for r in rows],
        made,
        cur.execute("select 5").fetchone(),
    ]
    conn.close()
    return seen


@steps
def makes_texts() -> object:
    conn = connect()
    conn.text_factory = bytes
    seen = conn.execute("select 'abc', 1").fetchall()
    conn.close()
    return seen


@steps
def converts() -> object:
    sqlite3.register_converter("money", lambda raw: decimal.Decimal(raw.decode()))
    sqlite3.register_converter("day", lambda raw: dt.date.fromisoformat(raw.decode()))
    sqlite3.register_adapter(decimal.Decimal, str)
    conn = connect(detect_types=sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES)
    conn.execute("create table if not exists typed (m money, d day)")
    conn.execute("delete from typed")
    conn.execute("insert into typed values (?, ?)", (decimal.Decimal("1.10"), "2024-02-29"))
    cur = conn.execute("select m, d, '2024-01-01' as \"e [day]\" from typed")
    seen = [cur.description, cur.fetchall()]
    conn.commit()
    conn.close()
    return seen


@steps
def adapts() -> object:
    class Point:
        def __conform__(self, protocol: object) -> str:
            return "1;2"

    return shared["one"].execute("select ?", (Point(),)).fetchone()


@steps
def rolls_back() -> object:
    conn = shared["one"]
    conn.execute("delete from item")
    seen: list[object] = [conn.in_transaction, conn.execute("select count(*) from item").fetchone()]
    conn.rollback()
    return [*seen, conn.in_transaction, conn.execute("select count(*) > 0 from item").fetchone()]


@steps
def uses_with() -> object:
    conn = shared["one"]
    with conn:
        conn.execute("insert into item (name) values ('with')")
    try:
        with conn:
            conn.execute("insert into item (name) values ('lost')")
            raise ValueError("stop")
    except ValueError:
        pass
    return [conn.in_transaction, conn.execute("select name from item where name in ('with', 'lost')").fetchall()]


@steps
def uses_savepoints() -> object:
    conn = connect(isolation_level=None)
    conn.execute("begin")
    seen: list[object] = [conn.in_transaction]
    conn.execute("savepoint s140223_x1")
    conn.execute("insert into item (name) values ('saved')")
    conn.execute("rollback to savepoint s140223_x1")
    conn.execute("release savepoint s140223_x1")
    seen.append(conn.execute("select count(*) from item where name = 'saved'").fetchone())
    conn.execute("commit")
    seen.append(conn.in_transaction)
    conn.close()
    return seen


@steps
def changes_isolation() -> object:
    conn = connect()
    conn.execute("insert into item (name) values ('iso')")
    before = conn.in_transaction
    conn.isolation_level = None
    after = conn.in_transaction
    conn.isolation_level = "IMMEDIATE"
    seen = [before, after, conn.isolation_level, conn.execute("select name from item where name = 'iso'").fetchall()]
    conn.close()
    return seen


@steps
def violates_unique() -> object:
    conn = shared["one"]
    try:
        conn.execute("insert into item (name) values ('a')")
    except sqlite3.IntegrityError as error:
        seen = raised(error)
    status = conn.in_transaction
    conn.rollback()
    return [seen, status, conn.in_transaction]


@steps
def lets_an_error_out() -> object:
    return shared["one"].execute("select * from nowhere").fetchall()


@steps
def makes_mistakes() -> object:
    seen = []
    for sql, params in (
        ("selec 1", ()),
        ("select ?", ()),
        ("select 1; select 2", ()),
        ("select ?", (object(),)),
        ("select ?", (2**70,)),
    ):
        try:
            shared["one"].execute(sql, params)
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            seen.append([type(error).__name__, str(error).split(" at 0x")[0]])
    return seen


@steps
def fails_while_fetching() -> object:
    conn = shared["one"]
    cur = conn.execute("select abs(x) from (select 1 as x union all select 2 union all select -9223372036854775808)")
    seen: list[object] = [cur.fetchone(), cur.fetchone()]
    try:
        cur.fetchone()
    except sqlite3.Error as error:
        seen.append(raised(error))
    return seen


@steps
def defines_functions() -> object:
    class Product:
        def __init__(self) -> None:
            self.total = 1

        def step(self, value: int) -> None:
            self.total *= value

        def finalize(self) -> int:
            return self.total

    conn = shared["one"]
    conn.create_function("twice", 1, lambda n: n * 2, deterministic=True)
    conn.create_aggregate("product", 1, Product)  # type: ignore[arg-type]
    conn.create_collation("backwards", lambda a, b: (a < b) - (a > b))
    return [
        conn.execute("select twice(21)").fetchone(),
        conn.execute("select product(x) from (select 3 as x union select 5)").fetchone(),
        conn.execute("select name from item where name like 'many%' order by 1 collate backwards").fetchall(),
    ]


@steps
def asks_pragmas() -> object:
    conn = shared["one"]
    conn.execute("pragma foreign_keys = on")
    return [conn.execute("pragma foreign_keys").fetchone(), conn.execute("pragma table_info(item)").fetchall()]


@steps
def dumps() -> object:
    return [line for line in shared["one"].iterdump() if "typed" in line or "script" in line]


@steps
def returns_rows_of_an_insert() -> object:
    conn = shared["one"]
    cur = conn.execute("insert into item (name) values ('r1'), ('r2') returning name, length(name)")
    seen = [cur.description, cur.fetchall()]
    conn.commit()
    return seen


@steps
def updates_and_deletes() -> object:
    conn = shared["one"]
    changed = conn.execute("update item set price = 9 where name like 'many%'").rowcount
    deleted = conn.execute("delete from item where name like 'gen%'").rowcount
    conn.commit()
    return [changed, deleted, conn.total_changes]


@steps
def comments_do_not_matter() -> object:
    import uuid

    return shared["one"].execute(f"select  'a  b' /* {uuid.uuid4()} */,\n 1 -- {uuid.uuid4()}\n").fetchone()


@steps
def brings_its_own_classes() -> object:
    class MyCursor(sqlite3.Cursor):
        def fetchone(self) -> Any:
            return ("mine", super().fetchone())

    class MyConnection(sqlite3.Connection):
        def cursor(self, factory: Any = MyCursor) -> Any:
            return super().cursor(factory)

    conn = connect(factory=MyConnection)
    cur = conn.cursor()
    seen = [isinstance(conn, MyConnection), isinstance(cur, MyCursor), cur.execute("select 1").fetchone()]
    conn.close()
    return seen


@steps
def uses_a_cursor_of_none() -> object:
    cur = shared["one"].cursor()
    seen: list[object] = [cur.description, cur.rowcount, cur.lastrowid, cur.fetchone(), cur.fetchall(), list(cur)]
    return [*seen, cur.connection.in_transaction]


@steps
def selects_nothing() -> object:
    cur = shared["one"].execute("select id, name from item where 0")
    return [cur.description, cur.fetchone(), cur.fetchall(), cur.rowcount]


@steps
def fails_to_open() -> object:
    return sqlite3.connect(address("sqlite") + ".missing/none.db")


@steps
def opens_by_uri() -> object:
    conn = sqlite3.connect("file:" + address("sqlite") + "?mode=ro", uri=True)
    seen: list[object] = [conn.execute("select count(*) > 0 from item").fetchone()]
    try:
        conn.execute("insert into item (name) values ('ro')")
    except sqlite3.OperationalError as error:
        seen.append(raised(error))
    conn.close()
    return seen


@steps
def uses_memory() -> object:
    conn = sqlite3.connect(":memory:")
    conn.execute("create table t (x)")
    conn.executemany("insert into t values (?)", [(1,), (2,)])
    seen = conn.execute("select sum(x) from t").fetchone()
    conn.close()
    return seen


@steps
def waits_for_a_lock() -> object:
    one, two = connect(isolation_level=None), connect(isolation_level=None, timeout=0)
    one.execute("begin immediate")
    try:
        two.execute("begin immediate")
    except sqlite3.OperationalError as error:
        seen = raised(error)
    one.execute("rollback")
    one.close()
    two.close()
    return [seen]


@steps
def works_in_threads() -> object:
    def ask(n: int) -> object:
        conn = connect()
        try:
            return conn.execute("select ? * 7", (n,)).fetchone()
        finally:
            conn.close()

    with ThreadPoolExecutor(3) as executor:
        return [f.result() for f in [executor.submit(copy_context().run, ask, n) for n in range(6)]]


@steps
async def works_beside_a_loop() -> object:
    def ask(n: int) -> object:
        conn = connect()
        try:
            return conn.execute("select ? + 100", (n,)).fetchone()
        finally:
            conn.close()

    return await asyncio.gather(*(asyncio.to_thread(ask, n) for n in range(3)))


@steps
def fetches_many_rows() -> object:
    numbers = "with recursive n(x) as (select 1 union all select x + 1 from n where x < 5000)"
    query = f"{numbers} select x, 'x' || x, x * 1.5 from n"
    rows = shared["one"].execute(query).fetchall()
    return [len(rows), rows[0], rows[-1]]


@steps
def counts_what_it_returned() -> object:
    conn = shared["one"]
    counts: list[object] = []

    def counted(cur: sqlite3.Cursor, rows: list[object]) -> None:
        counts.append([rows, cur.rowcount, conn.total_changes])

    conn.execute("create table counted (id integer primary key, x)")
    cur = conn.execute("insert into counted (x) values (1), (2), (3), (4) returning id")
    counted(cur, [])
    counted(cur, cur.fetchall())
    cur = conn.execute("update counted set x = 9 returning id")
    for row in cur:
        counted(cur, [row])
    cur = conn.execute("delete from counted where id > 1 returning id")
    counted(cur, cur.fetchmany(2))
    counted(cur, cur.fetchmany(2))
    conn.rollback()
    return counts


@steps
def closes_after_an_error() -> object:
    one, other = connect(), connect(timeout=0.2)
    one.execute("insert into item (name) values ('left')")
    seen = []
    try:
        one.execute("insert into item (id) select max(id) from item")
    except sqlite3.IntegrityError as error:
        seen.append(raised(error))
    one.close()  # and with it goes its lock
    other.execute("begin immediate")
    other.rollback()
    other.close()
    return seen


@steps
def is_closed() -> object:
    conn = shared.pop("one")
    conn.close()
    try:
        conn.execute("select 1")
    except sqlite3.ProgrammingError as error:
        return raised(error)
    return None
