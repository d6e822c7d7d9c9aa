"""An application of five outbound calls a request, under gunicorn: how many requests a second it serves."""

from __future__ import annotations

import contextlib
import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.benchmarks import servers
from tests.benchmarks.contest import ROOT, surroundings
from tests.benchmarks.figures import Effort, Figure
from tests.server_process import ServerProcess, free_ports

_CLIENTS = 4
_BIN = Path(sys.executable).parent
_OTEL = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


@contextlib.contextmanager
def _served(name: str, launcher: Sequence[str], more: Mapping[str, str], folder: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    gunicorn = [str(_BIN / "gunicorn"), "--workers", "1", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    process = ServerProcess(
        name,
        [*launcher, *gunicorn, "tests.benchmarks.application:app"],
        ready=lambda: _ask(port) == 200,
        folder=folder,
        directory=ROOT,
        environment={**surroundings(), **more},
    )
    process.start()
    try:
        yield port
    finally:
        process.stop()


def _ask(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def _load(port: int, seconds: float) -> float:
    """Returns requests a second, asked by a few clients at once."""
    until = time.perf_counter() + seconds
    counts = [0] * _CLIENTS

    def ask(client: int) -> None:
        while time.perf_counter() < until:
            assert _ask(port) == 200
            counts[client] += 1

    clients = [threading.Thread(target=ask, args=(client,)) for client in range(_CLIENTS)]
    began = time.perf_counter()
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return sum(counts) / (time.perf_counter() - began)


def serving(effort: Effort) -> Iterator[Figure]:
    """Throughput while recording against OTel alone, and in replay against the plain app with its upstream."""
    with tempfile.TemporaryDirectory(prefix="timetracer-bench-") as name, servers.upstream() as upstream:
        folder = Path(name)
        launcher = [str(_BIN / "opentelemetry-instrument")]
        app = {"BENCH_UPSTREAM": upstream}
        record = {**app, **_OTEL, "TIMETRACER_MODE": "record", "TIMETRACER_CASSETTE_DIR": str(folder / "cassettes")}
        one = {**record, "TIMETRACER_CASSETTE_DIR": str(folder / "one")}
        with _served("first", launcher, one, folder):
            time.sleep(0.1)  # one request is recorded: that which found out that it answers
        replay = {**app, **_OTEL, "TIMETRACER_MODE": "replay", "TIMETRACER_CASSETTE": str(folder / "one")}
        sides = {
            "plain": ([], app),
            "otel": (launcher, {**app, **_OTEL}),
            "record": (launcher, record),
            "replay": ([], replay),
            "spans": (launcher, replay),
        }
        with contextlib.ExitStack() as stack:
            ports = {
                side: stack.enter_context(_served(side, command, more, folder))
                for side, (command, more) in sides.items()
            }
            rates: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(max(2, effort.rounds // 4)):
                for side, port in ports.items():
                    rates[side].append(_load(port, effort.seconds))

    def ratio(side: str, base: str) -> float:
        return statistics.median(one / other for one, other in zip(rates[side], rates[base], strict=True))

    name = "gunicorn, 5 calls a request"
    yield Figure(f"{name}: recording, to OTel alone", ratio("record", "otel"), "x", 0.9, at_least=True)
    yield Figure(f"{name}: replay, to plain and live", ratio("replay", "plain"), "x", 1.3, at_least=True)
    yield Figure(f"{name}: replay with spans, to plain and live", ratio("spans", "plain"), "x", 1.3, at_least=True)
