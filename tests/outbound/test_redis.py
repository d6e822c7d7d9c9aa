"""redis-py: what a replayed app sees equals what it saw live, and a connection is wholly live or wholly a stand-in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

import timetracer
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant
from tests.services import RedisServer, start_redis
from timetracer.errors import NoMatch, UnsupportedError
from timetracer.outbound.redis import PLUGIN, commands, describe, reply
from timetracer.plugin import Call, Request

SUITE = Suite("tests.outbound.steps.redis", instrumentors=("redis",))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings, made while the server ran."""
    server = start_redis(tmp_path_factory.mktemp("redis-server"))
    try:
        return SUITE.record_both(tmp_path_factory.mktemp("redis"), {"redis": server.url})
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A redis that these tests may stop."""
    started = start_redis(tmp_path_factory.mktemp("redis-live"))
    yield started
    started.stop()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    """One client, as an app keeps it, on an empty database."""
    with redis.Redis.from_url(server.url) as made:
        made.flushall()
        yield made


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the server gone."""
    SUITE.check(recordings, variant)


def _set_and_get(client: redis.Redis, value: str) -> object:
    return [client.set("key", value), client.get("key"), client.pipeline().get("key").incr("count").execute()]


def test_one_client_passes_between_worlds(client: redis.Redis, tmp_path: Path) -> None:
    """A pooled connection that was live is left when a replay uses it, and opened again afterwards."""
    cassette = tmp_path / "c.json"
    with timetracer.record(cassette):
        recorded = _set_and_get(client, "same")
    for _ in range(3):
        client.mset({"key": "live", "count": 41})
        with timetracer.replay(cassette):
            assert _set_and_get(client, "same") == recorded
        assert client.get("key") == b"live"
        assert client.incr("count") == 42


def test_one_asyncio_client_passes_between_worlds(server: RedisServer, tmp_path: Path) -> None:
    """The same for asyncio, where leaving must work without awaiting."""
    cassette = tmp_path / "c.json"

    async def main() -> None:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            with timetracer.record(cassette):
                await client.set("akey", "recorded")
                recorded = await client.get("akey")
            await client.set("akey", "live")
            with timetracer.replay(cassette):
                await client.set("akey", "recorded")
                assert await client.get("akey") == recorded
            assert await client.get("akey") == b"live"

    asyncio.run(main())


def test_live_and_replayed_calls_share_a_pool(client: redis.Redis, tmp_path: Path) -> None:
    """Two threads on one client, one live and one replayed, never get each other's answers."""
    cassette = tmp_path / "c.json"
    with timetracer.record(cassette):
        recorded = _set_and_get(client, "replayed")
    client.set("count", 0)
    seen: dict[str, list[Any]] = {"live": [], "replayed": []}

    def live() -> None:
        for _ in range(150):
            seen["live"].append([client.set("key", "live"), client.get("key"), client.incr("count")])

    def replayed() -> None:
        for _ in range(150):
            with timetracer.replay(cassette):
                seen["replayed"].append(_set_and_get(client, "replayed"))

    threads = [threading.Thread(target=each) for each in (live, replayed)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert seen["live"] == [[True, b"live", n + 1] for n in range(150)]
    assert seen["replayed"] == [recorded] * 150


def test_replay_needs_no_server(server: RedisServer, tmp_path: Path) -> None:
    """A client that was connected replays after the server went away, and works when it is back."""
    cassette = tmp_path / "c.json"
    with redis.Redis.from_url(server.url) as client:
        with timetracer.record(cassette):
            client.set("gone", 1)
        server.stop()
        try:
            with timetracer.replay(cassette):
                assert client.set("gone", 1) is True
        finally:
            server.start()
        assert client.get("gone") is None


def test_miss_reaches_no_server(client: redis.Redis, tmp_path: Path) -> None:
    """A command that was not recorded is an error and changes nothing, in the middle of a replayed WATCH too."""
    cassette = tmp_path / "c.json"
    client.set("watched", 1)
    with timetracer.record(cassette), client.pipeline() as pipe:
        pipe.watch("watched")
        pipe.get("watched")

    def replayed() -> None:
        with timetracer.replay(cassette), client.pipeline() as pipe:
            pipe.watch("watched")
            assert pipe.get("watched") == b"1"
            pipe.multi()
            pipe.set("watched", 2)
            with pytest.raises(NoMatch):
                pipe.execute()

    with pytest.raises(NoMatch, match="PIPELINE"):  # once more at the end, lest the app swallowed it
        replayed()
    assert client.get("watched") == b"1"


def test_answers_are_kept_as_they_came(client: redis.Redis, tmp_path: Path) -> None:
    """An app that changes what it got does not change what was recorded."""
    cassette = tmp_path / "c.json"
    client.hset("h", "a", "1")
    with timetracer.record(cassette):
        client.hgetall("h").clear()
    with timetracer.replay(cassette):
        assert client.hgetall("h") == {b"a": b"1"}


def _describe(*arguments: Any) -> Request | None:
    connection = redis.Connection(db=3)
    return describe(Call(connection, (connection.pack_command(*arguments),)))


def test_a_command_is_described_by_its_arguments() -> None:
    """The database is the target, the name is folded, and one reply is expected."""
    request = _describe("get", "key")
    assert request is not None
    assert (request.type, request.method, request.target, request.replies) == ("cache.command", "GET", "3", 1)
    assert request.fields == {"commands": [[b"get", b"key"]]}


@pytest.mark.parametrize("name", ["SUBSCRIBE", "punsubscribe", "MONITOR"])
def test_subscriptions_are_streams(name: str) -> None:
    """No count of replies can be expected of a subscription."""
    request = _describe(name, "channel")
    assert request is not None
    assert request.replies is None


@pytest.mark.parametrize(
    ("arguments", "shared"),
    [
        (("HELLO", 3), True),
        (("CLIENT SETINFO", "LIB-NAME", "x"), True),
        (("COMMAND",), True),
        (("CLUSTER SLOTS",), True),
        (("CLIENT", "LIST"), False),
        (("CLUSTER", "FAILOVER"), False),
        (("GET", "x"), False),
    ],
)
def test_what_belongs_to_connections_is_shared(arguments: tuple[Any, ...], shared: bool) -> None:
    """Preamble and topology answer as often as they are asked; nothing else does."""
    request = _describe(*arguments)
    assert request is not None
    assert request.shared is shared


def test_client_side_caching_is_refused() -> None:
    """Invalidations come at no call's bidding, so a cached value could outlive its recording."""
    with pytest.raises(UnsupportedError, match="CLIENT TRACKING"):
        _describe("CLIENT", "TRACKING", "ON")


def test_a_subscribers_health_check_is_no_event() -> None:
    """It is due by the clock and answered in the stream."""
    assert _describe("PING", redis.client.PubSub.HEALTH_CHECK_MESSAGE) is None


def test_an_iterator_of_packed_commands_is_not_consumed() -> None:
    """What the connection has yet to write is left alone."""
    packed = iter([b"*1\r\n$4\r\nPING\r\n"])
    with pytest.raises(UnsupportedError, match="list_iterator"):
        commands(packed)
    assert next(packed)


@given(st.lists(st.lists(st.binary(max_size=20), min_size=1).map(lambda rest: [b"NAME", *rest]), min_size=1))
def test_packed_commands_are_parsed_exactly(sent: list[list[bytes]]) -> None:
    """Line ends, empty and large arguments come back as they were sent, alone or in a pipeline."""
    connection = redis.Connection()
    assert commands(connection.pack_commands(sent)) == sent
    assert [commands(connection.pack_command(*each)) for each in sent] == [[each] for each in sent]


def test_large_arguments_come_in_pieces() -> None:
    """Past the buffer's cutoff, and as memoryviews, arguments are packed in several chunks."""
    connection = redis.Connection()
    large = b"\r\n" * 10_000
    assert commands(connection.pack_command("SET", "key", large)) == [[b"SET", b"key", large]]
    assert commands(connection.pack_command("SET", "key", memoryview(b"seen"))) == [[b"SET", b"key", b"seen"]]


def test_errors_among_replies_are_copied() -> None:
    """A pipeline writes the number of the command into the error that it caught."""
    caught = redis.ResponseError("wrong")
    caught.__cause__ = ValueError("why")
    kept = reply(Call(None), [b"1", {b"k": [caught]}])
    caught.args = ("Command # 1 caused error: wrong",)
    copied = kept[1][b"k"][0]
    assert copied.args == ("wrong",)
    assert copied.__cause__ is caught.__cause__
    raised = PLUGIN.encode_error(Call(None), caught)
    assert raised is not caught
    assert raised.args == caught.args


def test_every_patch_is_there() -> None:
    """Each private name that the plugin leans on exists in this version of redis-py."""
    import importlib

    for patch in PLUGIN.patches:
        module, _, path = patch.target.partition(":")
        owner, _, name = path.partition(".")
        assert name in vars(getattr(importlib.import_module(module), owner)), patch.target
