"""The example of pytest alone, as its README says: with nothing running, and recorded anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server_process import ServerProcess, free_ports

EXAMPLE = Path(__file__).parents[2] / "examples" / "pytest_only"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example, copied out of the repository."""
    return shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__", "shop.db"))


def _pytest(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("TIMETRACER_", "OTEL_", "PYTEST_", "CI"))}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *arguments], cwd=folder, env={**ours, **environment}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


def test_its_cassette_answers_with_nothing_running(folder: Path) -> None:
    """Neither the service nor the database is there, before and after."""
    done = _pytest(folder, "--timetracer-unused=error", CI="true")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert not (folder / "shop.db").exists()


def test_it_is_recorded_anew(folder: Path) -> None:
    """With the service running, which sees a call; then replayed without it."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    server = ServerProcess(
        "rates",
        [sys.executable, str(folder / "rates.py"), str(port)],
        ready=lambda: _answers(url),
        folder=folder,
    )
    server.start()
    try:
        recorded = _pytest(folder, "--timetracer-record=rewrite", RATES_URL=url)
    finally:
        server.stop()
    assert recorded.returncode == 0, recorded.stdout
    assert (folder / "shop.db").exists()
    (folder / "shop.db").unlink()
    replayed = _pytest(folder, "--timetracer-unused=error", RATES_URL=url)
    assert replayed.returncode == 0, replayed.stdout
    assert not (folder / "shop.db").exists()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.ConnectError:
        return False
