"""Worker processes: what they find comes back, and what they do not come to is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.runner.recordings import recorded
from timetracer.cassette.store import write_cassette
from timetracer.config import TraceConfig
from timetracer.errors import ConfigError
from timetracer.runner import plan, pool

APP = """
import os
from timetracer.integrations.wsgi import TimeTracerMiddleware

def plain(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        os._exit(7)
    print("to standard output")
    start_response("200 OK", [])
    return [b"body of " + environ["PATH_INFO"].encode()]

app = TimeTracerMiddleware(plain)

def make():
    return app
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an application, which is where processes are started."""
    (tmp_path / "service.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(folder: Path, *targets: str) -> plan.Plan:
    """A plan for requests of these targets, in this order."""
    for n, target in enumerate(targets):
        cassette = recorded(target, body=f"body of {target}".encode())
        cassette.trace.root_id = f"{n + 1:016x}"
        cassette.trace.start = f"2026-01-31T12:00:0{n}.000000+00:00"
        write_cassette(cassette, folder / "cassettes" / f"{n}.json")
    return plan.make([folder / "cassettes"], TraceConfig())


def test_each_worker_has_its_share(here: Path) -> None:
    """Two processes, three cassettes; settings that would record do not."""
    order = pool.Order(workers=2, settings={"mode": "record"})
    found = list(pool.run_application(planned(here, "/a", "/b", "/c"), "service:app", order))
    assert sorted((each.name, each.outcome) for each in found) == [
        ("GET /a", "matched"), ("GET /b", "matched"), ("GET /c", "matched"),
    ]  # fmt: skip


def test_what_kills_its_worker_has_failed_and_the_rest_goes_on(here: Path) -> None:
    """With the exit code; another process takes over."""
    found = list(pool.run_application(planned(here, "/a", "/crash", "/b"), "service:make()", pool.Order(workers=1)))
    assert [(each.name, each.outcome) for each in found] == [
        ("GET /a", "matched"), ("GET /crash", "failed"), ("GET /b", "matched"),
    ]  # fmt: skip
    assert "ended with 7" in (found[1].error or "")


@pytest.mark.parametrize(
    ("app", "said"), [("service", "module:attr"), ("nowhere:app", "nowhere"), ("service:os", "module")]
)
def test_an_application_that_is_none(here: Path, app: str, said: str) -> None:
    """The error says what was found in its place."""
    with pytest.raises(ConfigError, match=said):
        list(pool.run_application(planned(here, "/a"), app, pool.Order(workers=1)))


def test_what_is_no_request_is_skipped(here: Path) -> None:
    """A task is told; a process's calls stand by without a word."""
    task = recorded("tasks.add")
    assert task.inbound is not None
    task.inbound.type = "task.run"
    write_cassette(task, here / "cassettes" / "task.json")
    process = msgspec.structs.replace(recorded(), inbound=None)
    write_cassette(process, here / "cassettes" / "process.json")
    (here / "cassettes" / "bad.json").write_text("{")
    made = planned(here, "/a")
    assert [path.name for path in made.cases] == ["0.json"]
    assert {path.name for path in made.library} == {"0.json", "process.json", "task.json"}
    assert [(each.outcome, each.notes) for each in made.skipped] == [("skipped", ["task.run is no HTTP request"])]
    assert [path.name for path, _ in made.bad] == ["bad.json"]


def test_the_command_line_says_so_with_its_exit_code(here: Path) -> None:
    """0 where all matched, 1 for a difference, 2 for an application that does not start, 3 for no cassette."""
    planned(here, "/a")
    command = [sys.executable, "-m", "timetracer.cli", "replay", "--json", "--app"]

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    code, printed = run("service:app", "cassettes")
    assert (code, printed["summary"]) == (0, {"matched": 1, "changed": 0, "failed": 0, "skipped": 0})
    assert run("nowhere:app", "cassettes")[0] == 2
    assert run("service:app", "nowhere")[0] == 3
    (here / "service.py").write_text(APP.replace("body of", "text of"))
    code, printed = run("service:app", "cassettes")
    assert "cassettes" in printed, printed
    assert (code, [each["where"] for each in printed["cassettes"][0]["answer"]]) == (1, ["body line 1"])
