"""The main job under every Django that is supported: `pytest -m versions` makes an environment for each, once.

The environments are kept in the cache folder ($XDG_CACHE_HOME/timetracer), by what is installed in them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.marketing import commands, market
from tests.e2e.serving import BIN
from tests.e2e.shopping import GUNICORN, UVICORN, Shop, questions
from tests.services import PostgresServer, RedisServer, Upstream, missing_service

ROOT = Path(__file__).parents[2]
BESIDE = ["gunicorn", "uvicorn", "djangorestframework", "psycopg[binary]"]
VERSIONS = [
    pytest.param("3.11", "4.2", id="short-4.2"),
    pytest.param("3.11", "5.2", id="5.2"),
    pytest.param("3.12", "5.0", id="5.0"),
    pytest.param("3.12", "6.0", id="6.0"),
    pytest.param("3.13", "5.1", id="5.1"),
]


def python(version: str) -> str:
    """Returns an interpreter of a version, or skips (see tests/services.py)."""
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv").glob(f"versions/{version}.*/bin/python")
    for found in filter(None, [shutil.which(f"python{version}"), *map(str, sorted(kept))]):
        if subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return str(missing_service(f"python{version}", f"CPython {version}"))


def environment_with(version: str, django: str) -> Path:
    """Returns the bin folder of an environment with this package, a Django and what the shop needs."""
    wanted = [f"django=={django}.*", *BESIDE, "-e", f"{ROOT}[all]"]
    key = hashlib.sha256(repr((version, wanted, (ROOT / "pyproject.toml").read_bytes())).encode()).hexdigest()[:16]
    cache = os.environ.get("TIMETRACER_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "timetracer"
    )
    folder = Path(cache, f"django-{django}-{key}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may want the same one
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([python(version), "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin" / "pip", "install", "-q", *wanted], check=True)
            (folder / "complete").touch()
    return folder / "bin"


@pytest.mark.versions
@pytest.mark.parametrize(("version", "django"), VERSIONS)
def test_fifty_requests_replay_under_every_django(version: str, django: str, shop: Shop) -> None:
    """Fifty parallel requests are recorded under WSGI and replayed, and a few of them under ASGI."""
    place = environment_with(version, django)
    asked = questions()
    for command, some in ((GUNICORN, asked), (UVICORN, asked[:10])):
        there = [part.replace(str(BIN), str(place)) for part in command]
        live = shop.run("record", there, some)
        expected = [a.path for a in some] + [f"/orders/{n + 11}/" for n in range(len(some) // 10)]
        assert shop.targets() == sorted(expected), shop.log("record")
        for server in shop.servers:
            server.stop()
        shop.replays_alike(there, some, live)
        for server in shop.servers:
            server.start()
        shutil.rmtree(shop.cassettes)


@pytest.mark.versions
@pytest.mark.parametrize(("version", "django"), VERSIONS)
def test_a_tour_replays_under_every_django(
    version: str,
    django: str,
    tmp_path: Path,
    upstream: Upstream,
    redis_server: RedisServer,
    postgres_server: PostgresServer,
) -> None:
    """What projects use besides views, under WSGI on PostgreSQL and under ASGI on SQLite."""
    place = environment_with(version, django)
    for server, postgres in (("gunicorn", postgres_server), ("uvicorn", None)):
        command = [str(place / "opentelemetry-instrument"), *commands(place)[server]]
        with market(tmp_path / server, place, upstream, redis_server, postgres) as there:
            live = there.tour("record", command)
            assert len(there.recorded()) == len(live)
            for each in there.servers:
                each.stop()
            there.replays_alike(command, live)
