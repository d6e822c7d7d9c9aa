"""What timetracer adds to the start of a process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.contest import surroundings
from tests.benchmarks.figures import Effort, Figure

_QUIET = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


def _seconds(command: Sequence[str], more: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=surroundings(**more), check=True, capture_output=True)
    return time.perf_counter() - began


def start(effort: Effort) -> Iterator[Figure]:
    """The import alone, and a start under `opentelemetry-instrument` with and without us, in turns."""
    launcher = str(Path(sys.executable).parent / "opentelemetry-instrument")
    python = [sys.executable, "-c"]
    imports: list[float] = []
    starts: list[float] = []
    with tempfile.TemporaryDirectory(prefix="timetracer-bench-") as folder:
        recording = {**_QUIET, "TIMETRACER_MODE": "record", "TIMETRACER_CASSETTE_DIR": folder}
        without = {**_QUIET, "OTEL_PYTHON_DISTRO": "distro", "OTEL_PYTHON_CONFIGURATOR": "configurator"}
        for _ in range(effort.rounds + 1):
            imports.append(_seconds([*python, "import timetracer"], {}) - _seconds([*python, "pass"], {}))
            command = [launcher, *python, "import httpx"]
            starts.append(_seconds(command, recording) - _seconds(command, without))
    yield Figure("import timetracer", statistics.median(imports[1:]) * 1e3, "ms", 40)
    yield Figure("opentelemetry-instrument: start with us, over without", statistics.median(starts[1:]) * 1e3, "ms", 60)
