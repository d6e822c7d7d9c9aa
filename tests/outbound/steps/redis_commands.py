"""What an app sends with redis-py: every kind of command, pipelines, scripts, locks, in both protocols."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio

from tests.outbound.steps import Steps
from tests.outbound.steps.redis_clients import client, never, outcome, pooled

steps = Steps()


@steps
def flush() -> object:
    """An empty database to begin with."""
    return pooled().flushall()


@steps
def strings() -> object:
    """Set, get, and a key that is not there."""
    r = pooled()
    return [r.set("s", "value"), r.get("s"), r.get("missing"), r.exists("s", "missing"), r.delete("s"), r.get("s")]


@steps
def identical_calls() -> object:
    """The same call, answered differently each time."""
    r = pooled()
    return [r.get("twice"), r.set("twice", 1), r.get("twice"), r.incr("twice"), r.incr("twice"), r.get("twice")]


@steps
def binary() -> object:
    """Bytes outside every text encoding, line ends, an empty value."""
    r = pooled()
    values = [b"\x00\xff\xfe", b"a\r\nb\r\n", b"", b"$3\r\nabc\r\n"]
    return [[r.set(b"b\r\n%d" % i, value), r.get(b"b\r\n%d" % i)] for i, value in enumerate(values)]


@steps
def large() -> object:
    """A value past redis-py's buffer cutoff, sent in several pieces, and a memoryview."""
    r = pooled()
    r.set("large", b"x" * 20_000 + b"\r\n")
    return [r.strlen("large"), r.get("large"), r.set("view", memoryview(b"seen")), r.get("view")]


@steps
def integers() -> object:
    """Counters, to the edge of 64 bits."""
    r = pooled()
    return [
        r.incr("i"),
        r.incrby("i", 41),
        r.decr("i"),
        r.incrbyfloat("f", 1.5),
        r.set("big", 2**63 - 1),
        r.get("big"),
        outcome(lambda: r.incr("big")),
    ]


@steps
def expiry() -> object:
    """Time to live, and the options of SET."""
    r = pooled()
    return [
        r.set("e", 1, ex=100),
        r.ttl("e"),
        r.persist("e"),
        r.ttl("e"),
        r.set("e", 2, nx=True),
        r.set("e", 3, get=True),
    ]


@steps
def several() -> object:
    """Many keys in one command."""
    r = pooled()
    return [r.mset({"m1": "a", "m2": b"\xff"}), r.mget("m1", "m2", "m3"), r.getrange("m1", 0, 0), r.append("m1", "b")]


@steps
def hashes() -> object:
    """Hashes, whole and in part."""
    r = pooled()
    return [
        r.hset("h", mapping={"a": 1, "b": 2.5, "c": b"\x00"}),
        r.hgetall("h"),
        r.hmget("h", "a", "z"),
        r.hincrby("h", "a"),
        r.hlen("h"),
        r.hgetall("nothing"),
    ]


@steps
def lists() -> object:
    """Lists."""
    r = pooled()
    return [r.rpush("l", "a", "b", "c"), r.lrange("l", 0, -1), r.lpop("l"), r.rpop("l", 2), r.lpop("l"), r.llen("l")]


@steps
def sets() -> object:
    """Sets, whose order is the server's."""
    r = pooled()
    return [
        r.sadd("set", "a", "b"),
        sorted(r.smembers("set")),
        r.sismember("set", "a"),
        r.srem("set", "b"),
        r.scard("set"),
    ]


@steps
def sorted_sets() -> object:
    """Scores come back as floats."""
    r = pooled()
    r.zadd("z", {"one": 1, "half": 0.5, "inf": float("inf")})
    return [
        r.zrange("z", 0, -1, withscores=True),
        r.zscore("z", "half"),
        r.zscore("z", "no"),
        r.zrank("z", "one"),
        r.zincrby("z", 0.1, "half"),
        r.zpopmin("z"),
    ]


@steps
def geography_and_bits() -> object:
    """Geo, bitmaps and HyperLogLog."""
    r = pooled()
    r.geoadd("geo", (13.361389, 38.115556, "Palermo"))
    return [
        r.geopos("geo", "Palermo", "Nowhere"),
        r.setbit("bits", 7, 1),
        r.bitcount("bits"),
        r.pfadd("hll", "a"),
        r.pfcount("hll"),
    ]


@steps
def streams() -> object:
    """Stream ids made by the server."""
    r = pooled()
    ids = [r.xadd("x", {"n": n}) for n in range(3)]
    r.xgroup_create("x", "group", id="0")
    read = r.xreadgroup("group", "worker", {"x": ">"}, count=2)
    return [
        ids,
        r.xlen("x"),
        r.xrange("x"),
        r.xread({"x": ids[0]}, block=50),
        r.xread({"x": "$"}, block=20),
        read,
        r.xack("x", "group", ids[0]),
        r.xpending("x", "group"),
        r.xinfo_stream("x"),
    ]


@steps
def scripts() -> object:
    """EVAL, EVALSHA, and the reload after NOSCRIPT."""
    r = pooled()
    script = r.register_script("return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}")
    first = script(keys=["n:script"], args=["x"])
    r.script_flush()
    return [
        first,
        script(keys=["n:script"], args=["y"]),
        r.eval("return redis.call('GET', KEYS[1])", 1, "n:script"),
        outcome(lambda: r.evalsha("f" * 40, 0)),
        outcome(lambda: r.eval("return redis.error_reply('MINE own')", 0)),
        r.script_exists("f" * 40),
    ]


@steps
def pipeline_transaction() -> object:
    """MULTI and EXEC, sent at once."""
    return pooled().pipeline().set("p", 1).incr("p").get("p").hgetall("h").execute()


@steps
def pipeline_plain() -> object:
    """Many commands without a transaction."""
    pipe = pooled().pipeline(transaction=False)
    for n in range(200):
        pipe.set(f"pp{n}", f"a\r\n{n}")
    return pipe.get("pp7").execute()


@steps
def pipeline_errors() -> object:
    """An error among the answers, kept or raised, in a transaction or not."""
    r = pooled()
    r.set("text", "x")
    return [
        r.pipeline().incr("text").set("after", 1).execute(raise_on_error=False),
        outcome(lambda: r.pipeline().incr("text").execute()),
        outcome(lambda: r.pipeline(transaction=False).set("after", 2).incr("text").execute()),
        r.pipeline(transaction=False).incr("text").get("after").execute(raise_on_error=False),
        outcome(lambda: r.pipeline().execute_command("SET", "one").execute()),
    ]


@steps
def watch() -> object:
    """A transaction on a watched key that stays as it was."""
    r = pooled()
    r.set("w", 5)

    def double(pipe: Any) -> None:
        value = int(pipe.get("w"))
        pipe.multi()
        pipe.set("w", value * 2)

    return [r.transaction(double, "w"), r.get("w")]


@steps
def watch_broken() -> object:
    """A watched key that changes: the error, and then the retry that succeeds."""
    r, other = pooled(), client()
    with r.pipeline() as pipe:
        pipe.watch("w")
        before = pipe.get("w")
        other.set("w", 1)
        pipe.multi()
        pipe.set("w", 2)
        broken = outcome(pipe.execute)
        pipe.watch("w")
        pipe.multi()
        pipe.get("w")
        return [before, broken, pipe.execute()]


@steps
def lock() -> object:
    """A lock's token is made anew in each run, and the server has to know it."""
    r = pooled()
    held, rival = r.lock("lock", timeout=30), r.lock("lock", timeout=30)
    seen = [held.acquire(blocking=False), held.owned(), rival.acquire(blocking=False), rival.owned()]
    seen += [held.extend(10), held.reacquire(), outcome(rival.release), held.release(), held.owned(), r.exists("lock")]
    with r.lock("lock", timeout=30, blocking_timeout=1) as again:
        seen.append(again.owned())
    return seen


@steps
def blocking_pops() -> object:
    """BLPOP that finds something, and that finds nothing."""
    r = pooled()
    r.rpush("queue", "a", "b")
    return [r.blpop(["queue"], timeout=1), r.brpop("queue", timeout=1), r.blpop(["queue"], timeout=0.05)]


@steps
def scans() -> object:
    """Cursors, whole."""
    r = pooled()
    r.hset("hs", mapping={f"f{n}": n for n in range(5)})
    return [sorted(r.scan_iter("pp*", count=50)), sorted(r.hscan_iter("hs")), sorted(r.sscan_iter("set"))]


@steps
def errors() -> object:
    """Errors of the server, by class and text."""
    r = pooled()
    r.set("str", "x")
    return [
        outcome(lambda: r.lpush("str", 1)),
        outcome(lambda: r.execute_command("NOSUCH", "a")),
        outcome(lambda: r.execute_command("GET")),
        outcome(lambda: r.incr("str")),
        outcome(lambda: r.execute_command("AUTH", "nobody", "n0t-the-one-77")),
        outcome(lambda: r.config_set("nosuch", 1)),
    ]


@steps
def raises() -> object:
    """An error that leaves the step, with its span."""
    return pooled().hgetall("str")


@steps
def server_commands() -> object:
    """INFO and others that a response callback takes apart."""
    r = pooled()
    return [
        r.info("server")["redis_version"],
        r.dbsize() > 0,
        r.config_get("maxmemory-policy"),
        r.echo("hi"),
        r.ping(),
        r.type("str"),
        r.object("encoding", "str"),
        r.client_getname(),
        r.time(),
        len(r.command()) > 100,
    ]


@steps
def not_decoded() -> object:
    """DUMP and RESTORE, which are never decoded."""
    r = client(decode_responses=True)
    r.set("dumped", "é")
    return [r.get("dumped"), r.restore("restored", 0, r.dump("dumped") or b"", replace=True), r.get("restored")]


def _typical(r: redis.Redis) -> object:
    r.delete("t", "th", "tz", "ts")
    r.sadd("ts", "m")
    return [
        r.set("t", "v"),
        r.get("t"),
        r.hset("th", mapping={"a": 1}),
        r.hgetall("th"),
        r.zadd("tz", {"m": 1.5}),
        r.zrange("tz", 0, -1, withscores=True),
        r.smembers("ts"),
        r.pipeline().get("t").hgetall("th").execute(),
        outcome(lambda: r.incr("t")),
        r.config_get("maxmemory"),
        r.get("none"),
        r.xadd("tx", {"a": "b"}),
    ]


@steps
def resp2() -> object:
    """The old protocol."""
    return _typical(client(protocol=2))


@steps
def resp3() -> object:
    """The new protocol."""
    return _typical(client(protocol=3))


@steps
def resp2_decoded() -> object:
    """The old protocol, as text."""
    return _typical(client(protocol=2, decode_responses=True))


@steps
def resp3_decoded() -> object:
    """The new protocol, as text."""
    return _typical(client(protocol=3, decode_responses=True))


@steps
def undecodable() -> object:
    """A value that is no UTF-8 fails while the answer is read."""
    pooled().set("latin", b"\xe9")
    return outcome(lambda: client(decode_responses=True, retry=never()).get("latin"))
