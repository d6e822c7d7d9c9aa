"""The benchmarks run; what they measure is read by people, never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.contest import ROOT, surroundings


def test_the_command_measures_and_writes_its_figures(tmp_path: Path) -> None:
    """A quick run prints a table and writes every figure with its goal."""
    file = tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks",
        "events",
        "redaction",
        "replay",
        "--quick",
        "--json",
        str(file),
    ]
    done = subprocess.run(command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())["figures"]
    assert {figure["goal"] for figure in figures} == {20, 12, 0.8, None}
    assert all(figure["name"] in done.stdout for figure in figures)


def test_an_unknown_name_is_refused() -> None:
    """A misspelt benchmark is an error that lists those there are."""
    command = [sys.executable, "-m", "tests.benchmarks", "no-such"]
    done = subprocess.run(command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "redaction" in done.stderr
