"""The tests' own servers: they start, restart on their port, end with the tests, and say what is missing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.server_process import free_ports, wait_until
from tests.services import REPOSITORY, Collector, PostgresServer, RedisServer, Upstream

# The client tries again, with pauses, unless told otherwise.
ONCE = Retry(NoBackoff(), 0)

ASKS_FOR_A_MISSING_SERVER = """
import pytest
from tests.services import find_binary

@pytest.fixture
def server():
    return find_binary("no-such-server", "the Debian package nonesuch")

def test_that_wants_it(server):
    raise AssertionError("never reached")
"""

STARTS_A_REDIS = """
import sys, time
from pathlib import Path
from tests.services import start_redis
print(start_redis(Path(sys.argv[1])).port, flush=True)
time.sleep(60)
"""


def test_redis_answers_and_restarts_on_its_port(redis_server: RedisServer) -> None:
    """A stopped redis refuses connections; started again it is empty, another process, on the same port."""
    with redis.Redis.from_url(redis_server.url, retry=ONCE) as client:
        assert client.set("timetracer:services", "1")
        first = redis_server.pid
        redis_server.stop()
        with pytest.raises(redis.ConnectionError):
            client.get("timetracer:services")
        redis_server.start()
        assert client.get("timetracer:services") is None
        assert redis_server.pid != first


def test_redis_with_a_password_asks_for_it(redis_password_server: RedisServer) -> None:
    """The second redis refuses a client without its password and takes the one with it."""
    server = redis_password_server
    stranger = redis.Redis(host=server.host, port=server.port, retry=ONCE)
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis.from_url(server.url) as friend:
        assert friend.ping()


def test_postgres_keeps_its_data_over_a_restart(postgres_server: PostgresServer) -> None:
    """PostgreSQL runs, root or not, and what was committed is there after stop and start."""
    with psycopg.connect(postgres_server.dsn) as connection:
        connection.execute("create table if not exists services_test as select 7 as kept")
    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_server.url, connect_timeout=2)
    postgres_server.start()
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.execute("select kept from services_test").fetchone() == (7,)
        connection.execute("drop table services_test")


def test_spans_sent_by_otlp_arrive_in_the_collectors_file(collector: Collector) -> None:
    """The real collector, started with the repository's own file, writes down a span sent by OTLP over HTTP."""
    provider = TracerProvider(resource=Resource.create({"service.name": "services-test"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces")))
    provider.get_tracer("tests").start_span("hello").end()
    provider.shutdown()
    assert [span["name"] for span in collector.wait_for_spans(1, "services-test")] == ["hello"]
    assert collector.spans("another service") == []


def test_upstream_stops_restarts_and_pauses(upstream: Upstream) -> None:
    """The upstream answers, is refused when stopped, answers on the same port again, and hangs when paused."""
    assert httpx.get(f"{upstream.url}/json").json()["message"] == "hello"
    upstream.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{upstream.url}/json")
    upstream.start()
    assert httpx.get(f"{upstream.url}/json").status_code == 200
    upstream.pause()
    try:
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{upstream.url}/json", timeout=0.2)
    finally:
        upstream.resume()
    assert httpx.get(f"{upstream.url}/json").status_code == 200


def test_a_server_ends_when_the_tests_are_killed(tmp_path: Path) -> None:
    """Even SIGKILL, which leaves no time to clean up, leaves no server behind."""
    command = [sys.executable, "-c", STARTS_A_REDIS, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        port = int(tests.stdout.readline())
        tests.send_signal(signal.SIGKILL)

    def refused() -> bool:
        with socket.socket() as knock:
            return knock.connect_ex(("127.0.0.1", port)) != 0

    wait_until(refused, 5, "the orphaned redis to end")


@pytest.mark.parametrize(("wanted", "outcome", "code"), [("", "1 skipped", 0), ("all", "1 error", 1)])
def test_a_missing_server_skips_or_fails(tmp_path: Path, wanted: str, outcome: str, code: int) -> None:
    """Without the binary a test is skipped and the summary says why; where all services are asked for, it fails."""
    (tmp_path / "test_it.py").write_text(ASKS_FOR_A_MISSING_SERVER)
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"} | {
        "PYTHONPATH": str(REPOSITORY),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "TIMETRACER_TEST_SERVICES": wanted,
    }
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.services", "-p", "no:cacheprovider", "--rootdir", tmp_path],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == code, run.stdout
    assert outcome in run.stdout
    assert "no-such-server was not found; it comes with the Debian package nonesuch" in run.stdout
    if not wanted:
        assert "skipped for want of a service" in run.stdout
        assert "test_it.py::test_that_wants_it" in run.stdout.partition("skipped for want of a service")[2]


def test_free_ports_are_distinct() -> None:
    """Ports that are asked for together differ."""
    assert len(set(free_ports(20))) == 20


def test_waiting_in_vain_says_for_what() -> None:
    """A wait that ends without success names what it waited for."""
    with pytest.raises(TimeoutError, match=r"waited 0\.05 s for the moon"):
        wait_until(lambda: False, 0.05, "the moon")
