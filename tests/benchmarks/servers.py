"""The servers behind the measured calls: processes of their own, on free ports, ended by their pid."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.contest import ROOT
from tests.server_process import ServerProcess, free_ports
from tests.services import start_redis


@contextmanager
def upstream() -> Iterator[str]:
    """Yields the base URL of the lean upstream."""
    (port,) = free_ports(1)

    def ready() -> bool:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True

    with tempfile.TemporaryDirectory(prefix="timetracer-bench-") as folder:
        command = [sys.executable, "-m", "tests.benchmarks.upstream", str(port)]
        process = ServerProcess("upstream", command, ready=ready, folder=Path(folder), directory=ROOT)
        process.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stop()


@contextmanager
def redis() -> Iterator[str]:
    """Yields the URL of a redis."""
    with tempfile.TemporaryDirectory(prefix="timetracer-bench-") as folder:
        server = start_redis(Path(folder))
        try:
            yield server.url
        finally:
            server.stop()
