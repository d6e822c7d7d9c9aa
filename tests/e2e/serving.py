"""Runs applications the way users do: under `opentelemetry-instrument`, in processes of their own, on free ports."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.server_process import free_ports

BIN = Path(sys.executable).parent
LAUNCHER = [str(BIN / "opentelemetry-instrument")]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """Returns every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def ask(port: int, asked: Asked, timeout: float = 60.0) -> Answer:
    """Asks once, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(asked.method, asked.path, asked.body, dict(asked.headers))
        response = connection.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


def ask_all(port: int, questions: Sequence[Asked], at_once: int) -> list[Answer]:
    """Asks everything, so many at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda asked: ask(port, asked), questions))


def environment(**more: str) -> dict[str, str]:
    """Returns a plain environment: nothing of the test run's own telemetry."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "TIMETRACER_", "PYTEST", "DJANGO_"))}
    return {
        **kept,
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **more,
    }


@dataclass(slots=True)
class App:
    """A running application."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def output(self) -> str:
        """Returns what it printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def serving(
    command: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    log: Path,
    ready: str = "/health/",
    port: int | None = None,
) -> Iterator[App]:
    """Runs a server until the block ends, then ends it with SIGTERM and waits for it.

    Args:
        command: `{port}` stands for the port.
        ready: a path that answers once the server is up.
        port: None for a free one.
    """
    port = port or free_ports(1)[0]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=folder,
            env=dict(env),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        app = App(process, port, log)
        try:
            _wait(app, ready)
            yield app
        except BaseException as error:
            error.add_note(f"the server's log ends:\n{app.output()[-8000:]}")
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"the server did not end within 20 s of SIGTERM:\n{app.output()}") from None


def _wait(app: App, ready: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if app.process.poll() is not None:
            raise AssertionError(f"the server ended with {app.process.returncode}:\n{app.output()}")
        try:
            ask(app.port, Asked("GET", ready), timeout=5)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server was not up within {seconds} s:\n{app.output()}")


def finished(command: Sequence[str], *, folder: Path, env: Mapping[str, str], timeout: float = 60) -> Any:
    """Runs a command to its end and returns it, output captured as text."""
    return subprocess.run(
        list(command), cwd=folder, env=dict(env), capture_output=True, text=True, timeout=timeout, check=False
    )
