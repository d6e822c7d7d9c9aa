"""The private servers of the tests: redis, PostgreSQL, the OpenTelemetry Collector and the HTTP upstream as fixtures.

A pytest plugin: the root `tests/conftest.py` names it in `pytest_plugins`. Every server listens on free loopback ports,
keeps its files in a folder of its own, and is ended by its pid. Each xdist worker starts its own set, and only what its
tests ask for, so no test waits for a server that it does not use and no two workers see each other's data.

A server is shared by the tests of a session. A test that stops or pauses one starts it again (same port) at its end.

Where a binary is missing, the tests that need it are skipped, with a reason that names the binary and its Debian
package, and the summary lists them. With `TIMETRACER_TEST_SERVICES=all` such a skip is a failure.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import Any, NoReturn

import pytest

from tests.server_process import ServerProcess, free_ports, wait_until

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
REASON = "no service:"


class _Handle:
    """What every server offers: its pid, and being stopped, started again on the same port, paused and resumed."""

    __slots__ = ()
    process: ServerProcess

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """End the server; connections are refused until `start`."""
        self.process.stop()

    def start(self) -> None:
        """Start the server again on the same port; nothing happens if it runs."""
        self.process.start()

    def restart(self) -> None:
        self.process.stop()
        self.process.start()

    def pause(self) -> None:
        """Make it a black hole: the kernel still accepts connections, nobody answers."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()


@dataclass(frozen=True, slots=True)
class RedisServer(_Handle):
    """A redis without persistence: a stop loses its data."""

    host: str
    port: int
    url: str
    password: str | None
    process: ServerProcess


@dataclass(frozen=True, slots=True)
class PostgresServer(_Handle):
    """A PostgreSQL that trusts everybody on loopback; its data survives stop and start."""

    host: str
    port: int
    user: str
    database: str
    url: str
    dsn: str
    process: ServerProcess


@dataclass(frozen=True, slots=True)
class Collector(_Handle):
    """A real OpenTelemetry Collector that appends what it receives to `path`, one JSON object a line."""

    host: str
    port: int
    grpc_port: int
    url: str
    grpc_url: str
    path: Path
    process: ServerProcess

    def text(self) -> str:
        """Everything that arrived, as it stands in the file."""
        return self.path.read_text(encoding="utf-8") if self.path.exists() else ""

    def spans(self, service: str | None = None) -> list[dict[str, Any]]:
        """The spans that arrived (of one `service.name`, where given), in OTLP's JSON form."""
        return list(self._items("resourceSpans", "scopeSpans", "spans", service))

    def logs(self, service: str | None = None) -> list[dict[str, Any]]:
        return list(self._items("resourceLogs", "scopeLogs", "logRecords", service))

    def metrics(self, service: str | None = None) -> list[dict[str, Any]]:
        return list(self._items("resourceMetrics", "scopeMetrics", "metrics", service))

    def wait_for_spans(self, count: int, service: str | None = None, *, seconds: float = 10.0) -> list[dict[str, Any]]:
        """Wait until at least `count` spans arrived and give them all."""
        wait_until(lambda: len(self.spans(service)) >= count, seconds, f"{count} spans of {service or 'any service'}")
        return self.spans(service)

    def _items(self, resources: str, scopes: str, items: str, service: str | None) -> Iterator[dict[str, Any]]:
        # The last line may still be in the making.
        complete = self.text().rpartition("\n")[0]
        for line in complete.splitlines():
            for resource in json.loads(line).get(resources, ()):
                attributes = resource.get("resource", {}).get("attributes", ())
                names = [a["value"].get("stringValue") for a in attributes if a["key"] == "service.name"]
                if service is None or service in names:
                    for scope in resource.get(scopes, ()):
                        yield from scope.get(items, ())


@dataclass(frozen=True, slots=True)
class Upstream(_Handle):
    """The HTTP upstream process; see tests/outbound/upstream.py for its routes."""

    host: str
    port: int
    url: str
    https_port: int
    https_url: str
    ca_file: Path
    proxy_url: str
    refused_url: str
    process: ServerProcess


# -- finding binaries --------------------------------------------------------------------------------------------------


def find_binary(name: str, package: str, *candidates: Path) -> Path:
    """Find a server's binary among `candidates` and on PATH; skip the test (or fail it) where there is none.

    Args:
        name: the binary, as PATH knows it.
        package: what to install on Debian, or how else to get it; part of the reason.
        candidates: places to look at before PATH.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/bin:/usr/bin")
    for candidate in (*candidates, *([Path(found)] if found else [])):
        if os.access(candidate, os.X_OK):
            return candidate
    return missing_service(name, package)


def missing_service(name: str, package: str) -> NoReturn:
    """Skip the running test for want of a service; with TIMETRACER_TEST_SERVICES=all, fail it."""
    reason = f"{REASON} {name} was not found; it comes with {package}"
    if os.environ.get("TIMETRACER_TEST_SERVICES") == "all":
        pytest.fail(f"{reason} (TIMETRACER_TEST_SERVICES=all makes this a failure)", pytrace=False)
    pytest.skip(reason)


def _postgres_binary(name: str) -> Path:
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(Path(path).parent.name))[::-1]
    pg_config = shutil.which("pg_config")
    if pg_config:
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(answer.stdout.strip())
    return find_binary(name, "the Debian package postgresql", *(Path(folder, name) for folder in folders))


def _collector_binary() -> Path:
    config = REPOSITORY / ".ci" / "collector" / "builder-config.yaml"
    cache = os.environ.get("TIMETRACER_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "timetracer"
    )
    key = hashlib.sha256(config.read_bytes()).hexdigest()[:16] if config.exists() else "none"
    others = [Path(path) for name in ("otelcol-contrib", "otelcol") if (path := shutil.which(name))]
    return find_binary("otelcol", "'.ci/run services' (Go is needed)", Path(cache, f"otelcol-{key}"), *others)


# -- starting servers --------------------------------------------------------------------------------------------------


def start_redis(folder: Path, *, password: str | None = None) -> RedisServer:
    """Start a redis without persistence; with `password`, one that asks for it."""
    binary = find_binary("redis-server", "the Debian package redis-server")
    (port,) = free_ports(1)
    command = [binary, "--bind", HOST, "--port", port, "--dir", folder, "--save", "", "--appendonly", "no"]
    if password:
        command += ["--requirepass", password]

    def ready() -> bool:
        with socket.create_connection((HOST, port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))

    process = ServerProcess("redis-server", [str(part) for part in command], ready=ready, folder=folder)
    process.start()
    credentials = f":{password}@" if password else ""
    return RedisServer(HOST, port, f"redis://{credentials}{HOST}:{port}/0", password, process)


def start_postgres(folder: Path) -> PostgresServer:
    """Make a cluster in `folder` and start it. Root cannot run PostgreSQL: then an unprivileged account owns both."""
    binary, initdb, isready = (_postgres_binary(name) for name in ("postgres", "initdb", "pg_isready"))
    account = _unprivileged_account() if os.geteuid() == 0 else None
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    options: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    made = subprocess.run(
        [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-N"],
        capture_output=True, text=True, check=False, cwd=folder, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
    (port,) = free_ports(1)
    settings = {
        "listen_addresses": HOST, "port": port, "unix_socket_directories": folder, "fsync": "off",
        "full_page_writes": "off", "synchronous_commit": "off", "max_connections": 100, "shared_buffers": "16MB",
        "autovacuum": "off", "timezone": "UTC", "dynamic_shared_memory_type": "posix",
    }  # fmt: skip
    command = [str(binary), "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]

    def ready() -> bool:
        return subprocess.run([isready, "-q", "-h", HOST, "-p", str(port)], check=False).returncode == 0

    process = ServerProcess(
        "postgres", command, ready=ready, folder=folder, account=account,
        # SIGINT is the fast shutdown: SIGTERM waits until every client has gone.
        stop_signal=SIGINT,
    )  # fmt: skip
    process.start()
    url, dsn = f"postgresql://postgres@{HOST}:{port}/postgres", f"host={HOST} port={port} user=postgres dbname=postgres"
    return PostgresServer(HOST, port, "postgres", "postgres", url, dsn, process)


def start_collector(folder: Path) -> Collector:
    """Start the OpenTelemetry Collector with the repository's otel-collector.yaml."""
    binary, path = _collector_binary(), folder / "received.jsonl"
    port, grpc_port = free_ports(2)
    environment = {
        "OTEL_COLLECTOR_HTTP_ENDPOINT": f"{HOST}:{port}",
        "OTEL_COLLECTOR_GRPC_ENDPOINT": f"{HOST}:{grpc_port}",
        "OTEL_COLLECTOR_FILE": str(path),
    }
    command = [str(binary), "--config", str(REPOSITORY / "otel-collector.yaml")]

    def ready() -> bool:
        return all(_accepts(each) for each in (port, grpc_port))

    process = ServerProcess("otelcol", command, ready=ready, folder=folder, environment=environment)
    process.start()
    return Collector(HOST, port, grpc_port, f"http://{HOST}:{port}", f"http://{HOST}:{grpc_port}", path, process)


def start_upstream(folder: Path) -> Upstream:
    """Start tests/outbound/upstream.py in a process of its own."""
    ports = port, https_port, proxy_port, refused_port = free_ports(4)
    certificate = folder / "upstream.pem"
    command = [sys.executable, "-m", "tests.outbound.upstream", str(port), "--https", str(https_port)]
    command += ["--proxy", str(proxy_port), "--refused", str(refused_port), "--certificate", str(certificate)]

    def ready() -> bool:
        return all(_accepts(each) for each in ports[:3])

    process = ServerProcess("upstream", command, ready=ready, folder=folder, directory=REPOSITORY)
    process.start()
    urls = [f"http://{HOST}:{each}" for each in ports]
    return Upstream(
        HOST, port, urls[0], https_port, f"https://{HOST}:{https_port}", certificate, urls[2], urls[3], process
    )


def _accepts(port: int) -> bool:
    with socket.create_connection((HOST, port), 1):
        return True


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL cannot run as root, and this machine has neither an account postgres nor nobody")


def private_folder() -> Path:
    """Make a folder that another account can be given: pytest's own temporary folders are closed to all but us."""
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if all(each.stat().st_mode & 0o001 for each in (parent, *parent.parents)):
            return Path(tempfile.mkdtemp(prefix="timetracer-", dir=parent))
    raise RuntimeError("no temporary folder that every account can enter")


# -- fixtures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def service_folder() -> Iterator[Path]:
    """The folder in which this session's servers keep their files; it goes when they have ended."""
    folder = private_folder()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _subfolder(parent: Path, name: str) -> Path:
    folder = parent / f"{name}-{time.monotonic_ns()}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="session")
def redis_server(service_folder: Path) -> Iterator[RedisServer]:
    """A real redis of this session's own."""
    server = start_redis(_subfolder(service_folder, "redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_password_server(service_folder: Path) -> Iterator[RedisServer]:
    """A real redis that asks for a password (`.password`, and in `.url`)."""
    server = start_redis(_subfolder(service_folder, "redis-password"), password="correct-horse-7431")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server(service_folder: Path) -> Iterator[PostgresServer]:
    """A real PostgreSQL of this session's own."""
    server = start_postgres(_subfolder(service_folder, "postgres"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def collector(service_folder: Path) -> Iterator[Collector]:
    """A real OpenTelemetry Collector that runs the repository's otel-collector.yaml."""
    server = start_collector(_subfolder(service_folder, "collector"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def upstream(service_folder: Path) -> Iterator[Upstream]:
    """The HTTP upstream in a process of its own."""
    server = start_upstream(_subfolder(service_folder, "upstream"))
    yield server
    server.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were skipped for want of which service, and how to get it."""
    wanting: dict[str, list[str]] = {}
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if REASON in reason:
            wanting.setdefault(reason.partition(REASON)[2].strip(), []).append(report.nodeid)
    if wanting:
        terminalreporter.section("skipped for want of a service")
    for reason, tests in sorted(wanting.items()):
        terminalreporter.line(f"{reason}: {len(tests)} skipped")
        for test in tests:
            terminalreporter.line(f"  {test}")
