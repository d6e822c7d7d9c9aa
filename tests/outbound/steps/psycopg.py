"""What an app does with psycopg 3: sync, async and pooled, with every protocol path that libpq has."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import ipaddress
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row, namedtuple_row, tuple_row
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo
from psycopg.types.json import Jsonb
from psycopg.types.range import Range
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from tests.outbound.steps import Steps, address

steps = Steps()
shared: dict[str, psycopg.Connection] = {}


def connect(**options: object) -> psycopg.Connection:
    return psycopg.connect(address("postgres"), **options)  # type: ignore[arg-type]


def described(cursor: psycopg.Cursor) -> object:
    return [
        (c.name, c.type_code, c.display_size, c.internal_size, c.precision, c.scale) for c in cursor.description or ()
    ]


def raised(error: psycopg.Error) -> object:
    diag = error.diag
    names = ("severity", "sqlstate", "message_primary", "message_detail", "message_hint", "table_name", "column_name",
             "constraint_name", "schema_name", "statement_position", "context", "source_function")  # fmt: skip
    return [type(error).__name__, str(error), error.sqlstate, [getattr(diag, name) for name in names]]


@steps
def connects() -> object:
    conn = shared["one"] = connect()
    info = conn.info
    where = [info.dbname, info.user, info.host, info.port]
    server = [info.server_version, info.encoding, info.parameter_status("TimeZone"), str(info.timezone)]
    return [where, server, info.status.name, info.transaction_status.name, conn.closed, conn.autocommit]


@steps
def makes_tables() -> object:
    conn = shared["one"]
    conn.execute("drop table if exists item cascade")
    conn.execute("drop type if exists mood, point2")
    cur = conn.execute(
        "create table item (id serial primary key, name text not null unique, price numeric(10,2), at timestamptz)"
    )
    conn.execute("create type mood as enum ('sad', 'ok')")
    conn.execute("create type point2 as (x int, y text)")
    conn.commit()
    return [cur.statusmessage, cur.rowcount, cur.description, conn.info.transaction_status.name]


@steps
def selects_types() -> object:
    cur = shared["one"].execute(
        "select 1::int2, 2::int4, 3::int8, 1.5::float8, 1.10::numeric, 'x'::text, true, null, '\\x00ff'::bytea,"
        " '2024-02-29'::date, '12:34:56.789'::time, '2024-02-29 10:00+02'::timestamptz, '2024-02-29 10:00'::timestamp,"
        " '1 day 02:00'::interval, '{\"a\": [1, null]}'::jsonb, '{1,2,null}'::int[], '{{a,b}}'::text[],"
        " 'c3f0a2f8-0000-4000-8000-000000000001'::uuid, '10.0.0.1'::inet, '[1,5)'::int4range, 'NaN'::float8, 'é☃'"
    )
    return [cur.fetchall(), described(cur)]


@steps
def selects_binary() -> object:
    cur = shared["one"].cursor(binary=True)
    cur.execute(
        "select 1::int4, 1.10::numeric, 'x'::text, '\\x00ff'::bytea, '2024-02-29 10:00+02'::timestamptz, '{1,2}'::int[]"
    )
    return [cur.fetchone(), cur.pgresult.fformat(0) if cur.pgresult else None]


@steps
def sends_parameters() -> object:
    values = [1, 70000, 2**40, 1.5, decimal.Decimal("1.10"), "it's", b"\x00\xff", True, None, dt.date(2024, 2, 29),
              dt.datetime(2024, 2, 29, 10, tzinfo=dt.timezone(dt.timedelta(hours=2))), dt.timedelta(days=1), [1, 2],
              ["a", None], uuid.UUID(int=1), Jsonb({"k": 1}), ipaddress.ip_address("10.0.0.1"),
              Range(1, 5)]  # fmt: skip
    query = "select " + ", ".join(["%s"] * len(values))
    return shared["one"].execute(query, values).fetchone()


@steps
def names_parameters() -> object:
    return shared["one"].execute("select %(a)s::text, %(b)s::int + 1, %(a)s::text", {"a": "x", "b": 41}).fetchone()


@steps
def tells_parameters_apart() -> object:
    return [shared["one"].execute("select %s::int * 10", (n,)).fetchone() for n in (3, 1, 2)]


@steps
def inserts_returning() -> object:
    conn = shared["one"]
    cur = conn.execute(
        "insert into item (name, price) values (%s, %s) returning id, name", ("a", decimal.Decimal("2.50"))
    )
    row = cur.fetchone()
    conn.commit()
    return [row, cur.rowcount, cur.statusmessage]


@steps
def rolls_back() -> object:
    conn = shared["one"]
    conn.execute("insert into item (name) values ('gone')")
    before = conn.info.transaction_status.name
    conn.rollback()
    return [before, conn.info.transaction_status.name, conn.execute("select count(*) from item").fetchone()]


@steps
def violates_unique() -> object:
    conn = shared["one"]
    conn.rollback()
    try:
        conn.execute("insert into item (name) values ('a')")
    except psycopg.errors.UniqueViolation as error:
        seen = raised(error)
    status = conn.info.transaction_status.name
    try:
        conn.execute("select 1")
    except psycopg.errors.InFailedSqlTransaction as error:
        aborted = raised(error)
    conn.rollback()
    return [seen, status, aborted, conn.info.transaction_status.name]


@steps
def makes_a_syntax_error() -> object:
    try:
        shared["one"].execute("selec 1 from %s", ("x",))
    except psycopg.errors.SyntaxError as error:
        return raised(error)
    finally:
        shared["one"].rollback()
    return None


@steps
def lets_an_error_out() -> object:
    with connect() as conn:
        return conn.execute("select 1/%s::int", (0,)).fetchone()


@steps
def asks_for_an_unknown_table() -> object:
    with connect(autocommit=True) as conn:
        return conn.execute("select * from nowhere").fetchall()


@steps
def nests_transactions() -> object:
    seen = []
    with connect() as conn, conn.transaction():
        conn.execute("insert into item (name) values ('outer')")
        try:
            with conn.transaction():
                conn.execute("insert into item (name) values ('outer')")
        except psycopg.errors.UniqueViolation as error:
            seen.append(type(error).__name__)
        with conn.transaction("named") as inner:
            conn.execute("insert into item (name) values ('inner')")
            seen.append(inner.savepoint_name)
            raise psycopg.Rollback(inner)
        seen.append([row[0] for row in conn.execute("select name from item order by name")])
        seen.append(conn.info.transaction_status.name)
    return [seen, conn.closed]


@steps
def commits_too_late() -> object:
    with connect(autocommit=True) as conn:
        conn.execute("create temp table parent (id int primary key)")
        conn.execute("create temp table child (id int references parent deferrable initially deferred)")
        conn.autocommit = False
        conn.execute("insert into child values (9)")
        try:
            conn.commit()
        except psycopg.errors.ForeignKeyViolation as error:
            return [raised(error), conn.info.transaction_status.name]
    return None


@steps
def autocommits() -> object:
    with connect(autocommit=True) as conn:
        one = conn.execute("select 1").fetchone()
        return [one, conn.info.transaction_status.name, conn.autocommit]


@steps
def sets_isolation() -> object:
    with connect() as conn:
        conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        conn.read_only = True
        found = conn.execute("show transaction_isolation").fetchone()
        try:
            conn.execute("insert into item (name) values ('z')")
        except psycopg.errors.ReadOnlySqlTransaction as error:
            return [found, raised(error)]
    return None


@steps
def changes_settings() -> object:
    with connect() as conn:
        before = conn.execute("select '2024-01-01 00:00+00'::timestamptz").fetchone()
        conn.execute("set time zone 'Europe/Rome'")
        after = conn.execute("select '2024-01-01 00:00+00'::timestamptz").fetchone()
        conn.execute("select set_config('TimeZone', 'Asia/Tokyo', false)")
        third = conn.execute("select '2024-01-01 00:00+00'::timestamptz").fetchone()
        return [before, after, third, conn.info.parameter_status("TimeZone")]


@steps
def makes_rows() -> object:
    class Item:
        def __init__(self, id: int, name: str) -> None:
            self.id, self.name = id, name

    conn = shared["one"]
    query = "select 7 as id, 'n' as name"
    return [conn.cursor(row_factory=dict_row).execute(query).fetchall(),
            list(conn.cursor(row_factory=namedtuple_row).execute(query).fetchone() or ()),
            vars(conn.cursor(row_factory=class_row(Item)).execute(query).fetchone() or object),
            conn.cursor(row_factory=tuple_row).execute(query).fetchall()]  # fmt: skip


@steps
def fetches_in_parts() -> object:
    cur = shared["one"].execute("select generate_series(1, 7)")
    seen: list[object] = [cur.fetchone(), cur.fetchmany(2), next(iter(cur)), cur.rownumber, cur.rowcount]
    cur.scroll(-1)
    return [*seen, cur.fetchone(), list(cur), cur.fetchone(), cur.fetchall()]


@steps
def fetches_from_no_rows() -> object:
    cur = shared["one"].execute("create temp table nothing ()")
    try:
        cur.fetchone()
    except psycopg.ProgrammingError as error:
        return str(error)
    finally:
        shared["one"].rollback()
    return None


@steps
def selects_no_columns() -> object:
    cur = shared["one"].execute("select from generate_series(1, 2)")
    return [cur.description, cur.rowcount, cur.fetchall()]


@steps
def runs_several_statements() -> object:
    cur = shared["one"].execute("select 1; select 'two', 2; update item set price = 1 where name = 'nobody'")
    seen = [cur.fetchall()]
    while cur.nextset():
        seen.append([cur.statusmessage, cur.fetchall() if cur.description else cur.rowcount])
    return seen


@steps
def fails_in_the_second_statement() -> object:
    with connect(autocommit=True) as conn:
        try:
            conn.execute("select 1; select 1/0; select 3")
        except psycopg.errors.DivisionByZero as error:
            return [raised(error), conn.execute("select 5").fetchone()]
    return None


@steps
def runs_nothing() -> object:
    cur = shared["one"].execute("")
    return [cur.statusmessage, cur.description, cur.rowcount]


@steps
def inserts_many() -> object:
    conn = shared["one"]
    cur = conn.cursor()
    cur.executemany("insert into item (name, price) values (%s, %s)", [(f"many{n}", n) for n in range(5)])
    counted = cur.rowcount
    conn.commit()
    return [counted, conn.execute("select name, price from item where name like 'many%' order by name").fetchall()]


@steps
def inserts_many_returning() -> object:
    cur = shared["one"].cursor()
    cur.executemany(
        "insert into item (name) values (%s) returning name, length(name)", [("r1",), ("r22",)], returning=True
    )
    seen = [cur.fetchall()]
    while cur.nextset():
        seen.append(cur.fetchall())
    shared["one"].commit()
    return seen


@steps
def fails_among_many() -> object:
    conn = shared["one"]
    try:
        conn.cursor().executemany("insert into item (name) values (%s)", [("f1",), ("f1",), ("f2",)])
    except psycopg.errors.UniqueViolation as error:
        return [raised(error), conn.info.transaction_status.name]
    finally:
        conn.rollback()
    return None


@steps
def prepares_after_five() -> object:
    with connect() as conn:
        rows = [conn.execute("select %s::int + 100", (n,)).fetchone() for n in range(8)]
        prepared = conn.execute("select %s::text", ("now",), prepare=True).fetchone()
        conn.rollback()
        again = conn.execute("select %s::text", ("again",), prepare=True).fetchone()
        return [rows, prepared, again]


@steps
def fails_while_preparing() -> object:
    with connect() as conn:
        try:
            conn.execute("select nocolumn from item where id = %s", (1,), prepare=True)
        except psycopg.errors.UndefinedColumn as error:
            return [raised(error), conn.info.transaction_status.name]
    return None


@steps
def drops_what_was_prepared() -> object:
    with connect(autocommit=True) as conn:
        conn.prepared_max = 1
        conn.prepare_threshold = 0
        return [conn.execute(query).fetchone() for query in ("select 1", "select 2", "select 3", "select 1")]


@steps
def merges_on_the_client() -> object:
    cur = psycopg.ClientCursor(shared["one"])
    cur.execute("select %s, %s", ("it's", dt.date(2024, 2, 29)))
    return [cur.fetchone(), cur.mogrify("select %s", (1,))]


@steps
def composes() -> object:
    query = sql.SQL("select {} from {} where name = {}").format(
        sql.Identifier("name"), sql.Identifier("item"), sql.Literal("a")
    )
    return shared["one"].execute(query).fetchall()


@steps
def uses_a_server_cursor() -> object:
    conn = shared["one"]
    with conn.cursor("big") as cur:
        cur.itersize = 3
        cur.execute("select n, n * 2 as double from generate_series(1, 8) n")
        seen: list[object] = [described(cur), cur.fetchone(), cur.fetchmany(2)]
        seen.append(list(cur))
    conn.rollback()
    return seen


@steps
def scrolls_a_server_cursor() -> object:
    conn = shared["one"]
    with conn.cursor("scrolled", scrollable=True, row_factory=dict_row) as cur:
        cur.execute("select n from generate_series(1, 9) n where n > %s", (2,))
        cur.scroll(3)
        first = cur.fetchone()
        cur.scroll(0, mode="absolute")
        seen = [first, cur.fetchmany(2), cur.fetchall()]
    conn.rollback()
    return seen


@steps
def fails_to_declare() -> object:
    with connect() as conn, conn.cursor("bad") as cur:
        try:
            cur.execute("select * from nowhere")
        except psycopg.errors.UndefinedTable as error:
            return raised(error)
    return None


@steps
def streams() -> object:
    return list(shared["one"].cursor().stream("select n, n::text from generate_series(1, %s) n", (4,)))


@steps
def streams_nothing_and_errors() -> object:
    with connect(autocommit=True) as conn:
        cur = conn.cursor()
        none = list(cur.stream("select 1 where false"))
        seen: list[object] = [none, cur.description and described(cur)]
        try:
            for row in cur.stream("select 10 / (3 - n) from generate_series(1, 5) n"):
                seen.append(row)
        except psycopg.errors.DivisionByZero as error:
            seen.append(raised(error))
        return [*seen, conn.execute("select 1").fetchone()]


@steps
def copies_out() -> object:
    conn = shared["one"]
    with conn.cursor().copy("copy (select n, 'x' || n from generate_series(1, 3) n) to stdout") as copy:
        raw = [bytes(block) for block in copy]
    cur = conn.cursor()
    with cur.copy("copy (select n, null from generate_series(1, 2) n) to stdout") as copy:
        copy.set_types(["int4", "text"])
        rows = list(copy.rows())
    return [raw, rows, cur.rowcount, conn.execute("select 1").fetchone()]


@steps
def copies_out_binary() -> object:
    with shared["one"].cursor().copy("copy (select 1::int4, 'y'::text) to stdout (format binary)") as copy:
        copy.set_types(["int4", "text"])
        return list(copy.rows())


@steps
def copies_in() -> object:
    conn = shared["one"]
    cur = conn.cursor()
    with cur.copy("copy item (name, price) from stdin") as copy:
        for n in range(3):
            copy.write_row((f"copied{n}", n))
    counted = [cur.rowcount, cur.statusmessage]
    found = conn.execute("select name, price from item where name like 'copied%' order by 1").fetchall()
    conn.commit()
    return [counted, found]


@steps
def fails_to_copy_in() -> object:
    conn = shared["one"]
    try:
        with conn.cursor().copy("copy item (name) from stdin") as copy:
            copy.write("dup\ndup\n")
    except psycopg.errors.UniqueViolation as error:
        return [raised(error), conn.info.transaction_status.name]
    finally:
        conn.rollback()
    return None


@steps
def stops_a_copy_in() -> object:
    conn = shared["one"]
    try:
        with conn.cursor().copy("copy item (name) from stdin") as copy:
            copy.write("half\n")
            raise ValueError("changed my mind")
    except ValueError as error:
        return [str(error), conn.info.transaction_status.name]
    finally:
        conn.rollback()


@steps
def pipelines() -> object:
    conn = shared["one"]
    with conn.pipeline() as pipeline:
        one = conn.execute("select %s::int", (1,))
        two = conn.execute("select 'two'")
        pipeline.sync()
        three = conn.execute("select 3")
        found = three.fetchone()
    seen = [one.fetchone(), two.fetchall(), found]
    conn.commit()
    return [seen, conn.info.transaction_status.name]


@steps
def fails_in_a_pipeline() -> object:
    with connect(autocommit=True) as conn:
        try:
            with conn.pipeline():
                # Which of the calls meets the error depends on the server's pace: no span is made of them.
                for query in ("select 1", "select 1/0", "select 3"):
                    psycopg.Cursor(conn).execute(query)
        except psycopg.Error as error:
            seen = [raised(error)]
        return [seen, conn.info.transaction_status.name, conn.execute("select 4").fetchone()]


@steps
def transacts_in_a_pipeline() -> object:
    with connect() as conn:
        with conn.pipeline(), conn.transaction():
            cur = conn.execute("insert into item (name) values ('piped') returning name")
            conn.execute("update item set price = 3 where name = 'piped'")
        return [cur.fetchone(), conn.execute("select price from item where name = 'piped'").fetchone()]


@steps
def fetches_types() -> object:
    with connect() as conn:
        info = TypeInfo.fetch(conn, "mood")
        again = TypeInfo.fetch(conn, "mood")
        enum = EnumInfo.fetch(conn, "mood")
        none = TypeInfo.fetch(conn, "nosuchtype")
        composite = CompositeInfo.fetch(conn, "point2")
        assert info is not None
        assert again is not None
        assert enum is not None
        assert composite is not None
        register_composite(composite, conn)
        point = conn.execute("select row(1, 'a')::point2").fetchone()
        return [
            info.name,
            info.oid == again.oid,
            list(enum.labels),
            none,
            list(composite.field_names),
            [list(p) for p in point or ()],
        ]


@steps
def takes_no_connection() -> object:
    return psycopg.connect("host=127.0.0.1 port=1 dbname=none user=nobody connect_timeout=3")


@steps
def is_refused_a_database() -> object:
    try:
        psycopg.connect(address("postgres"), dbname="no_such_database")
    except psycopg.OperationalError as error:
        return [type(error).__name__, "no_such_database" in str(error), error.sqlstate]
    return None


@steps
def loses_its_connection() -> object:
    conn = connect(autocommit=True)
    try:
        conn.execute("select pg_terminate_backend(pg_backend_pid())")
    except psycopg.Error as error:
        seen = [type(error).__name__, str(error), error.sqlstate]
    try:
        conn.execute("select 1")
    except psycopg.Error as error:
        seen += [type(error).__name__, str(error)]
    return [seen, conn.closed, conn.broken]


@steps
def closes() -> object:
    conn = connect()
    conn.close()
    try:
        conn.execute("select 1")
    except psycopg.OperationalError as error:
        return [str(error), conn.closed]
    return None


@steps
def comments_do_not_matter() -> object:
    span_id = uuid.uuid4().hex
    return shared["one"].execute(f"select   'a  b' /* traceparent='{span_id}' */\n, 1 -- {span_id}\n").fetchone()


@steps
async def awaits() -> object:
    async with await psycopg.AsyncConnection.connect(address("postgres")) as conn:
        cur = await conn.execute("select %s::int, 'x'", (5,))
        one = await cur.fetchone()
        rows = [row async for row in await conn.execute("select generate_series(1, 3)")]
        async with conn.transaction():
            await conn.execute("insert into item (name) values ('async')")
        status = conn.info.transaction_status.name
    return [one, rows, status, conn.closed]


@steps
async def awaits_everything_else() -> object:
    async with await psycopg.AsyncConnection.connect(address("postgres")) as conn:
        streamed = [row async for row in conn.cursor().stream("select generate_series(1, 3)")]
        async with conn.cursor("c") as cur:
            await cur.execute("select generate_series(1, 4)")
            paged = await cur.fetchmany(3)
        async with conn.cursor().copy("copy (select 1, 2) to stdout") as copy:
            copied = [bytes(block) async for block in copy]
        async with conn.cursor().copy("copy item (name) from stdin") as copy:
            await copy.write_row(("acopied",))
        async with conn.pipeline():
            one = await conn.execute("select 1")
            two = await conn.execute("select 2")
            piped = [await one.fetchone(), await two.fetchone()]
        try:
            await conn.execute("insert into item (name) values ('acopied')")
        except psycopg.errors.UniqueViolation as error:
            failed = raised(error)
        await conn.rollback()
    return [streamed, paged, copied, piped, failed]


@steps
async def gathers() -> object:
    async def ask(n: int) -> object:
        async with await psycopg.AsyncConnection.connect(address("postgres"), autocommit=True) as conn:
            await asyncio.sleep(0.01 * (3 - n))
            return await (await conn.execute("select %s::int", (n,))).fetchone()

    return await asyncio.gather(*(ask(n) for n in range(3)))


@steps
async def resolves_a_name() -> object:
    where = address("postgres").replace("127.0.0.1", "localhost")
    async with await psycopg.AsyncConnection.connect(where) as conn:
        return await (await conn.execute("select 'localhost'")).fetchone()


@steps
def pools() -> object:
    with ConnectionPool(address("postgres"), min_size=2, max_size=3) as pool:
        pool.wait(5)
        with pool.connection() as conn:
            one = conn.execute("select 'pooled', 1").fetchone()
        try:
            with pool.connection() as conn:
                conn.execute("insert into item (name) values ('a')")
        except psycopg.errors.UniqueViolation as error:
            failed = raised(error)
        with pool.connection() as conn:
            return [one, failed, conn.execute("select 'pooled', 2").fetchone(), conn.info.transaction_status.name]


@steps
async def pools_async() -> object:
    async with AsyncConnectionPool(address("postgres"), min_size=1, open=False) as pool:
        async with pool.connection() as conn:
            one = await (await conn.execute("select 'apool', 1")).fetchone()
        async with pool.connection() as conn:
            return [one, await (await conn.execute("select 'apool', 2")).fetchone()]


@steps
def works_in_threads() -> object:
    from contextvars import copy_context

    def ask(n: int) -> object:
        with connect(autocommit=True) as conn:
            return conn.execute("select %s::int * 7", (n,)).fetchone()

    with ThreadPoolExecutor(4) as executor:
        return [f.result() for f in [executor.submit(copy_context().run, ask, n) for n in range(8)]]


@steps
def fetches_many_rows() -> object:
    rows = shared["one"].execute("select n, repeat('x', 50), n * 1.5 from generate_series(1, 5000) n").fetchall()
    return [len(rows), rows[0], rows[-1]]


@steps
def ends() -> object:
    conn = shared.pop("one")
    conn.commit()
    conn.close()
    return [conn.closed, conn.broken]
