"""What redis-py does with its connections: pools, pub/sub, health checks, and everything that can go wrong."""

from __future__ import annotations

import threading
from typing import Any

import redis
import redis.asyncio
from opentelemetry import context, trace
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.outbound.steps import Steps
from tests.outbound.steps.redis_clients import client, never, outcome, pooled, server

steps = Steps()


@steps
def database_and_name() -> object:
    """SELECT and CLIENT SETNAME in the handshake."""
    r = client(db=3, client_name="tests")
    return [r.set("only", "here"), r.get("only"), r.client_getname(), pooled().get("only"), r.flushdb()]


@steps
def single_connection() -> object:
    """A client with one connection of its own."""
    with client(single_connection_client=True) as r:
        return [r.set("single", 1), r.incr("single"), r.get("single")]


@steps
def blocking_pool() -> object:
    """A pool that waits for a free connection."""
    pool = redis.BlockingConnectionPool.from_url(server(), max_connections=1, timeout=1)
    r = redis.Redis(connection_pool=pool)
    seen = [r.set("bp", 1), r.get("bp"), r.incr("bp")]
    pool.disconnect()
    return [*seen, r.get("bp")]


@steps
def health_checks() -> object:
    """A ping before each command, due by the clock."""
    r = client(health_check_interval=0.001)
    return [[r.set("hc", n), r.get("hc")] for n in range(3)]


def _messages(r: redis.Redis) -> object:
    seen: list[Any] = []
    with r.pubsub() as listener:
        listener.subscribe("news")
        seen += [listener.get_message(timeout=1), listener.get_message(timeout=0.02)]
        seen += [r.publish("news", "one"), listener.get_message(timeout=1), listener.get_message(timeout=0.02)]
        listener.psubscribe("n*")
        seen += [listener.get_message(timeout=1), r.publish("news", "two")]
        seen += [listener.get_message(timeout=1), listener.get_message(timeout=1)]
        listener.unsubscribe("news")
        seen += [listener.get_message(timeout=1), r.publish("nobody", "x"), listener.get_message(timeout=1)]
        listener.punsubscribe()
        seen += [listener.get_message(timeout=1), listener.subscribed]
    return seen


@steps
def pubsub_resp2() -> object:
    """Messages, patterns and empty polls in the old protocol."""
    return _messages(client(protocol=2))


@steps
def pubsub_resp3() -> object:
    """Messages, patterns and empty polls in the new protocol."""
    return _messages(client(protocol=3))


@steps
def pubsub_listen() -> object:
    """A loop over messages, and a handler."""
    r = pooled()
    handled: list[Any] = []
    listener = r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("loop", handled_channel=handled.append)
    listener.get_message(timeout=1)
    listener.get_message(timeout=1)
    r.publish("handled_channel", "to the handler")
    r.publish("loop", "1")
    r.publish("loop", "2")
    seen: list[Any] = []
    for message in listener.listen():
        seen.append(message)
        if len(seen) == 2:
            break
    listener.close()
    return [seen, handled]


@steps
def pubsub_reconnects() -> object:
    """A subscriber whose connection is killed is made again, and subscribed again."""
    r = client(protocol=2)
    listener = client(protocol=2, retry=Retry(NoBackoff(), 2), retry_on_error=[redis.ConnectionError]).pubsub()
    listener.subscribe("again")
    seen = [listener.get_message(timeout=1), r.client_kill_filter(_type="pubsub")]
    seen += [outcome(lambda: listener.get_message(timeout=1)), r.publish("again", "back")]
    seen += [listener.get_message(timeout=1), listener.get_message(timeout=0.02)]
    listener.close()
    return seen


@steps
def pubsub_looks_on_a_lost_connection() -> object:
    """A subscriber that tells its loss is connected, and subscribed, by the next look for a message."""
    r = client(protocol=2)
    listener = client(protocol=2, retry=never()).pubsub()
    listener.subscribe("lost")
    seen = [listener.get_message(timeout=1), r.client_kill_filter(_type="pubsub")]
    seen += [outcome(lambda: listener.get_message(timeout=1)), listener.get_message(timeout=1)]
    seen += [r.publish("lost", "back"), listener.get_message(timeout=1), listener.get_message(timeout=0.02)]
    listener.close()
    return seen


@steps
def pubsub_health() -> object:
    """A subscriber that pings by the clock."""
    r = client(health_check_interval=0.001)
    listener = r.pubsub()
    listener.subscribe("healthy")
    seen: list[Any] = []
    while len(seen) < 2:
        message = listener.get_message(timeout=1)
        if message is not None:
            seen.append(message)
            r.publish("healthy", "ping")
    listener.close()
    return seen


@steps
def refused() -> object:
    """Nobody listens."""
    return outcome(lambda: redis.Redis(host="127.0.0.1", port=1, retry=never()).get("x"))


@steps
def refused_retried() -> object:
    """Nobody listens, three times."""
    r = redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 2))
    return [outcome(lambda: r.get("x")), outcome(lambda: r.pipeline().get("x").execute())]


@steps
def unknown_host() -> object:
    """A name that does not resolve."""
    return outcome(lambda: redis.Redis(host="no-such-host.invalid", retry=never()).get("x"))


@steps
def no_unix_socket() -> object:
    """A unix socket that is not there."""
    return outcome(lambda: redis.Redis(unix_socket_path="/nonexistent/redis.sock", retry=never()).get("x"))


@steps
def wrong_password() -> object:
    """The handshake fails."""
    return outcome(lambda: client(username="nobody", password="n0t-the-one-77", retry=never()).get("x"))


@steps
def timeout() -> object:
    """The server is slower than the socket's timeout; the client works on."""
    r = client(socket_timeout=0.05, retry=never())
    return [outcome(lambda: r.blpop(["never"], timeout=1)), r.set("works", "on"), r.get("works")]


@steps
def killed() -> object:
    """A connection that the server closed, without a retry, then with one."""
    admin = pooled()
    seen: list[Any] = []
    for retry in (never(), Retry(NoBackoff(), 1)):
        r = client(single_connection_client=True, retry=retry)
        r.client_setname("victim")
        victim = next(each["id"] for each in admin.client_list() if each["name"] == "victim")
        seen += [
            admin.client_kill_filter(_id=victim),
            outcome(lambda r=r: r.get("str")),
            outcome(lambda r=r: r.get("str")),
        ]
        r.close()
    return seen


@steps
def monitor() -> object:
    """What MONITOR shows, as it comes."""
    other = client()
    other.get("ready")
    with client().monitor() as watching:
        other.get("watched")
        return watching.next_command()["command"]


@steps
def threads() -> object:
    """A pool used by three threads, each with keys of its own."""
    # Without a parent: spans of several threads begin in no order that could be compared.
    r, seen = pooled(), {}
    here = trace.set_span_in_context(trace.INVALID_SPAN)

    def work(name: str) -> None:
        context.attach(here)
        seen[name] = [[r.set(f"thread:{name}", n), r.get(f"thread:{name}")] for n in range(5)]

    started = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for each in started:
        each.start()
    for each in started:
        each.join()
    return sorted(seen.items())


@steps
def lost_and_found() -> object:
    """A server that goes away under a connection, fails the retry's reconnect, and comes back."""
    r = client(single_connection_client=True, retry=Retry(NoBackoff(), 1))
    r.set("lost", 1)
    connection: Any = r.connection
    port, connection.port = connection.port, 1
    pooled().client_kill_filter(_id=r.client_id())
    seen = [outcome(lambda: r.get("lost"))]
    connection.port = port
    return [*seen, r.get("lost"), pooled().get("lost")]
