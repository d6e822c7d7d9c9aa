"""Tells what psycopg 3 asks of PostgreSQL and what it is answered; libpq reads the answers from an in-process peer.

Every round trip is one sending function (of a cursor or connection) and one receiving generator. All names below are
private; they are the same in 3.1.15, 3.2 and 3.3 but for their modules, which are read off the classes:
https://github.com/psycopg/psycopg/blob/3.3.2/psycopg/psycopg/_cursor_base.py (3.1: `cursor.py`)
https://github.com/psycopg/psycopg/blob/3.3.2/psycopg/psycopg/_connection_base.py (3.1: `connection.py`)
https://github.com/psycopg/psycopg/blob/3.3.2/psycopg/psycopg/_server_cursor_base.py (3.1: `server_cursor.py`)
https://github.com/psycopg/psycopg/blob/3.3.2/psycopg/psycopg/_pipeline_base.py (3.1, 3.2: `_pipeline.py`)
https://github.com/psycopg/psycopg/blob/3.3.2/psycopg/psycopg/_copy_base.py (3.1: `copy.py`)

PREPARE and DEALLOCATE belong to the connection: how often it was used before decides on them. A statement is the same
prepared or not. Not given again: notifications (refused), and the process id of the server.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from importlib.util import find_spec
from typing import Any

import psycopg
from psycopg import pq

from timetracer.errors import UnsupportedError
from timetracer.outbound import postgres_connections as connections
from timetracer.outbound import postgres_results as results
from timetracer.outbound import sql
from timetracer.outbound.postgres_connections import of_connection, of_cursor
from timetracer.outbound.postgres_peer import Peer
from timetracer.plugin import Call, Capture, Exchange, Open, Patch, Plugin, Receive, Reply, Request, Send, Value


def _named(cls: type, name: str) -> type:
    return next(each for each in cls.__mro__ if each.__name__ == name)


_Cursor = _named(psycopg.Cursor, "BaseCursor")
_ServerCursor = _named(psycopg.ServerCursor, "ServerCursorMixin")
_ClientCursor = _named(psycopg.ClientCursor, "ClientCursorMixin")
_Connection = _named(psycopg.Connection, "BaseConnection")
_Pipeline = _named(psycopg.Pipeline, "BasePipeline")
_Copy = _named(psycopg.Copy, "BaseCopy")
_GENERATORS = "psycopg.generators" if _Connection.__module__ == "psycopg._connection_base" else _Connection.__module__
_WRITERS = ("psycopg._copy", "psycopg._copy_async") if _Copy.__module__ == "psycopg._copy_base" else ("psycopg.copy",)

# What a driver or ORM asks of every new connection: psycopg's TypeInfo.fetch, Django's time zone, SQLAlchemy's first
# connect.
_OF_CONNECTIONS = ("FROM pg_type t", "SELECT set_config('TimeZone', ")
_PREAMBLE = frozenset(
    {
        "select pg_catalog.version()",
        "select current_schema()",
        "show transaction isolation level",
        "show standard_conforming_strings",
    }
)
_CHECKS: dict[str, Value] = {
    "": {"empty": True},
    "SELECT 1": {
        "status": "SELECT 1",
        "columns": ["?column?"],
        "types": [[0, 0, 23, 4, -1, 0]],
        "rows": [["1"]],
    },
}
# Chance decides whether the default is named: so begins a pooled connection that SQLAlchemy has set back to it.
# https://github.com/sqlalchemy/sqlalchemy/blob/rel_2_0_44/lib/sqlalchemy/engine/default.py (`reset_isolation_level`)
_BEGIN_BY_DEFAULT = "BEGIN ISOLATION LEVEL READ COMMITTED"
# From libpq 17 on a statement is closed by a message: `_HAS_SEND_CLOSE` in `_connection_base.py`.
_CLOSES_STATEMENTS = bool(getattr(sys.modules[_Connection.__module__], "_HAS_SEND_CLOSE", False))


# ------------------------------------------------------------------------------------------------ connections


def _lookup(call: Call) -> Request | None:
    hosts = str(call.arg(0, "params").get("host") or "").split(",")
    if not any(host and not host.startswith("/") and not host.replace(".", "").isdigit() for host in hosts):
        return None
    return Request(type="db.query", method="RESOLVE", target=",".join(hosts), shared=True)


def _addresses(call: Call, attempts: Any, capture: Capture) -> Any:
    names = ("host", "hostaddr", "port", "target_session_attrs")
    capture.reply([{name: each[name] for name in names if each.get(name) is not None} for each in attempts])
    return attempts


def _attempts(call: Call, reply: Reply) -> Any:
    return [{**call.arg(0, "params"), **each} for each in reply.value]


def _in_this_context(call: Call) -> Call:
    """A pool's connections are made by its worker threads, for whoever asked for them."""
    task = call.arg(0, "task")
    task.run = partial(copy_context().run, task.run)
    return call


# ------------------------------------------------------------------------------------------------ what is asked


def _first(call: Call) -> object:
    return results.owner_of(call.args[0])


def _of_copy(call: Call) -> object:
    return call.owner.connection


def _not_ours(call: Call) -> None:
    """Waiting asks nothing by itself."""


def _request(pgconn: Any, raw: bytes, params: Value) -> Request:
    text = sql.canonical(raw.decode("utf-8", "surrogateescape"))
    text = "BEGIN" if text == _BEGIN_BY_DEFAULT else text
    tag, checked = sql.steering(text), _checked(pgconn, text)
    return Request(
        type="db.query",
        method=sql.verb(text),
        target=results.database(pgconn),
        fields=sql.statement(text, params),
        shared=_of_connection(text) and pgconn.transaction_status != pq.TransactionStatus.INERROR,
        courtesy=({"status": tag},) if tag else checked or _skipped(pgconn),
        optional=bool(checked),
    )


def _of_connection(text: str) -> bool:
    return text in _PREAMBLE or any(each in text for each in _OF_CONNECTIONS)


def _checked(pgconn: Any, text: str) -> tuple[Value, ...]:
    """Returns the answer to a question whether the connection lives.

    Who asks it is chance: whoever gets a connection that somebody had before. It is what Django's CONN_HEALTH_CHECKS
    (https://github.com/django/django/blob/5.2/django/db/backends/postgresql/base.py), SQLAlchemy's pre-ping and
    psycopg_pool's `check_connection` send.
    """
    found = _CHECKS.get(text.upper())
    return () if found is None or pgconn.transaction_status == pq.TransactionStatus.INERROR else (found,)


def _skipped(pgconn: Any) -> tuple[Value, ...]:
    """Returns the answer to a statement that follows a failed one in a pipeline.

    How many psycopg sends before it knows differs from run to run.
    """
    peer = Peer.of(pgconn) if pgconn.pipeline_status != pq.PipelineStatus.OFF else None
    return ({"aborted": True},) if peer is not None and peer.refusing else ()


def _at_pipeline_end(call: Call) -> Call:
    pgconn = call.owner.pgconn
    peer = Peer.of(pgconn) if pgconn.status == pq.ConnStatus.OK else None
    if peer is not None:
        peer.refusing = False
    return call


_REFUSED = {
    "error": {
        "severity": "ERROR",
        "severity_nonlocalized": "ERROR",
        "sqlstate": "25P02",
        "message_primary": "current transaction is aborted, commands ignored until end of transaction block",
    }
}


def _of_cache(pgconn: Any, method: str, text: str) -> Request:
    answer: Value = {"status": method if method == "DEALLOCATE ALL" else ""}
    fields = sql.statement(text, None)
    if pgconn.transaction_status == pq.TransactionStatus.INERROR:  # here all is refused
        fields, answer = {**fields, "refused": True}, _REFUSED
    return Request(
        type="db.query", method=method, target=results.database(pgconn), fields=fields, shared=True, courtesy=(answer,)
    )


def _preparation(call: Call) -> Request:
    query = call.arg(1, "query")
    return _of_cache(call.owner._pgconn, "PREPARE", sql.canonical(query.query.decode("utf-8", "surrogateescape")))


def _deallocation(call: Call) -> Request | None:
    if call.arg(0, "name") is None or not _CLOSES_STATEMENTS:
        return None  # done by a command
    return _of_cache(call.owner.pgconn, "DEALLOCATE", "DEALLOCATE")


def _statement(call: Call) -> Request:
    query = call.arg(0, "query")
    return _request(call.owner._pgconn, query.query, results.parameters(query))


def _prepared(call: Call) -> Request:
    query = call.arg(1, "pgq")
    return _request(call.owner._pgconn, query.query, results.parameters(query))


def _command(call: Call) -> Request:
    command = call.arg(0, "command")
    if isinstance(command, str):
        command = command.encode("utf-8", "surrogateescape")
    elif not isinstance(command, bytes):
        command = command.as_bytes(call.owner)
    if command.startswith(b"DEALLOCATE"):
        tag = "DEALLOCATE ALL" if command == b"DEALLOCATE ALL" else "DEALLOCATE"
        return _of_cache(call.owner.pgconn, tag, tag)
    return _request(call.owner.pgconn, command, None)


def _cursor_shape(call: Call) -> Request:
    name = sql.canonical(f'"{call.owner._name}"')
    return _request(call.owner._pgconn, f"DESCRIBE {name}".encode(), None)


def _more_rows(call: Call) -> Request | None:
    if call.arg(0, "first"):  # the statement's own answer
        return None
    target = results.database(call.owner._pgconn)
    return Request(type="db.query", method="FETCH", target=target, fields={"sql": "STREAM"})


def _copied_out(call: Call) -> Request | None:
    if call.owner._finished:
        return None
    return Request(type="db.query", method="COPY", target=results.database(call.owner._pgconn), fields={"sql": "READ"})


def _copied_in(call: Call) -> Request:
    data = bytes(call.arg(1, "buffer"))
    fields = {"sql": "WRITE", "data": results.text_or_bytes(data)}
    return Request(type="db.query", method="COPY", target=results.database(call.args[0]), fields=fields)


def _copy_end(call: Call) -> Request:
    fields = {"sql": "END", "failed": call.arg(1, "error") is not None}
    return Request(type="db.query", method="COPY", target=results.database(call.args[0]), fields=fields)


# ------------------------------------------------------------------------------------------------ what is answered


def _answered(link: Callable[[Call], Any], *, running: bool = False) -> Callable[[Call, Sequence[Value]], None]:
    def feed(call: Call, answers: Sequence[Value]) -> None:
        pgconn = link(call).pgconn
        peer = Peer.of(pgconn) if pgconn.status == pq.ConnStatus.OK else None
        if peer is None:
            return  # a closed connection: the real function says so
        for each in answers:
            given = results.restored(each)
            if not given:
                continue
            if running:
                peer.push(given)
            else:
                peer.feed(given, in_pipeline=pgconn.pipeline_status != pq.PipelineStatus.OFF)

    return feed


def _kept_results(call: Call, found: Any) -> Value:
    return results.described(found, call.args[0])


def _kept_result(call: Call, found: Any) -> Value:
    return results.described([] if found is None else [found], call.args[0])


def _kept_copy(call: Call, found: Any) -> Value:
    return {"data": results.text_or_bytes(bytes(found))}


def _kept_pipelined(call: Call, found: Any) -> Value:
    return results.described(call.arg(1, "results"), call.owner.pgconn)


def _pipelined(call: Call) -> object:
    """Returns the connection if a statement is answered here, else an object that nothing was asked on."""
    synced = call.arg(1, "results")[0].status == pq.ExecStatus.PIPELINE_SYNC
    return call.owner if synced else call.owner._conn


def _keep_nothing(call: Call, result: Any, capture: Capture) -> Any:
    capture.reply()
    return result


def _notifications(call: Call) -> Request:
    return Request(type="db.query", method="NOTIFIES", target=results.database(call.owner.pgconn))


def _refuse(call: Call, *answer: Any) -> Any:
    raise UnsupportedError("psycopg: notifications cannot be recorded: they come at no call's bidding")


def _encode_error(call: Call, error: BaseException) -> Value:
    if isinstance(call.owner, _Connection) and not isinstance(error, Exception):
        return results.broken_off(call.owner)
    if isinstance(call.owner, _Pipeline):
        return _kept_pipelined(call, None)
    if isinstance(call.owner, _Cursor | _Connection | _Copy):
        return None  # made of the answer, or of the connection's state: it comes again without being kept
    return None if getattr(error, "pgresult", None) is not None else results.last_words(error)


def _decode_error(call: Call, error: Any) -> BaseException:
    assert isinstance(error, BaseException)
    return error


def _asks(
    target: str,
    describe: Callable[[Call], Request | None],
    link: Callable[[Call], Any],
    *,
    running: bool = False,
    since: str | None = None,
) -> Patch:
    return Patch(target, Send(link=link, describe=describe, feed=_answered(link, running=running)), since=since)


def _takes(
    target: str,
    encode: Callable[[Call, Any], Value],
    link: Callable[[Call], Any] = _first,
    idle: Callable[[Any], bool] = lambda found: True,  # psycopg in pure Python takes an answer in two nested ones
) -> Patch:
    return Patch(target, Receive(link=link, encode=encode, decode=None, idle=idle))


_INFO = "psycopg:ConnectionInfo"
_CANCELS = "_try_cancel" if hasattr(_Connection, "_try_cancel") else "cancel"  # 3.1: beneath both ways to ask for it
_CURSOR = f"{_Cursor.__module__}:{_Cursor.__name__}"
_SERVER_CURSOR = f"{_ServerCursor.__module__}:{_ServerCursor.__name__}"
_CONNECTION = f"{_Connection.__module__}:{_Connection.__name__}"
_POOLS = ("psycopg_pool.pool",) if find_spec("psycopg_pool") else ()
_WRITTEN = Exchange(describe=_copied_in, encode=_keep_nothing, decode=lambda call, reply: None)
_OPEN = Open(
    stand_in=connections.connect_to_peer,
    describe=connections.server,
    encode=connections.remembered,
    leave=connections.move,
)
# libpq before 17 cancels in one blocking call that keeps the GIL: a peer in this process could never answer it.
_CANCEL = Open(stand_in=lambda call, real, known: None, link=connections.cancelled)
_LISTENS = Exchange(describe=_notifications, encode=_refuse, decode=_refuse)
_WAIT = Send(link=connections.waiting, describe=_not_ours, feed=lambda call, answers: None)

PLUGIN = Plugin(
    name="psycopg",
    kind="db",
    library="psycopg>=3.1.15,<3.4",
    encode_error=_encode_error,
    decode_error=_decode_error,
    patches=(
        Patch(f"{_CONNECTION}._connect_gen", _OPEN),
        Patch(f"{_CONNECTION}.{_CANCELS}", _CANCEL, prepare=connections.note_cancel),
        Patch(f"{_CONNECTION}._cancel_gen", prepare=connections.note_cancel, since="3.2"),
        Patch(
            "psycopg.connection_async:conninfo_attempts_async",
            Exchange(describe=_lookup, encode=_addresses, decode=_attempts),
        ),
        # https://github.com/psycopg/psycopg/blob/3.3.2/psycopg_pool/psycopg_pool/pool.py#L584
        *(Patch(f"{each}:ConnectionPool.run_task", prepare=_in_this_context) for each in _POOLS),
        # What `conn.info` and OTel's spans say of the server.
        Patch(f"{_INFO}._get_pgconn_attr", Open(stand_in=connections.asked_address)),
        # Here a connection passes from one world to the other: before its socket is looked up.
        *(Patch(f"psycopg:{each}.wait", _WAIT) for each in ("Connection", "AsyncConnection")),
        Patch(f"{_CONNECTION}._notice_handler", prepare=connections.note_notice),
        *(Patch(f"psycopg:{each}.notifies", _LISTENS) for each in ("Connection", "AsyncConnection")),
        _asks(f"{_CURSOR}._execute_send", _statement, of_cursor),
        _asks(f"{_ClientCursor.__module__}:ClientCursorMixin._execute_send", _statement, of_cursor),
        _asks(f"{_CURSOR}._send_query_prepared", _prepared, of_cursor),
        _asks(f"{_CURSOR}._send_prepare", _preparation, of_cursor),
        _asks(f"{_CONNECTION}._deallocate", _deallocation, of_connection, since="3.2"),
        _asks(f"{_CONNECTION}._exec_command", _command, of_connection),
        _asks(f"{_SERVER_CURSOR}._describe_gen", _cursor_shape, of_cursor),
        _asks(f"{_CURSOR}._stream_fetchone_gen", _more_rows, of_cursor, running=True),
        _asks(f"{_Copy.__module__}:{_Copy.__name__}._read_gen", _copied_out, _of_copy, running=True),
        *(Patch(f"{each}:copy_to", _WRITTEN) for each in _WRITERS),
        *(_asks(f"{each}:copy_end", _copy_end, _first, running=True) for each in _WRITERS),
        _takes(f"{_GENERATORS}:execute", _kept_results),
        _takes(f"{_Cursor.__module__}:execute", _kept_results),
        _takes(f"{_ServerCursor.__module__}:execute", _kept_results),
        _takes(f"{_Cursor.__module__}:fetch", _kept_result),
        _takes(f"{_Copy.__module__}:copy_from", _kept_copy, idle=lambda found: isinstance(found, pq.PGresult)),
        _takes("psycopg.generators:_fetch_many", _kept_results),  # how a COPY ended
        Patch(f"{_Pipeline.__module__}:{_Pipeline.__name__}._enqueue_sync", prepare=_at_pipeline_end),
        _takes(f"{_Pipeline.__module__}:{_Pipeline.__name__}._process_results", _kept_pipelined, _pipelined),
    ),
)  # fmt: skip
