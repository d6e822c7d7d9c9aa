"""Small projects with tests of their own: written into a folder, run by pytest in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services import Upstream

INI = """
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
_OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S+?\.py::.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest: its exit code, what it printed, and how each test ended."""

    code: int
    text: str
    outcomes: dict[str, str]

    def all(self, outcome: str, number: int) -> bool:
        """Whether so many tests ran and every one ended this way."""
        return set(self.outcomes.values()) == {outcome} and len(self.outcomes) == number


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with tests, and the upstream that they call as `URL`."""

    folder: Path
    upstream: Upstream

    def write(self, name: str, text: str) -> Path:
        """Writes a file; `URL` is there in every Python file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        head = f"URL = {self.upstream.url!r}\n" if name.endswith(".py") else ""
        path.write_text(head + text)
        return path

    def pytest(self, *arguments: str, **environment: str) -> Run:
        """Runs pytest in the folder, warnings as errors; neither CI nor a setting of ours is in the environment."""
        if not (self.folder / "pytest.ini").exists():
            self.write("pytest.ini", INI)
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("TIMETRACER_", "OTEL_", "PYTEST_", "CI"))}
        command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--color=no", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env={**ours, **environment}, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        text = done.stdout + done.stderr
        return Run(done.returncode, text, {name: outcome for outcome, name in _OUTCOME.findall(text)})

    def cassettes(self) -> list[str]:
        """The cassettes below the folder, sorted."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.json"))

    def cassette(self, name: str) -> Any:
        """What a cassette holds."""
        return json.loads((self.folder / name).read_text())

    @contextmanager
    def offline(self) -> Iterator[None]:
        """Ends the upstream for the block."""
        self.upstream.stop()
        try:
            yield
        finally:
            self.upstream.start()
