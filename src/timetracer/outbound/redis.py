"""Describes redis-py: commands sent and replies read on one connection, sync and asyncio from one description.

The seam is the connection, beneath clients, pipelines, locks, scripts, pub/sub, Sentinel and cluster: all of those run
for real. Replies are those of the wire (None, bool, int, float, str, bytes, list, dict, set, errors), before response
callbacks.

Only the socket, the handshake and health checks are quiet. What `connect` does besides (retries, a resubscription,
`redis_connect_func`) is captured like any other command.

Not supported: client-side caching (`CLIENT TRACKING`), whose invalidations arrive at no call's bidding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import redis.asyncio.connection
import redis.client
import redis.connection
from redis._parsers import _AsyncRESP2Parser, _AsyncRESP3Parser, _RESP2Parser, _RESP3Parser

from timetracer.errors import UnsupportedError
from timetracer.plugin import Call, Close, Open, Patch, Plugin, Poll, Receive, Request, Role, Send, Value

TYPE = "cache.command"

STREAMING = frozenset(b"SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR".split())
"""Commands answered by a stream: messages come when they come, so no count of replies can be expected."""

ANY = frozenset((b"",))
OF_CONNECTION = {
    b"HELLO": ANY,
    b"AUTH": ANY,
    b"COMMAND": ANY,
    b"READONLY": ANY,
    b"READWRITE": ANY,
    b"CLIENT": frozenset((b"SETINFO", b"SETNAME", b"MAINT_NOTIFICATIONS")),
    b"CLUSTER": frozenset((b"SLOTS", b"SHARDS", b"NODES")),
}
"""Commands that introduce a connection or ask for the topology, by their subcommands (`ANY`: whatever follows)."""

LOOKED_AT = STREAMING | OF_CONNECTION.keys() | {b"PING"}
"""Commands that are not simply answered once."""

FLAT = frozenset((bytes, int, str, type(None), float, bool))
"""Replies that nobody can change once they are read."""

# ------------------------------------------------------------------------------------- commands, from their packed form


def commands(packed: Any) -> list[list[bytes]]:
    """Parses what `pack_command` and `pack_commands` made: the arguments of each command, the name first.

    https://redis.io/docs/latest/develop/reference/protocol-spec/#sending-commands-to-a-redis-server
    """
    if packed.__class__ is list and len(packed) == 1:
        packed = packed[0]
    elif isinstance(packed, list | tuple):
        packed = b"".join(map(_octets, packed))
    if packed.__class__ is not bytes:
        packed = _octets(packed)
    # One command without a line end in its arguments, as nearly every one is, is split in one go: no other fits.
    parts: list[bytes] = packed.split(b"\r\n")
    if len(parts) == 2 * int(parts[0][1:]) + 2:
        return [parts[2::2]]
    return list(_each(packed))


def _octets(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, bytes | bytearray | memoryview):
        return bytes(piece)
    # An iterator, perhaps: read here, it would be gone when the connection writes it.
    raise UnsupportedError(f"redis: a packed command made of {type(piece).__name__}")


def _each(packed: bytes) -> Iterator[list[bytes]]:
    at, end = 0, len(packed)
    while at < end:
        line = packed.index(b"\r\n", at)
        count, at, arguments = int(packed[at + 1 : line]), line + 2, []
        for _ in range(count):
            line = packed.index(b"\r\n", at)
            start = line + 2
            at = start + int(packed[at + 1 : line])
            arguments.append(packed[start:at])
            at += 2
        yield arguments


def describe(call: Call) -> Request | None:
    """Describes one send: a command, or the commands of a pipeline, with as many replies."""
    sent = commands(call.arg(0, "command"))
    method, replies = "PIPELINE", len(sent)
    if replies == 1:
        name = sent[0][0].upper()
        method = name.decode()
        if name in LOOKED_AT:
            return _describe_special(name, sent[0][1:], call.owner.db)
    return Request(type=TYPE, method=method, target=str(call.owner.db), fields={"commands": sent}, replies=replies)


def _describe_special(name: bytes, rest: list[bytes], db: object) -> Request | None:
    second = rest[0].upper() if rest else b""
    if name == b"PING" and second == HEALTH_CHECK:
        return None  # due by the clock, and answered in the subscriber's stream
    if name == b"CLIENT" and second == b"TRACKING":
        raise UnsupportedError("redis: client-side caching (CLIENT TRACKING) is not supported")
    shared = OF_CONNECTION.get(name, frozenset())
    return Request(
        type=TYPE,
        method=name.decode(),
        target=str(db),
        fields={"commands": [[name, *rest]]},
        replies=None if name in STREAMING else 1,
        shared=shared is ANY or second in shared,
    )


def server(call: Call) -> Request:
    """Names the server of a connection about to be made."""
    return Request(type=TYPE, method="CONNECT", target=_address(call.owner))


def introduction(call: Call) -> Request:
    """Names the server that a new connection introduces itself to."""
    return Request(
        type=TYPE, method="HANDSHAKE", target=_address(call.owner), fields={"protocol": int(call.owner.protocol)}
    )


def _address(made: Any) -> str:
    return str(getattr(made, "path", None) or f"{made.host}:{made.port}")


# -------------------------------------------------------------------------------------------------------------- replies


def reply(call: Call, value: Value) -> Value:
    """Returns a reply as it is now: the app owns it next, and may change it before it is encoded."""
    return value if value.__class__ in FLAT else _copied(value)


def _copied(value: Value) -> Value:
    if isinstance(value, list):
        return [each if each.__class__ in FLAT else _copied(each) for each in value]
    if isinstance(value, dict):
        return {key: each if each.__class__ in FLAT else _copied(each) for key, each in value.items()}
    if isinstance(value, redis.RedisError):
        return _error(value)
    return copy.copy(value)


def _error(error: BaseException) -> BaseException:
    twin = copy.copy(error)
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin


def encode_error(call: Call, error: BaseException) -> Value:
    """Returns a copy of a redis error: a pipeline writes the command's number into the one it caught.

    https://github.com/redis/redis-py/blob/v8.1.0/redis/client.py (`annotate_exception`)
    """
    return _error(error) if isinstance(error, redis.RedisError) else error


# ----------------------------------------------------------------------------------- connections, with no server behind
# Every private name of redis-py that this file leans on is between here and the end. Read in 5.0.0, 5.2.1, 6.4.0,
# 7.4.1 and 8.1.0; in the sources of 8.1.0:
#   _connect, on_connect_check_health (5.x: on_connect), _send_ping, _sock, _parser
#     https://github.com/redis/redis-py/blob/v8.1.0/redis/connection.py#L1035-L1336
#   _reader, _writer
#     https://github.com/redis/redis-py/blob/v8.1.0/redis/asyncio/connection.py#L749-L880
#   the parsers, switched by the handshake if the protocol is RESP3
#     https://github.com/redis/redis-py/blob/v8.1.0/redis/connection.py#L1177-L1184

PARSERS = ((_RESP2Parser, _RESP3Parser), (_AsyncRESP2Parser, _AsyncRESP3Parser))
HEALTH_CHECK = redis.client.PubSub.HEALTH_CHECK_MESSAGE.upper().encode()


class Nothing:
    """Stands where a socket, a stream reader or a stream writer stood: takes all, gives nothing."""

    def __getattr__(self, name: str) -> Any:
        if name in ("drain", "wait_closed"):
            return _nothing_to_await
        return _nothing


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


async def _nothing_to_await(*args: Any, **kwargs: Any) -> None:
    return None


def connection(call: Call) -> object:
    """The link: the connection itself."""
    return call.owner


def connect(call: Call, real: Any, known: Value) -> Any:
    """Makes a connection whole without a server: the socket that `_connect` returns, and the parser's state."""
    made: Any = call.owner
    if _synchronous(made):
        made._sock = Nothing()
    else:
        made._reader = made._writer = Nothing()
    handshake(call, real, known)
    return getattr(made, "_sock", None)


def handshake(call: Call, real: Any, known: Value) -> None:
    """Readies a connection as the handshake does; nothing is sent."""
    made = call.owner
    if int(made.protocol) == 3:
        for resp2, resp3 in PARSERS:
            if isinstance(made._parser, resp2):
                made.set_parser(resp3)
        if hasattr(made, "handshake_metadata"):  # since 5.1, sync only
            made.handshake_metadata = known or {b"server": b"redis", b"version": b"7.4.0", b"proto": 3}
    made._parser.on_connect(made)


def metadata(call: Call, result: Any) -> Value:
    """Returns what the server said of itself, without the id of this one connection."""
    said = getattr(call.owner, "handshake_metadata", None)
    return {key: each for key, each in said.items() if key not in (b"id", "id")} if isinstance(said, dict) else None


def _synchronous(made: Any) -> bool:
    return isinstance(made, redis.connection.AbstractConnection)


def opened(call: Call) -> None:
    """Opens a closed connection, as the sync `can_read` does: a subscriber that lost its own subscribes again there."""
    if _synchronous(call.owner) and call.owner._sock is None:
        call.owner.connect()


def leave(made: Any) -> None:
    """Unmakes a connection: its next use opens it again. Works without the event loop that it was made in."""
    if _synchronous(made):
        made.disconnect()
        return
    made._parser.on_disconnect()
    writer, made._reader, made._writer = made._writer, None, None
    if writer is not None:
        with suppress(RuntimeError):  # the event loop of a live connection is closed
            writer.close()


# -------------------------------------------------------------------------------------------------------------- patches


def _patches() -> Iterator[Patch]:
    opening = Open(stand_in=connect, describe=server, link=connection, leave=leave)
    readying = Open(stand_in=handshake, describe=introduction, encode=metadata, link=connection)
    checking = Open(stand_in=lambda call, real, known: None, link=connection)
    for module, socket_makers in (
        (redis.connection, ("Connection", "SSLConnection", "UnixDomainSocketConnection")),
        (redis.asyncio.connection, ("Connection", "UnixDomainSocketConnection")),
    ):
        for each in socket_makers:
            yield Patch(f"{module.__name__}:{each}._connect", opening)
        known = module.AbstractConnection
        roles: dict[str, Role] = {
            "on_connect_check_health" if hasattr(known, "on_connect_check_health") else "on_connect": readying,
            "_send_ping": checking,
            "send_packed_command": Send(link=connection, describe=describe),
            "can_read" if hasattr(known, "can_read") else "can_read_destructive": Poll(link=connection, opens=opened),
            "read_response": Receive(link=connection, encode=reply, decode=lambda call, value: value),
            "disconnect": Close(link=connection),
        }
        for name, role in roles.items():
            yield Patch(f"{module.__name__}:AbstractConnection.{name}", role)


PLUGIN = Plugin(name="redis", kind="redis", library="redis>=5,<9", patches=tuple(_patches()), encode_error=encode_error)
