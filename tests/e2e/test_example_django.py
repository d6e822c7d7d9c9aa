"""The Django example does what its README says."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tests.e2e.serving import LAUNCHER, Asked, ask, environment, finished, serving
from tests.e2e.shopping import comparable
from tests.server_process import free_ports

EXAMPLE = Path(__file__).parents[2] / "examples" / "django_shop"


def commands(name: str) -> list[str]:
    """Returns the README's command that contains a name, without its variables."""
    found = next(line for line in (EXAMPLE / "README.md").read_text().splitlines() if name in line)
    words = re.sub(r"^(\w+=\S+ )+", "", found).removesuffix(" &").split()
    return [
        *(LAUNCHER if words[0] == "opentelemetry-instrument" else []),
        *words[len(words) and words.index("python") :],
    ]


def test_the_example_replays_with_nothing_running(tmp_path: Path) -> None:
    """Recorded as the README says; with the upstream and the database gone, the answer is the same to the byte."""
    project = tmp_path / "django_shop"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3", "cassettes"))
    rates, port = free_ports(2)
    env = environment(RATES_URL=f"http://127.0.0.1:{rates}")

    def of(name: str) -> list[str]:
        return [sys.executable if word == "python" else word for word in commands(name)]

    migrated = finished(of("migrate"), folder=project, env=env)
    assert migrated.returncode == 0, migrated.stderr
    upstream = [*of("upstream.py")[:-1], str(rates)]
    runserver = [*of("runserver"), f"127.0.0.1:{port}"]
    question = Asked("GET", "/prices/EUR/")
    with serving(upstream, folder=project, env=env, log=tmp_path / "upstream.log", ready="/", port=rates):
        recorded = env | {"TIMETRACER_MODE": "record"}
        with serving(runserver, folder=project, env=recorded, log=tmp_path / "record.log", ready="/", port=port):
            live = ask(port, question)
    assert live.status == 200
    (project / "shop.sqlite3").unlink()
    replayed = env | {"TIMETRACER_MODE": "replay"}
    with serving(runserver, folder=project, env=replayed, log=tmp_path / "replay.log", ready="/", port=port):
        again = ask(port, question)
    assert comparable(again) == comparable(live), (tmp_path / "replay.log").read_text()
    assert not (project / "shop.sqlite3").exists()
