"""docs/plugins.md: the plugin that it builds is installed, recorded live, replayed with the server gone, and tested."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks
from tests.server_process import ServerProcess, free_ports

BLOCKS = blocks(ROOT / "docs" / "plugins.md")
COMMANDS = [line for block in BLOCKS if block.language == "bash" for line in block.code.splitlines()]
PORT = "9009"


@pytest.fixture
def whole() -> bool:
    """Whether the guide was read to its end."""
    return True


@pytest.fixture
def project(tmp_path: Path, whole: bool) -> Path:
    """The guide's files as its reader has them, installed; a file that comes twice goes on."""
    files: dict[str, str] = {}
    for block in BLOCKS:
        if block.file is not None and (whole or block.file not in files):
            files[block.file] = files.get(block.file, "") + block.code
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    described = tomllib.loads(files["pyproject.toml"])["project"]
    info = tmp_path / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n"
    )
    lines = [f"{name} = {value}" for name, value in described["entry-points"]["timetracer_plugin"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[timetracer_plugin]", *lines]) + "\n")
    return tmp_path


@pytest.fixture
def server(project: Path) -> Iterator[tuple[ServerProcess, str]]:
    """The guide's server on a free port."""
    (port,) = free_ports(1)

    def ready() -> bool:
        with socket.create_connection(("127.0.0.1", port)):
            return True

    command = [sys.executable, *shlex.split(COMMANDS[0])[1:-1], str(port)]
    made = ServerProcess("notes", command, ready=ready, folder=project)
    made.start()
    yield made, str(port)
    made.stop()


def _run(command: str, folder: Path, port: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIMETRACER_", "OTEL_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    env = {**kept, "PATH": path, "PYTHONPATH": str(folder), "OTEL_TRACES_EXPORTER": "none"}
    env |= {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    return subprocess.run(
        shlex.split(command.replace(PORT, port)), cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("whole", [False, True], ids=["exchange", "links"])
def test_the_commands_do_what_the_guide_says(project: Path, server: tuple[ServerProcess, str]) -> None:
    """Record, look, stop the server, replay: the program prints the same, and what is new is a miss."""
    process, port = server
    assert COMMANDS[0] == f"python server.py {PORT}"
    record, show, replay = COMMANDS[1:]
    live = _run(record, project, port)
    assert live.returncode == 0, live.stderr
    printed = ["Fish [b'They swim,\\n', b'mostly.\\n']", "no note dog"]
    assert live.stdout.splitlines()[:2] == printed
    shown = _run(show, project, port)
    assert shown.returncode == 0, shown.stderr
    assert "notes TEXT" in shown.stdout
    process.stop()
    again = _run(replay, project, port)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[:2] == printed
    (project / "app.py").write_text((project / "app.py").read_text().replace('"fish"', '"cat"'))
    missed = _run(replay, project, port)
    assert missed.returncode != 0
    assert "no recorded call matches: notes TEXT" in missed.stderr
    assert "differs:  target: recorded" in missed.stderr


def test_the_guides_own_test_passes(project: Path) -> None:
    """The contract suite on the finished plugin, links included."""
    path = os.pathsep.join([str(project), str(ROOT / "src"), str(ROOT)])
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TIMETRACER_", "OTEL_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_notes.py"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(
        command, cwd=project, env={**env, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_the_plugin_is_typed(project: Path) -> None:
    """The guide's plugin has the types of the contract."""
    command = [sys.executable, "-m", "mypy", "--strict", "--allow-untyped-calls", "--ignore-missing-imports"]
    command += ["--follow-imports=silent", "notes_plugin.py"]
    env = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
