"""The examples as a user runs them: each folder alone, with pytest."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.serving import environment, finished

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/test_app.py"))


def test_there_are_examples() -> None:
    """The five that the documentation names are there, each with a README and an app."""
    names = {"fastapi_aiohttp", "fastapi_httpx", "flask_requests", "litestar_app", "starlette_app"}
    assert names <= {folder.name for folder in FOLDERS}
    assert all((folder / name).exists() for folder in FOLDERS for name in ("README.md", "app.py"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_records_and_replays(folder: Path, tmp_path: Path) -> None:
    """Copied out of the repository, its tests pass."""
    alone = tmp_path / folder.name
    shutil.copytree(folder, alone, ignore=shutil.ignore_patterns("__pycache__", "cassettes"))
    done = finished([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], folder=alone, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
