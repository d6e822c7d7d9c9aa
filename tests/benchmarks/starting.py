"""What timetracer adds to the start of a process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.contest import surroundings
from tests.benchmarks.figures import Effort, Figure

_QUIET = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
_LAUNCHED = """
from opentelemetry.instrumentation.auto_instrumentation import initialize
initialize()
"""
"""What `opentelemetry-instrument` has a process do, from its `sitecustomize`: before any code of the app."""

_WITHOUT = """
from opentelemetry.util import _importlib_metadata as metadata
real = metadata.entry_points
metadata.entry_points = lambda **asked: metadata.EntryPoints(
    each for each in real(**asked) if not each.value.startswith("timetracer")
)
"""
"""Hides our entry points, as if we were not installed."""


@dataclass(frozen=True, slots=True)
class _Run:
    wall: float
    cpu: float


def _run(program: str, more: Mapping[str, str]) -> _Run:
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program], env=surroundings(**more))
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return _Run(time.perf_counter() - began, used.ru_utime + used.ru_stime)


def _launched(folder: Path, first: str) -> Mapping[str, str]:
    """Returns the environment of a launched process, which does `first` before anything else."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(first + _LAUNCHED)
    return {**_QUIET, "PYTHONPATH": os.pathsep.join([str(folder), surroundings()["PYTHONPATH"]])}


def start(effort: Effort) -> Iterator[Figure]:
    """The import alone, and a start as under `opentelemetry-instrument` with and without us, in turns."""
    sides: dict[str, list[_Run]] = {"import": [], "nothing": [], "with": [], "without": []}
    with tempfile.TemporaryDirectory(prefix="timetracer-bench-") as folder:
        ours = {"TIMETRACER_MODE": "record", "TIMETRACER_CASSETTE_DIR": folder}
        for _ in range(effort.rounds + 1):
            sides["nothing"].append(_run("pass", {}))
            sides["import"].append(_run("import timetracer", {}))
            sides["without"].append(_run("import httpx", _launched(Path(folder, "without"), _WITHOUT)))
            sides["with"].append(_run("import httpx", {**_launched(Path(folder, "with"), ""), **ours}))

    def more(side: str, base: str, part: str) -> float:
        pairs = zip(sides[side][1:], sides[base][1:], strict=True)
        return 1e3 * statistics.median([float(getattr(one, part) - getattr(other, part)) for one, other in pairs])

    name = "opentelemetry-instrument: start with us, over without"
    yield Figure("import timetracer", more("import", "nothing", "wall"), "ms", 40, cpu=more("import", "nothing", "cpu"))
    yield Figure(name, more("with", "without", "wall"), "ms", 60, cpu=more("with", "without", "cpu"))
