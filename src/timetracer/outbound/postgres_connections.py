"""Makes psycopg's connections to a server or to a stand-in peer, and moves one from the one to the other, in place.

A moved connection is the same object with another libpq connection in it: what the app holds (a pool's member, Django's
`connection.connection`, cursors) goes on working. The connection to a server waits meanwhile as it was left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from logging import getLogger
from typing import Any

import msgspec
import psycopg
import psycopg.generators
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from timetracer.errors import ReplayError
from timetracer.outbound import postgres_results as results
from timetracer.outbound.postgres_peer import SETTINGS, Peer
from timetracer.plugin import Call, Request, Value

_LOG = getLogger(__name__)
_ADDRESS = ("host", "hostaddr", "port")
_HANDED_ON = ("dbname", "user", "password", "options", "application_name")
_WAITING, _LEFT = "_timetracer_waiting", "_timetracer_left"
_ROLLBACK = "_rollback_gen"
_BEGUN = {b"I": pq.TransactionStatus.IDLE, b"T": pq.TransactionStatus.INTRANS, b"E": pq.TransactionStatus.INERROR}
# Settings that a client may change, of those that a server reports.
_CHANGEABLE = ("application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "IntervalStyle",
               "search_path", "standard_conforming_strings", "TimeZone")  # fmt: skip


# ------------------------------------------------------------------------------------------------ making


def server(call: Call) -> Request | None:
    """Describes a new connection by what was asked for."""
    if not isinstance(call.owner, type):
        return None  # a connection that is there already
    asked = _asked(call)
    where = {name: str(asked[name]) for name in ("host", "port", "user", "options") if asked.get(name)}
    return Request(type="db.query", method="CONNECT", target=str(asked.get("dbname", "")), fields=where, shared=True)


def remembered(call: Call, connection: Any) -> Value:
    """Returns what a new connection knows of its server."""
    pgconn = connection.pgconn
    return {"settings": results.settings(pgconn), "address": results.address(pgconn)}


def connect_to_peer(call: Call, real: Callable[..., Any], known: Value) -> Any:
    """Makes a connection to a new peer; one that is there already was moved when it was left."""
    if not isinstance(call.owner, type):
        return None
    asked = _asked(call)
    said = known or {"settings": {**SETTINGS}, "address": {}}
    own = {"session_authorization": str(asked.get("user") or "postgres"), "application_name": ""}
    address = said["address"] | {name: str(asked[name]) for name in _ADDRESS if asked.get(name)}
    if asked.get("application_name"):
        own["application_name"] = str(asked["application_name"])
    peer = Peer(said["settings"] | own, address)
    peer.home = Home(call.arg(0, "conninfo", ""))
    return real(_peer(asked, peer), **{name: value for name, value in call.kwargs.items() if name != "conninfo"})


def asked_address(call: Call, real: Callable[..., Any], known: Value) -> str:
    """Returns where the server is that a peer stands for."""
    pgconn, name = call.owner.pgconn, call.arg(0, "name")
    peer = Peer.of(pgconn) if name in _ADDRESS else None
    found = peer.address.get(name) if peer is not None else None
    return getattr(pgconn, name).decode(call.owner.encoding) if found is None else found


def _asked(call: Call) -> Mapping[str, Any]:
    return conninfo_to_dict(call.arg(0, "conninfo", ""))


def _peer(asked: Mapping[str, Any], peer: Peer) -> str:
    """Returns how to connect to a peer."""
    handed = {name: asked[name] for name in _HANDED_ON if asked.get(name)}
    handed |= {"dbname": handed.get("dbname") or "postgres", "user": handed.get("user") or "postgres"}
    return make_conninfo("", **handed, host=peer.folder, port=peer.number, sslmode="disable", gssencmode="disable")


# ------------------------------------------------------------------------------------------------ links


def waiting(call: Call) -> object:
    """Returns the connection that is about to wait: here alone it may move, for the wait is for one socket."""
    connection, generator = call.owner, call.arg(0, "gen")
    left = connection.__dict__.get(_LEFT)
    if left is not None:
        _take_along(generator, left, connection.pgconn)
    connection.__dict__[_WAITING] = generator
    return connection


def of_connection(call: Call) -> object:
    """Returns the connection that sends."""
    return _asking(call.owner)


def of_cursor(call: Call) -> object:
    """Returns the connection whose cursor sends; a cursor that was made before it moved goes along."""
    cursor = call.owner
    connection = cursor._conn
    if cursor._pgconn is not connection.pgconn:
        cursor._pgconn = connection.pgconn
    return _asking(connection)


def _asking(connection: Any) -> Any:
    connection.__dict__[_WAITING] = None
    connection.__dict__.pop(results.NOTICES, None)
    connection.__dict__.pop(results.CANCELLED, None)
    connection.__dict__[results.ASKED] = time.monotonic()
    return connection


def cancelled(call: Call) -> object:
    """Returns the connection whose statement the app cancels: of it, or of the libpq connection given (3.1)."""
    return results.owner_of(call.args[0]) if call.args else call.owner


def note_cancel(call: Call) -> Call:
    """Keeps with the connection that the app cancels, and how long after it asked; a peer has waited for this."""
    connection: Any = cancelled(call)
    connection.__dict__[results.CANCELLED] = time.monotonic() - connection.__dict__.get(results.ASKED, 0.0)
    peer = Peer.of(connection.pgconn) if connection.pgconn.status == pq.ConnStatus.OK else None
    if peer is not None:
        peer.cancel()
    return call


def note_notice(call: Call) -> Call:
    """Keeps a notice with its connection: it is told with the statement that it came with."""
    connection = call.args[0]()
    if connection is not None:
        connection.__dict__.setdefault(results.NOTICES, []).append(results.diagnosed(call.args[1]))
    return call


# ------------------------------------------------------------------------------------------------ moving


class Home(msgspec.Struct):
    """What a peer stands for.

    Attributes:
        conninfo: how to connect to the server.
        pgconn: the connection to it, if there is one; it waits as it was left, its transaction open if it was.
        prepared: what psycopg prepared on it.
    """

    conninfo: str
    pgconn: Any = None
    prepared: Any = None


def move(connection: Any) -> None:
    """Moves an open connection from its server to a new peer, or from its peer to the server.

    Raises:
        ReplayError: it is half-way through a transaction with a peer, a pipeline, a stream, a COPY, or a call.
    """
    old = connection.pgconn
    waits = connection.__dict__.pop(_WAITING, None)
    if old.status != pq.ConnStatus.OK:
        return  # the app closed it, or it broke: the real function says so
    peer = Peer.of(old)
    if waits is None or _busy(connection, peer, waits.__name__):
        raise ReplayError(
            "psycopg: this connection is in the middle of a transaction (a pipeline, a COPY) and cannot pass between "
            "live and replayed calls half-way: commit or roll back first, or record with `rewrite`",
            reason="wrong order",
        )
    before = connection._prepared
    prepared = type(before)()
    prepared.prepare_threshold, prepared.prepared_max = before.prepare_threshold, before.prepared_max
    if peer is None:
        new = _to_peer(old, before)
    else:
        new = peer.home.pgconn or _to_server(old, peer)
        prepared = peer.home.prepared or prepared
        old.finish()
    if new is None:
        return
    new.notice_handler, new.notify_handler = old.notice_handler, old.notify_handler
    connection.pgconn, connection._prepared = new, prepared
    connection.__dict__[_LEFT] = old
    _take_along(waits, old, new)


def _busy(connection: Any, peer: Peer | None, doing: str) -> bool:
    """Whether moving would tear what belongs together. A rollback may move: what it ends is left behind."""
    status = connection.pgconn.transaction_status
    pipeline = connection._pipeline
    if (pipeline is not None and pipeline.level) or status == pq.TransactionStatus.ACTIVE:
        return True
    return peer is not None and status != _BEGUN[peer.begun] and doing != _ROLLBACK


def _take_along(generator: Any, old: Any, new: Any) -> None:
    """Gives the new libpq connection to whoever is about to run: a transaction, a pipeline, a cursor made before."""
    frame = getattr(generator, "gi_frame", None)
    runs = frame.f_locals.get("self") if frame is not None else None
    for name in ("pgconn", "_pgconn"):
        if getattr(runs, name, None) is old:
            setattr(runs, name, new)


def _to_peer(old: Any, prepared: Any) -> Any:
    asked = {each.keyword.decode(): each.val.decode() for each in old.info if each.val is not None}
    begun = next(code for code, status in _BEGUN.items() if status == old.transaction_status)
    peer = Peer(results.settings(old), results.address(old), begun=begun)
    peer.home = Home(make_conninfo("", **asked), old, prepared)
    return _connected(_peer(asked, peer))


def _to_server(old: Any, peer: Peer) -> Any:
    """Connects to the server for the first time, and sets there what the app set on the peer."""
    try:
        new = _connected(peer.home.conninfo)
    except psycopg.OperationalError as error:  # a broken connection, as the app knows it
        _LOG.warning("a connection cannot be opened (%s): it is broken from now on", type(error).__name__)
        return None
    for name, text in results.settings(old).items():
        if name in _CHANGEABLE and peer.settings.get(name) != text:
            literal = psycopg.sql.Literal(text).as_string(None)
            new.exec_(f"select set_config('{name}', {literal}, false)".encode())
    return new


def _connected(conninfo: str) -> Any:
    pgconn: Any = psycopg.waiting.wait_conn(psycopg.generators.connect(conninfo))
    pgconn.nonblocking = 1
    return pgconn
