"""What cassettes cost: writing, loading, redaction, many events, and memory while recording."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import servers
from tests.benchmarks.contest import ROOT, contestant, surroundings
from tests.benchmarks.figures import Effort, Figure
from tests.benchmarks.upstream import answer


def _fastest(run: Callable[[], object], times: int = 5) -> float:
    """Returns seconds of CPU: neighbours on the machine do not count. Waiting for the disk does not, either."""
    seen = []
    for _ in range(times):
        began = time.process_time()
        run()
        seen.append(time.process_time() - began)
    return min(seen)


def events(effort: Effort) -> Iterator[Figure]:
    """One cassette of redis commands: encoded, redacted, dumped and written; read and made ready to answer."""
    from timetracer.config import TraceConfig
    from timetracer.runtime.pipeline import Pipeline, read_card

    count = effort.events
    with tempfile.TemporaryDirectory(prefix="timetracer-bench-") as folder:
        config = TraceConfig(mode="record", cassette_dir=folder)
        session = _recorded(config, count)
        path = Path(folder) / "events.json"
        pipeline = Pipeline(config)
        written = _fastest(lambda: pipeline.save(session.cassette(), path))
        yield Figure(f"a cassette of {count:,} events: written, an event", written / count * 1e6, "us", 20)
        loaded = _fastest(lambda: read_card(path, config))
        yield Figure(f"a cassette of {count:,} events: loaded, an event", loaded / count * 1e6, "us", 12)


def _recorded(config: object, count: int) -> object:
    """Returns a session that recorded `count` commands of redis."""
    from redis.connection import Connection

    from timetracer.engine.recording import Recording
    from timetracer.engine.takes import Take
    from timetracer.outbound.redis import PLUGIN, describe
    from timetracer.plugin import Call
    from timetracer.runtime.pipeline import Pipeline
    from timetracer.runtime.process import terms_of

    session = Recording(terms_of(config, Pipeline(config)))  # type: ignore[arg-type]
    connection = Connection()
    for number in range(count):
        packed = connection.pack_command("GET", f"article:{number % 100}:stock")
        asked = describe(Call(connection, (packed,), {}))
        assert asked is not None
        take = Take(session, PLUGIN, asked)
        session.add(take)
        take.replies, take.left, take.ended = [b"in stock: 12 of 40, reordered on Monday"], 0, take.started + 80_000
    session.end_here()
    return session


def redaction(effort: Effort) -> Iterator[Figure]:
    """Bodies of JSON, each another, as HTTP answers hold them, without a secret and with one: the redactor alone."""
    from timetracer.cassette.bodies import packed
    from timetracer.cassette.model import Body, Cassette, Event, Result, Sent, Signature, Trace
    from timetracer.cassette.redaction import Redactor

    body = answer(10_000).partition(b"\r\n\r\n")[2]

    def event(number: int, secret: bytes) -> Event:
        raw = body.replace(b"article", b"item %d" % number).replace(b'"id"', secret + b'"id"', 1)
        result = Result(status=200, body=Body(raw=[raw]))
        return Event(number, "http.client", Signature("httpx", "GET", "http://shop/articles"), Sent(), result)

    def cassette(secret: bytes) -> Cassette:
        events = [event(number, secret) for number in range(20)]
        return packed(Cassette(trace=Trace(trace_id="0" * 32, root_id="0" * 16), events=events))

    redactor, size = Redactor(), 20 * len(body) / 1000
    for name, secret in (("", b""), (" with a secret in it", b'"token": "c0ffee5a1d", ')):
        seen = []
        for _ in range(5 if effort.rounds > 2 else 1):
            fresh = cassette(secret)
            began = time.process_time()
            redactor.redact(fresh, owned=True)
            seen.append(time.process_time() - began)
        yield Figure(f"redaction, a KB of JSON{name}", min(seen) / size * 1e6, "us", 20)


def growth(effort: Effort) -> Iterator[Figure]:
    """Replayed httpx calls: whether one takes longer among many events than among few."""
    few = 10
    with servers.upstream() as url, contestant("replay", "httpx", f"{url}/100") as play:
        # As many calls of each, few of them at a time, so that nothing but the cassette's size differs.
        small = statistics.median(play(few + 1)["total_cpu"] / few for _ in range(max(10, effort.events // 100)))
        large = min(play(effort.events + 1)["total_cpu"] / effort.events for _ in range(2))
    yield Figure(f"httpx: a replayed call among {effort.events:,} events, to {few}", large / small, "x", 1.1)


_RECORDING = """
import json, resource, sys
import timetracer
from timetracer.config import TraceConfig
from timetracer.engine.door import door
from timetracer.plugin import Inbound
from timetracer.runtime.process import flush
from tests.benchmarks.clients import CALLS
url, folder, calls, record = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "record"
run = CALLS["httpx"](url)
if record:
    timetracer.start(TraceConfig(mode="record", cassette_dir=folder, queue_mb=8))
run(20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(calls // 20):
    with door(lambda: Inbound(type="http.server", method="GET", target="/")):
        run(20)
print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
"""


def memory(effort: Effort) -> Iterator[Figure]:
    """Peak memory over OTel alone while more is recorded than the queue holds."""
    peaks = {}
    with servers.upstream() as url, tempfile.TemporaryDirectory(prefix="timetracer-bench-") as folder:
        for side in ("alone", "record"):
            command = [sys.executable, "-c", _RECORDING, f"{url}/100000", folder, str(effort.calls * 2), side]
            done = subprocess.run(command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=True)
            peaks[side] = json.loads(done.stdout.splitlines()[-1])
    yield Figure("memory while recording 100 KB answers, queue of 8 MB", peaks["record"] - peaks["alone"], "MB", 32)
