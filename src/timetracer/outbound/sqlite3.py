"""Tells what sqlite3 asks of a database and what it is answered; connections and cursors stay genuine.

Every connection and cursor is made of the subclasses in `sqlite3_objects`, mixed beneath the classes an app brings.
Rows are kept one by one, as the app fetches them, and given back to a genuine cursor.

Passed on as they are: functions, collations, authorizers, `iterdump` (made of statements). Not supported: `backup`,
`blobopen`, `deserialize`, and cursor factories that are no classes.
"""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from timetracer.errors import UnsupportedError
from timetracer.outbound import sql
from timetracer.outbound.sqlite3_names import Nowhere, name_of
from timetracer.outbound.sqlite3_objects import Connection, Cursor, mixed
from timetracer.plugin import Call, Capture, Exchange, Open, Patch, Plugin, Reply, Request, Value

_FACTORY = 5  # connect(database, timeout, detect_types, isolation_level, check_same_thread, factory, ...)
_DATABASE = "database"


# ------------------------------------------------------------------------------------------------ connecting


def _with_our_classes(call: Call) -> Call:
    if len(call.args) > _FACTORY:
        args = list(call.args)
        args[_FACTORY] = mixed(args[_FACTORY], Connection)
        return Call(call.owner, tuple(args), call.kwargs)
    factory = mixed(call.kwargs.get("factory", sqlite3.Connection), Connection)
    return Call(call.owner, call.args, {**call.kwargs, "factory": factory})


def _connect_to_nothing(call: Call, real: Callable[..., Any], known: Value) -> Any:
    kwargs = {name: value for name, value in call.kwargs.items() if name not in ("uri", _DATABASE)}
    database = Nowhere(":memory:")
    database.asked, database.settings = name_of(call.arg(0, _DATABASE)), []
    database.args, database.kwargs = call.args, {n: v for n, v in call.kwargs.items() if n != "factory"}
    return real(database, *call.args[1:7], **kwargs)


def _file(call: Call) -> Request:
    return Request(type="db.query", method="CONNECT", target=name_of(call.arg(0, _DATABASE)), shared=True)


# ------------------------------------------------------------------------------------------------ what is asked


def _request(cursor: Cursor, text: str, params: Value, **more: Value) -> Request | None:
    if not issubclass(type(text), str):
        return None  # sqlite3 refuses it
    cursor.kind = more.get("call", "execute")
    text, verb, shared, courtesy = _looked_at(text) if len(text) <= sql.CACHED_LENGTH else _look_at(text)
    return Request(
        type="db.query",
        method=verb,
        target=cursor.connection.database_name,
        fields=sql.statement(text, params, **more),
        shared=shared,
        courtesy=courtesy,
    )


def _look_at(text: str) -> tuple[str, str, bool, tuple[Value, ...]]:
    """Returns what depends on the statement's text alone: its canonical form, verb, whether shared, courtesy."""
    text = sql.canonical(str.__str__(text))
    verb = sql.verb(text)
    shared = text in _PREAMBLE or text.startswith(_OF_THE_LIBRARY) or (verb == "PRAGMA" and "=" in text)
    return text, verb, shared, (_courtesy(text),) if sql.steering(text) else ()


_looked_at: Callable[[str], tuple[str, str, bool, tuple[Value, ...]]] = lru_cache(maxsize=1024)(_look_at)


_OF_THE_LIBRARY = "select sqlite_compileoption_used("  # Django, of every new connection
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
        except BaseException as error:  # noqa: BLE001 - the app's own: it goes on where SQLite reads
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
    if params.__class__ is tuple and not params:
        return []
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
        adapted: Any = sqlite3.adapt(value, sqlite3.PrepareProtocol)
    except sqlite3.ProgrammingError:
        adapted = value
    if adapted is value:  # sqlite3 refuses it
        return {"unsupported": f"{type(value).__module__}.{type(value).__qualname__}"}
    return _parameter(adapted)


def _ending(method: str) -> Callable[[Call], Request | None]:
    def describe(call: Call) -> Request | None:
        connection: Connection = call.owner
        if not connection.in_transaction and not _in_transaction(connection):
            return None  # nothing is asked of SQLite
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
    description = _description(cursor)
    capture.reply(
        {
            "columns": None if description is None else [column[0] for column in description],
            "rowcount": _rowcount(cursor),
            "lastrowid": _lastrowid(cursor),
            "in_transaction": _in_transaction(cursor.connection),
            "total_changes": _total_changes(cursor.connection),
        }
    )
    if description is not None:
        cursor.note(capture.items())
    return cursor


# What SQLite itself says, past our properties: 3 us less.
_description, _rowcount, _lastrowid, _in_transaction, _total_changes = (
    getattr(sqlite3, cls).__dict__[name].__get__
    for cls, name in (
        ("Cursor", "description"), ("Cursor", "rowcount"), ("Cursor", "lastrowid"),
        ("Connection", "in_transaction"), ("Connection", "total_changes"),
    )
)  # fmt: skip


def _give_rows(call: Call, reply: Reply) -> Cursor:
    cursor: Cursor = call.owner
    cursor.give(reply.value, iter(reply.items))
    text = call.arg(0, "sql")
    if type(text) is str and text[:6].upper() == "PRAGMA" and "=" in text:
        cursor.connection.set_pragma(text)
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


def _encode_error(call: Call, error: BaseException) -> Value:
    """Returns the error; what failed half-way left changes, which are told with it.

    Without its traceback: that holds the cursor, and a connection that is closed meanwhile keeps its locks till it goes
    (https://github.com/python/cpython/blob/3.13/Modules/_sqlite/connection.c, `sqlite3_close_v2`).
    """
    cursor = call.owner
    if isinstance(error, sqlite3.Error):
        cause, context, hidden = error.__cause__, error.__context__, error.__suppress_context__
        error = copy.copy(error)
        error.__cause__, error.__context__, error.__suppress_context__ = cause, context, hidden
    halfway = isinstance(cursor, Cursor) and cursor.kind != "execute"
    return {"error": error, **cursor.connection.state()} if halfway else error


def _decode_error(call: Call, error: Any) -> BaseException:
    told = error if isinstance(error, dict) else {"error": error}
    if isinstance(call.owner, Cursor):
        connection = call.owner.connection
        call.owner.fail()
        began = connection.isolation_level is not None and sql.verb(str(call.arg(0, "sql"))) in _BEGINNING
        connection.tell({"in_transaction": True} if began else {})
        _tell(connection, told)
    raised: BaseException = told["error"]
    return raised


# Before these sqlite3 begins a transaction by itself, also if they fail then.
# https://docs.python.org/3/library/sqlite3.html#transaction-control-via-the-isolation-level-attribute
_BEGINNING = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_REFUSED = ("backup", "blobopen", "deserialize")
_OPEN = Open(stand_in=_connect_to_nothing, describe=_file)
_HERE = Cursor.__module__


def _patch(method: str, describe: Any, encode: Any, decode: Any, prepare: Any = None) -> Patch:
    return Patch(f"{_HERE}:{method}", Exchange(describe=describe, encode=encode, decode=decode), prepare=prepare)


PLUGIN = Plugin(
    name="sqlite3",
    kind="db",
    library="python>=3.11",
    encode_error=_encode_error,
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
        *(_patch(f"Connection.{name}", _whole(name.upper()), _refuse, _give_bytes) for name in _REFUSED),
    ),
)  # fmt: skip
