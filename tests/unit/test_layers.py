"""The architecture as checks: who may import whom, who reads the environment, how large a file may be."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "timetracer"
FILES = sorted(PACKAGE.rglob("*.py"))


def _names(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_imports_follow_the_layers() -> None:
    """import-linter finds every contract of pyproject.toml kept."""
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _environment_readers() -> Iterator[str]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv"):
                    yield _names(path)
                case ast.ImportFrom(module="os", names=names) if {"environ", "getenv"} & {item.name for item in names}:
                    yield _names(path)


def test_only_the_configuration_reads_the_environment() -> None:
    """A setting is read once; the distro alone may set defaults for OTel."""
    # The distro and the Django settings only set defaults, for OTel and for Django.
    assert set(_environment_readers()) <= {"config/__init__.py", "telemetry/distro.py", "runtime/django_settings.py"}


@pytest.mark.parametrize("path", FILES, ids=_names)
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    """Beyond that the seam is wrong."""
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=_names)
def test_a_file_says_what_it_is_responsible_for(path: Path) -> None:
    """The first line of its docstring; a package's empty `__init__.py` has nothing to say."""
    source = path.read_text()
    assert not source.strip() or ast.get_docstring(ast.parse(source))


@pytest.mark.parametrize("path", sorted((PACKAGE / "outbound").glob("*.py")), ids=_names)
def test_a_plugin_has_no_word_for_the_mode(path: Path) -> None:
    """Recorder and player hold all mode logic: a plugin's names never speak of it."""
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    parts = {part for name in names for part in name.lower().split("_")}
    assert not parts & {"mode", "record", "recording", "replay", "replaying", "session", "cassette"}
