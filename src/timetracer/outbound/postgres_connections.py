"""Makes psycopg's connections to a server or to a stand-in peer, and moves one from the one to the other, in place.

A moved connection is the same object with another libpq connection in it: what the app holds (a pool's member, Django's
`connection.connection`, cursors) goes on working. What a server's session holds is lost with it: temporary tables,
locks, LISTEN, prepared statements (which are prepared again). Settings that the server reports are set again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from logging import getLogger
from typing import Any

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
_WAITING = "_timetracer_waiting"
_ROLLBACK = "_rollback_gen"
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
    moved = _peer(asked, said["settings"] | own, address, None)
    return real(moved, **{name: value for name, value in call.kwargs.items() if name != "conninfo"})


def asked_address(call: Call, real: Callable[..., Any], known: Value) -> str:
    """Returns where the server is that a peer stands for."""
    pgconn, name = call.owner.pgconn, call.arg(0, "name")
    peer = Peer.of(pgconn) if name in _ADDRESS else None
    found = peer.address.get(name) if peer is not None else None
    return getattr(pgconn, name).decode(call.owner.encoding) if found is None else found


def _asked(call: Call) -> Mapping[str, Any]:
    return conninfo_to_dict(call.arg(0, "conninfo", ""))


def _peer(
    home: Mapping[str, Any],
    settings: Mapping[str, str],
    address: Mapping[str, str],
    restores: Mapping[str, str] | None,
) -> str:
    """Starts a peer and returns where it is."""
    peer = Peer(settings, address)
    peer.home, peer.restores = home, restores
    asked = {name: home[name] for name in _HANDED_ON if home.get(name)}
    asked |= {"dbname": asked.get("dbname") or "postgres", "user": asked.get("user") or "postgres"}
    return make_conninfo("", **asked, host=peer.folder, port=peer.number, sslmode="disable", gssencmode="disable")


# ------------------------------------------------------------------------------------------------ links


def owner_of(pgconn: Any) -> Any:
    """Returns the connection that a libpq connection belongs to; itself where there is none yet.

    https://github.com/psycopg/psycopg/blob/3.3.2/psycopg/psycopg/_connection_base.py#L110
    """
    handler = pgconn.notice_handler
    found = handler.args[0]() if isinstance(handler, partial) and handler.args else None
    return pgconn if found is None else found


def waiting(call: Call) -> object:
    """Returns the connection that is about to wait: here alone it may move, for the wait is for one socket."""
    call.owner.__dict__[_WAITING] = call.arg(0, "gen")
    return call.owner


def of_connection(call: Call) -> object:
    """Returns the connection that sends."""
    call.owner.__dict__[_WAITING] = None
    return call.owner


def of_cursor(call: Call) -> object:
    """Returns the connection whose cursor sends; a cursor that was made before it moved goes along."""
    cursor = call.owner
    connection = cursor._conn
    if cursor._pgconn is not connection.pgconn:
        cursor._pgconn = connection.pgconn
    connection.__dict__[_WAITING] = None
    return connection


# ------------------------------------------------------------------------------------------------ moving


def move(connection: Any) -> None:
    """Moves an open connection from its server to a new peer, or from its peer to the server.

    Raises:
        ReplayError: it is in a transaction, a pipeline, a stream or a COPY, or half-way through a call.
    """
    old = connection.pgconn
    if old.status != pq.ConnStatus.OK:
        return  # the app closed it, or it broke: the real function says so
    peer = Peer.of(old)
    waits = connection.__dict__.pop(_WAITING, None)
    if waits is None or (_busy(connection) and waits.__name__ != _ROLLBACK):
        raise ReplayError(
            "psycopg: this connection is in the middle of a transaction (a pipeline, a COPY) and cannot pass between "
            "live and replayed calls half-way: commit or roll back first, or record with `rewrite`",
            reason="wrong order",
        )
    try:
        new = _to_peer(old) if peer is None else _to_server(old, peer)
    except psycopg.OperationalError as error:  # the server is gone: a broken connection, as the app knows it
        _LOG.warning("a connection cannot be opened again (%s): it is broken from now on", type(error).__name__)
        old.finish()
        return
    new.nonblocking = 1
    new.notice_handler, new.notify_handler = old.notice_handler, old.notify_handler
    connection.pgconn = new
    _take_along(waits, old, new)
    before = connection._prepared
    connection._prepared = type(before)()
    connection._prepared.prepare_threshold = before.prepare_threshold
    connection._prepared.prepared_max = before.prepared_max
    old.finish()


def _busy(connection: Any) -> bool:
    """Whether it is in a transaction or a pipeline. A rollback may move it: the transaction ends with what is left."""
    pipeline = connection._pipeline
    return bool(pipeline and pipeline.level) or connection.pgconn.transaction_status != pq.TransactionStatus.IDLE


def _take_along(generator: Any, old: Any, new: Any) -> None:
    """Gives the new libpq connection to whoever is about to run: a transaction, a pipeline, a cursor made before."""
    frame = getattr(generator, "gi_frame", None)
    runs = frame.f_locals.get("self") if frame is not None else None
    for name in ("pgconn", "_pgconn"):
        if getattr(runs, name, None) is old:
            setattr(runs, name, new)


def _to_peer(old: Any) -> Any:
    home = {each.keyword.decode(): each.val.decode() for each in old.info if each.val is not None}
    settings = results.settings(old)
    return _connected(_peer(home, settings, results.address(old), settings))


def _to_server(old: Any, peer: Peer) -> Any:
    new = _connected(make_conninfo("", **peer.home))
    wanted = peer.restores
    if wanted is None:  # made in replay: what the app set there
        wanted = {name: text for name, text in results.settings(old).items() if peer.settings.get(name) != text}
    found = results.settings(new)
    for name in _CHANGEABLE:
        if name in wanted and found.get(name) != wanted[name]:
            text = psycopg.sql.Literal(wanted[name]).as_string(None)
            new.exec_(f"select set_config('{name}', {text}, false)".encode())
    return new


def _connected(conninfo: str) -> Any:
    return psycopg.waiting.wait_conn(psycopg.generators.connect(conninfo))
