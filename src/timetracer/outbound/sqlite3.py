"""Tells what sqlite3 asks of a database and what it is answered; connections and cursors stay genuine, rows are fetched one by one.

sqlite3's classes are C types that cannot be patched, so every connection is made of the two plain subclasses below, mixed
beneath whatever classes the app brings (`factory=`). They pass everything on; their methods are what is patched. A
cursor may hold *told* state, given to it instead of what SQLite would say; running a statement for real clears it.

Passed on as they are: functions, collations, authorizers, `iterdump` (made of statements). Not supported: `backup`,
`blobopen`, `deserialize`, and cursor factories that are no classes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any

from timetracer.errors import UnsupportedError
from timetracer.outbound import sql
from timetracer.plugin import Call, Capture, Exchange, Open, Patch, Plugin, Reply, Request, Sink, Value

_FACTORY = 5  # connect(database, timeout, detect_types, isolation_level, check_same_thread, factory, ...)
_DATABASE = "database"
_Maker = Callable[[Any, tuple[Any, ...]], Any]


class Cursor(sqlite3.Cursor):
    """A cursor whose rows can be noted as they are fetched, or come from elsewhere."""

    _noted: Sink | None = None
    _given: Iterator[Value] | None = None
    _told: Mapping[str, Any] | None = None
    _maker: _Maker | None = None
    connection: Connection

    def execute(self, *args: Any) -> Cursor:
        """Runs a statement."""
        return self._fresh(super().execute, args)

    def executemany(self, *args: Any) -> Cursor:
        """Runs a statement for each set of parameters."""
        return self._fresh(super().executemany, args)

    def executescript(self, *args: Any) -> Cursor:
        """Runs several statements."""
        return self._fresh(super().executescript, args)

    def _fresh(self, run: Callable[..., Any], args: tuple[Any, ...]) -> Cursor:
        self.leave()
        self.connection.forget()
        if self.connection.nowhere:
            raise UnsupportedError("this sqlite3 connection was made where no database is reached: open a new one")
        run(*args)
        return self

    def leave(self) -> None:
        """Ends the rows of the statement before: whatever was not fetched will never be."""
        if self._noted is not None:
            self._noted.finish("partial")
        self._noted = self._given = self._told = None

    def note(self, sink: Sink) -> None:
        """Notes each row from here on, as it is fetched."""
        self._noted = sink

    def give(self, told: Mapping[str, Any], rows: Iterator[Value]) -> None:
        """Takes rows, description and counts from elsewhere. A real statement without rows makes the description genuine."""
        self.leave()
        names = told["columns"]
        columns = ", ".join('NULL AS "{}"'.format(name.replace('"', '""')) for name in names or ())
        sqlite3.Cursor.execute(self, f"SELECT {columns} WHERE 0" if columns else "PRAGMA user_version = 0")
        self._told, self._given = told, rows

    def __next__(self) -> Any:
        if self._noted is None and self._given is None:
            row = super().__next__()
            return row if self._maker is None else self._maker(self, row)
        row = next(self._rows(), _END)
        if row is _END:
            raise StopIteration
        return row

    def __iter__(self) -> Cursor:
        return self

    def fetchone(self) -> Any:
        """Returns the next row, or None."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Returns at most `size` rows."""
        return list(islice(self._rows(), self.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        """Returns the rows that are left."""
        if self._noted is None and self._given is None and self._maker is None:
            return super().fetchall()
        return list(self._rows())

    def close(self) -> None:
        """Closes the cursor."""
        self.leave()
        super().close()

    def __del__(self) -> None:
        if self._noted is not None:
            self._noted.finish("partial")

    def _rows(self) -> Iterator[Any]:
        rows = self._live() if self._given is None else self._given
        maker = self._maker
        return rows if maker is None else (maker(self, row) for row in rows)

    def _live(self) -> Iterator[Any]:
        fetch, noted = super().__next__, self._noted
        while True:
            try:
                row = fetch()
            except StopIteration:
                if noted is not None:
                    noted.finish()
                return
            except sqlite3.Error as error:
                if noted is not None:
                    noted.finish("error", error)
                raise
            if noted is not None:
                noted.feed(row)
            yield row

    @property
    def row_factory(self) -> Any:
        """What makes a row of a tuple: applied here, so that the tuple itself can be noted."""
        return self._maker

    @row_factory.setter
    def row_factory(self, maker: Any) -> None:
        self._maker = maker

    @property
    def description(self) -> Any:
        """The columns of the last statement."""
        return super().description if self._told is None or self._told["columns"] is not None else None

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return super().rowcount if self._told is None else int(self._told["rowcount"])

    @property
    def lastrowid(self) -> int | None:
        """The id of the row inserted last."""
        return super().lastrowid if self._told is None else self._told["lastrowid"]


class Connection(sqlite3.Connection):
    """A connection that makes such cursors, and may be told its state."""

    database_name = ""
    nowhere = False  # there is no database behind it
    _told: Mapping[str, Any] | None = None

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, *args, **kwargs)
        self.nowhere = isinstance(database, _Nowhere)
        self.database_name = database.asked if isinstance(database, _Nowhere) else _name(database)

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        """Returns a new cursor of the app's class."""
        cursor = super().cursor(_mixed(factory, Cursor))
        if isinstance(cursor, Cursor):
            # C reads the factory from its own slot, and would hand out made rows
            slot: Any = sqlite3.Cursor.__dict__["row_factory"]
            cursor._maker = slot.__get__(cursor)
            slot.__set__(cursor, None)
        return cursor

    # C makes a cursor for these three as well, and then calls its own functions on it.

    def execute(self, *args: Any) -> Any:
        """Runs a statement on a new cursor."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """Runs a statement for each set of parameters, on a new cursor."""
        return self.cursor().executemany(*args)

    def executescript(self, *args: Any) -> Any:
        """Runs several statements on a new cursor."""
        return self.cursor().executescript(*args)

    def commit(self) -> None:
        """Commits."""
        self.forget()
        super().commit()

    def rollback(self) -> None:
        """Rolls back."""
        self.forget()
        super().rollback()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        # As C does it, but through the two methods above, which C does not call:
        # https://github.com/python/cpython/blob/v3.13.0/Modules/_sqlite/connection.c#L2266
        if getattr(self, "autocommit", -1) is True:
            return False
        if kind is not None:
            self.rollback()
            return False
        try:
            self.commit()
        except sqlite3.Error:
            self.rollback()
            raise
        return False

    def backup(self, *args: Any, **kwargs: Any) -> None:
        """Copies the database."""
        super().backup(*args, **kwargs)

    def blobopen(self, *args: Any, **kwargs: Any) -> Any:
        """Opens a blob."""
        return super().blobopen(*args, **kwargs)

    def serialize(self, *args: Any, **kwargs: Any) -> bytes:
        """Returns the database as bytes."""
        return super().serialize(*args, **kwargs)

    def deserialize(self, *args: Any, **kwargs: Any) -> None:
        """Replaces the database."""
        super().deserialize(*args, **kwargs)

    def tell(self, told: Mapping[str, Any]) -> None:
        """Takes its state from elsewhere; what is not told stays as it is."""
        self._told = {**self.state(), **told}

    def forget(self) -> None:
        """Goes back to what SQLite says."""
        self._told = None

    def state(self) -> dict[str, Any]:
        """Returns what an app can see of the connection after a statement."""
        return {"in_transaction": self.in_transaction, "total_changes": self.total_changes}

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return super().in_transaction if self._told is None else bool(self._told["in_transaction"])

    @property
    def total_changes(self) -> int:
        """How many rows were changed since the connection was made."""
        return super().total_changes if self._told is None else int(self._told["total_changes"])

    @property
    def isolation_level(self) -> Any:
        """When a transaction begins by itself. Setting None commits, in C."""
        return super().isolation_level

    @isolation_level.setter
    def isolation_level(self, level: Any) -> None:
        slot: Any = sqlite3.Connection.__dict__["isolation_level"]
        slot.__set__(self, level)
        if level is None and self._told is not None:
            self._told = {**self._told, "in_transaction": False}


_END = object()
_mixes: dict[tuple[type, type], type] = {}


def _mixed(factory: Any, ours: type) -> Any:
    """Returns the app's class with ours beneath it."""
    if not isinstance(factory, type) or issubclass(factory, ours):
        return factory
    if issubclass(ours, factory):
        return ours
    key = (factory, ours)
    if key not in _mixes:
        attributes = {"__module__": factory.__module__, "__qualname__": factory.__qualname__}
        _mixes[key] = type(factory.__name__, (factory, ours), attributes)
    return _mixes[key]


def _name(database: Any) -> str:
    """Returns the file's name: its folder differs between machines."""
    if isinstance(database, bytes):
        database = database.decode("utf-8", "surrogateescape")
    text = str(database)
    return text if text.startswith(("file:", ":")) else PurePath(text).name


# ------------------------------------------------------------------------------------------------ connecting


def _with_our_classes(call: Call) -> Call:
    if len(call.args) > _FACTORY:
        args = list(call.args)
        args[_FACTORY] = _mixed(args[_FACTORY], Connection)
        return Call(call.owner, tuple(args), call.kwargs)
    factory = _mixed(call.kwargs.get("factory", sqlite3.Connection), Connection)
    return Call(call.owner, call.args, {**call.kwargs, "factory": factory})


class _Nowhere(str):
    """A database in memory that stands for the one that was asked for."""

    asked: str


def _connect_to_nothing(call: Call, real: Callable[..., Any], known: Value) -> Any:
    kwargs = {name: value for name, value in call.kwargs.items() if name not in ("uri", _DATABASE)}
    database = _Nowhere(":memory:")
    database.asked = _name(call.arg(0, _DATABASE))
    return real(database, *call.args[1:7], **kwargs)


def _file(call: Call) -> Request:
    return Request(type="db.query", method="CONNECT", target=_name(call.arg(0, _DATABASE)), shared=True)


# ------------------------------------------------------------------------------------------------ what is asked


def _request(cursor: Cursor, text: str, params: Value, **more: Value) -> Request | None:
    if not isinstance(text, str) or not isinstance(cursor.connection, Connection):
        return None  # sqlite3 refuses it
    text = sql.canonical(text)
    verb = sql.verb(text)
    tag = sql.steering(text)
    return Request(
        type="db.query",
        method=verb,
        target=cursor.connection.database_name,
        fields=sql.statement(text, params, **more),
        shared=text in _PREAMBLE or (verb == "PRAGMA" and "=" in text),
        courtesy=(_courtesy(text),) if tag else (),
    )


_PREAMBLE = frozenset({"""SELECT JSON('{"a": "b"}')""", "select sqlite_version()", "SELECT sqlite_version()"})


def _courtesy(text: str) -> Value:
    counts = {"columns": None, "rowcount": -1, "lastrowid": None}
    if sql.ends_transaction(text):
        return {**counts, "in_transaction": False}
    return counts if sql.verb(text) in ("RELEASE", "ROLLBACK") else {**counts, "in_transaction": True}


def _execute(call: Call) -> Request | None:
    return _request(call.owner, call.arg(0, "sql"), _parameters(call.arg(1, "parameters", ())))


def _executemany(call: Call) -> Request | None:
    given = call.arg(1, "seq_of_parameters")
    params = [_parameters(each) for each in (given.items if isinstance(given, _Listed) else given)]
    return _request(call.owner, call.arg(0, "sql"), params, call="executemany")


def _executescript(call: Call) -> Request | None:
    return _request(call.owner, call.arg(0, "sql_script"), None, call="executescript")


class _Listed:
    """What an iterator gave, to be read by SQLite and by the comparison; then it raises what the iterator raised."""

    def __init__(self, source: Iterator[Any]) -> None:
        self.items: list[Any] = []
        self._error: BaseException | None = None
        try:
            self.items.extend(source)
        except BaseException as error:  # the app's own: it goes on where SQLite reads
            self._error = error

    def __iter__(self) -> Iterator[Any]:
        yield from self.items
        if self._error is not None:
            raise self._error


def _with_listed_parameters(call: Call) -> Call:
    """An iterator can be read only once."""
    params = call.arg(1, "seq_of_parameters")
    if len(call.args) < 2 or not isinstance(params, Iterator):
        return call
    return Call(call.owner, (call.args[0], _Listed(params), *call.args[2:]), call.kwargs)


def _parameters(params: Any) -> Value:
    if isinstance(params, Mapping):
        return {name: _parameter(value) for name, value in params.items()}
    return [_parameter(value) for value in params] if isinstance(params, Iterable) else None


def _parameter(value: Any) -> Value:
    """Returns what SQLite gets to see: adapters of the app have run."""
    if value is None or type(value) in (int, float, str, bytes):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if type(value).__module__ == "datetime":
        return value  # sqlite3's own adapters warn
    try:
        adapted = sqlite3.adapt(value)
    except sqlite3.ProgrammingError:
        adapted = value
    if adapted is value:  # sqlite3 refuses it
        return {"unsupported": f"{type(value).__module__}.{type(value).__qualname__}"}
    return _parameter(adapted)


def _ending(method: str) -> Callable[[Call], Request | None]:
    def describe(call: Call) -> Request | None:
        connection: Connection = call.owner
        if not connection.in_transaction:
            return None
        told = {"in_transaction": False}
        fields = sql.statement(method, None)
        return Request(type="db.query", method=method, target=connection.database_name, fields=fields, courtesy=(told,))

    return describe


def _whole(method: str) -> Callable[[Call], Request]:
    def describe(call: Call) -> Request:
        return Request(type="db.query", method=method, target=call.owner.database_name)

    return describe


# ------------------------------------------------------------------------------------------------ what is answered


def _keep_rows(call: Call, cursor: Cursor, capture: Capture) -> Cursor:
    columns = cursor.description
    names = None if columns is None else [column[0] for column in columns]
    counts = {"columns": names, "rowcount": cursor.rowcount, "lastrowid": cursor.lastrowid}
    capture.reply({**counts, **cursor.connection.state()})
    if names is not None:
        cursor.note(capture.items())
    return cursor


def _give_rows(call: Call, reply: Reply) -> Cursor:
    cursor: Cursor = call.owner
    cursor.give(reply.value, iter(reply.items))
    _tell(cursor.connection, reply.value)
    return cursor


def _tell(connection: Connection, value: Mapping[str, Any]) -> None:
    names = ("in_transaction", "total_changes")
    connection.tell({name: value[name] for name in names if name in value})


def _keep_state(call: Call, result: Any, capture: Capture) -> Any:
    capture.reply(call.owner.state())
    return result


def _give_state(call: Call, reply: Reply) -> None:
    _tell(call.owner, reply.value)


def _keep_bytes(call: Call, result: bytes, capture: Capture) -> bytes:
    capture.reply(result)
    return result


def _give_bytes(call: Call, reply: Reply) -> Value:
    return reply.value


def _refuse(call: Call, result: Any, capture: Capture) -> Any:
    raise UnsupportedError("sqlite3: backup(), blobopen() and deserialize() cannot be recorded: use SQL statements")


def _decode_error(call: Call, error: Any) -> BaseException:
    assert isinstance(error, BaseException)
    if isinstance(call.owner, Cursor):
        connection = call.owner.connection
        call.owner.leave()
        began = connection.isolation_level is not None and sql.verb(str(call.arg(0, "sql"))) in _BEGINNING
        connection.tell({"in_transaction": True} if began else {})
    return error


# Before these sqlite3 begins a transaction by itself, also if they fail then.
# https://docs.python.org/3/library/sqlite3.html#transaction-control-via-the-isolation-level-attribute
_BEGINNING = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_OPEN = Open(stand_in=_connect_to_nothing, describe=_file)
_HERE = __name__


def _patch(method: str, describe: Any, encode: Any, decode: Any, prepare: Any = None) -> Patch:
    return Patch(f"{_HERE}:{method}", Exchange(describe=describe, encode=encode, decode=decode), prepare=prepare)


PLUGIN = Plugin(
    name="sqlite3",
    kind="db",
    library="python>=3.11",
    decode_error=_decode_error,
    patches=(
        Patch("sqlite3:connect", _OPEN, prepare=_with_our_classes),
        Patch("sqlite3.dbapi2:connect", _OPEN, prepare=_with_our_classes),  # Django's way in
        _patch("Cursor.execute", _execute, _keep_rows, _give_rows),
        _patch("Cursor.executemany", _executemany, _keep_rows, _give_rows, _with_listed_parameters),
        _patch("Cursor.executescript", _executescript, _keep_rows, _give_rows),
        _patch("Connection.commit", _ending("COMMIT"), _keep_state, _give_state),
        _patch("Connection.rollback", _ending("ROLLBACK"), _keep_state, _give_state),
        _patch("Connection.serialize", _whole("SERIALIZE"), _keep_bytes, _give_bytes),
        *(_patch(f"Connection.{name}", _whole(name.upper()), _refuse, _give_bytes) for name in ("backup", "blobopen", "deserialize")),
    ),
)  # fmt: skip
