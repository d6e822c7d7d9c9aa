"""The command line as a user starts it: `timetracer` in a process of its own, and what `run` makes of a script."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import Asked, ask, environment, finished
from timetracer.cassette.store import find_cassettes, read_cassette

COMMAND = [sys.executable, "-m", "timetracer.cli"]
SCRIPT = """
import sqlite3, sys, threading, uuid

def ask():
    print(sqlite3.connect("x.sqlite3").execute("select count(*) from things").fetchall())

connection = sqlite3.connect("x.sqlite3")
connection.execute("create table if not exists things (name text)")
connection.execute("insert into things values (?)", (str(uuid.uuid4()),))
connection.commit()
print(connection.execute("select * from things").fetchall())
thread = threading.Thread(target=ask)
thread.start()
thread.join()
if "fail" in sys.argv:
    raise ValueError("on purpose")
sys.exit(3 if "exit" in sys.argv else 0)
"""

SERVER = """
import sqlite3
from wsgiref.simple_server import make_server
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

SECRET_KEY, ALLOWED_HOSTS, ROOT_URLCONF = "x", ["*"], "serve"

def add(request, n):
    rows = sqlite3.connect(":memory:").execute("select ? + 1", (n,)).fetchall()
    return JsonResponse({"rows": rows})

urlpatterns = [path("add/<int:n>/", add)]

if __name__ == "__main__":
    with make_server("127.0.0.1", 0, get_wsgi_application()) as server:
        print(server.server_port, flush=True)
        for _ in range(2):
            server.handle_request()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a script."""
    (tmp_path / "report.py").write_text(SCRIPT)
    return tmp_path


def timetracer(*arguments: str, folder: Path, **more: str) -> Any:
    """Runs the command line to its end."""
    return finished([*COMMAND, *arguments], folder=folder, env=environment(**more))


def test_a_script_is_one_cassette_with_one_root_and_replays_alike(folder: Path) -> None:
    """Also what its threads do; with the database gone the same lines are printed."""
    live = timetracer("run", "--", "python", "report.py", folder=folder)
    assert live.returncode == 0, live.stderr
    (path,) = find_cassettes(folder / "cassettes")
    cassette = read_cassette(path)
    assert path.name.startswith("RUN__report.py__")
    assert cassette.inbound is not None
    assert (cassette.inbound.type, cassette.inbound.target) == ("script.run", "report.py")
    assert [(span.name, span.kind) for span in cassette.spans if span.parent_id is None] == [("report.py", "INTERNAL")]
    (folder / "x.sqlite3").unlink()
    again = timetracer("run", "--mode", "replay", "--cassette", str(path), "--", "python", "report.py", folder=folder)
    assert (again.returncode, again.stdout) == (0, live.stdout), again.stderr
    assert not (folder / "x.sqlite3").exists()


def test_a_script_replays_without_a_launcher_and_without_run(folder: Path) -> None:
    """The variables alone do, as the contract has it."""
    live = timetracer("run", "--", "python", "report.py", folder=folder)
    (path,) = find_cassettes(folder / "cassettes")
    (folder / "x.sqlite3").unlink()
    env = environment(TIMETRACER_MODE="replay", TIMETRACER_CASSETTE=str(path))
    again = finished([sys.executable, "report.py"], folder=folder, env=env)
    assert (again.returncode, again.stdout) == (0, live.stdout), again.stderr


@pytest.mark.parametrize("more", [{}, {"OTEL_SDK_DISABLED": "true"}], ids=["sdk", "no-sdk"])
def test_a_script_that_fails_leaves_its_traceback(folder: Path, more: dict[str, str]) -> None:
    """The exit code is the script's; the cassette holds the exception, also without spans."""
    done = timetracer("run", "--json", "--", "python", "report.py", "fail", folder=folder, **more)
    assert done.returncode == 1
    said = json.loads(done.stdout[done.stdout.index("{") :])
    assert (said["mode"], said["exit_code"]) == ("record", 1)
    (path,) = said["cassettes"]
    cassette = read_cassette(folder / path)
    assert cassette.trace.status == "error"
    assert cassette.inbound is not None
    assert "ValueError: on purpose" in (cassette.inbound.traceback or "")
    assert len(cassette.events) >= 4
    shown = timetracer("show", path, folder=folder)
    assert "ValueError: on purpose" in shown.stdout


@pytest.mark.parametrize("more", [{}, {"OTEL_SDK_DISABLED": "true"}], ids=["sdk", "no-sdk"])
def test_requests_that_a_script_serves_are_cassettes_of_their_own(tmp_path: Path, more: dict[str, str]) -> None:
    """Each with its own trace, calls and spans; none joins the script's."""
    (tmp_path / "serve.py").write_text(SERVER)
    env = environment(DJANGO_SETTINGS_MODULE="serve", **more)
    command = [*COMMAND, "run", "--", "python", "serve.py"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        port = int(server.stdout.readline() or 0)
        answers = [ask(port, Asked("GET", f"/add/{n}/")).body for n in (1, 2)]
        assert server.wait(30) == 0, server.stderr.read()
        server.stderr.read()
    assert answers == [b'{"rows": [[2]]}', b'{"rows": [[3]]}']
    cassettes = [read_cassette(path) for path in find_cassettes(tmp_path / "cassettes")]
    calls = {cassette.inbound.target: cassette for cassette in cassettes if cassette.inbound is not None}
    assert sorted(calls) == ["/add/1/", "/add/2/", "serve.py"]
    assert [len(calls[target].events) for target in sorted(calls)] == [1, 1, 0]
    if not more:
        assert len({cassette.trace.trace_id for cassette in cassettes}) == 3
        assert "SERVER" in [span.kind for span in calls["/add/1/"].spans]


def test_a_script_that_is_terminated_leaves_its_cassette(folder: Path) -> None:
    """SIGTERM ends it as ever, after what it did so far is on disk."""
    (folder / "report.py").write_text(
        SCRIPT.replace("sys.exit", "print('up', flush=True)\nimport time\ntime.sleep(60)\n#")
    )
    command = [*COMMAND, "run", "--", "python", "report.py"]
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE) as script:
        assert script.stdout is not None
        assert any(line == b"up\n" for line in script.stdout)
        script.terminate()
        assert script.wait(30) == -signal.SIGTERM
    (path,) = find_cassettes(folder / "cassettes")
    assert path.name.startswith("RUN__report.py__")
    assert len(read_cassette(path).events) >= 4


ENDS = {
    "the end": ("", 0, None, "ok"),
    "sys.exit()": ("sys.exit()", 0, 0, "ok"),
    "sys.exit(3)": ("sys.exit(3)", 3, 3, "error"),
    "sys.exit(text)": ("sys.exit('no')", 1, 1, "error"),
    "exit(4)": ("exit(4)", 4, 4, "error"),
    "argparse": ("import argparse; argparse.ArgumentParser().parse_args(['x'])", 2, 2, "error"),
    "in a finally": ("try: sys.exit(5)\nfinally: print('done')", 5, 5, "error"),
    "caught": ("try: sys.exit(6)\nexcept SystemExit: pass", 0, None, "ok"),
    "caught in a function": ("def leave():\n  try: sys.exit(6)\n  except SystemExit: pass\nleave()", 0, None, "ok"),
    "caught, and another": ("try: sys.exit(6)\nexcept SystemExit: sys.exit(7)", 7, 7, "error"),
    "in a thread": (
        "import threading; t = threading.Thread(target=sys.exit, args=(8,)); t.start(); t.join()",
        0,
        None,
        "ok",
    ),
    "an exception": ("raise ValueError('on purpose')", 1, 1, "error"),
    "Ctrl-C": ("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(30)", -2, 130, "error"),
    "SIGTERM": ("import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)", -15, 143, "error"),
}


@pytest.mark.parametrize("way", [["report.py"], ["-m", "report"]], ids=["file", "module"])
@pytest.mark.parametrize("end", ENDS)
def test_how_a_script_ended_is_part_of_its_outcome(end: str, way: list[str], tmp_path: Path) -> None:
    """Its exit code stands in the cassette, as a shell says it; any but 0 is a failure. A caught exit is none."""
    text, code, status, outcome = ENDS[end]
    (tmp_path / "report.py").write_text(f"import sys\n{text}\n")
    done = timetracer("run", "--no-launcher", "--", "python", *way, folder=tmp_path)
    assert done.returncode == code, done.stderr
    (path,) = find_cassettes(tmp_path / "cassettes")
    cassette = read_cassette(path)
    assert cassette.inbound is not None
    assert (cassette.inbound.result.status, cassette.trace.status) == (status, outcome)


def test_the_exit_code_of_run_is_the_programs(folder: Path) -> None:
    """Also one that means something else to us."""
    assert timetracer("run", "--", "python", "report.py", "exit", folder=folder).returncode == 3
    assert timetracer("run", "--json", "--", "python", "report.py", "exit", folder=folder).returncode == 3


def test_a_replay_without_its_cassette_ends_before_the_script(folder: Path) -> None:
    """Exit code 3, the file named, and nothing was run."""
    done = timetracer("run", "--mode", "replay", "--cassette", "none.json", "--", "python", "report.py", folder=folder)
    assert done.returncode == 3
    assert "none.json" in done.stderr
    assert not (folder / "x.sqlite3").exists()


def test_a_child_of_a_script_gets_no_root_of_its_own_name(folder: Path) -> None:
    """The mark of `run` is for the process that it starts, and for no process after that."""
    (folder / "parent.py").write_text("import os\nprint('_TIMETRACER_SCRIPT' in os.environ)\n")
    assert timetracer("run", "--", "python", "parent.py", folder=folder).stdout == "False\n"


def test_the_demo_replays_equal(tmp_path: Path) -> None:
    """What the README promises: recorded, everything stopped, replayed alike."""
    done = timetracer("demo", "--json", "--keep", str(tmp_path / "demo"), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["equal"]
    assert said["upstream_stopped"]
    assert said["recorded"]["body"] == said["replayed"]["body"]
    assert Path(said["cassette"]).is_file()
    assert [name.split()[0] for name, _ in said["replayed"]["calls"]] == ["sqlite3", "requests", "httpx"]


def test_doctor_finds_this_environment_ready(tmp_path: Path) -> None:
    """Every plugin's functions are where it expects them, and a replay without a cassette ends before its code."""
    done = timetracer("doctor", "--json", folder=tmp_path)
    said = json.loads(done.stdout)
    wrong = [finding for finding in said["findings"] if finding["state"] == "wrong"]
    assert (done.returncode, said["ready"], wrong) == (0, True, []), done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("TIMETRACER_QUEUE_MB", "-1", "TIMETRACER_QUEUE_MB"),
        ("OTEL_TRACES_EXPORTER", "bogus", "OTEL_TRACES_EXPORTER"),
        ("OTEL_PYTHON_DISTRO", "bogus", "OTEL_PYTHON_DISTRO"),
        ("TIMETRACER_CASSETTE_DIR", "/dev/null/cassettes", "/dev/null"),
    ],
)
def test_doctor_names_what_is_wrong(variable: str, value: str, named: str, tmp_path: Path) -> None:
    """Exit code 1, and the variable or folder that is to blame."""
    done = timetracer("doctor", folder=tmp_path, **{variable: value})
    assert done.returncode == 1
    assert any("✗" in line and named in line for line in done.stdout.splitlines()), done.stdout


def test_manage_py_has_the_command_without_an_installed_app(tmp_path: Path) -> None:
    """With the project's settings over the environment; its own options and exit codes included."""
    (tmp_path / "project.py").write_text("SECRET_KEY = 'x'\nTIMETRACER = {'CASSETTE_DIR': 'of-the-project'}\n")
    (tmp_path / "manage.py").write_text(
        "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'project')\n"
        "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
    )
    env = environment(TIMETRACER_CASSETTE_DIR=os.devnull)
    manage = [sys.executable, "manage.py", "timetracer"]
    listed = finished([*manage, "list"], folder=tmp_path, env=env)
    assert (listed.returncode, listed.stdout.partition(";")[0]) == (0, "no cassettes in of-the-project"), listed.stderr
    assert finished([*manage, "show", "none.json"], folder=tmp_path, env=env).returncode == 3
    assert "timetracer" in finished([*manage, "--help"], folder=tmp_path, env=env).stdout
    assert "validate" in finished([*manage[:2], "help", "timetracer"], folder=tmp_path, env=env).stdout


@pytest.mark.parametrize("option", [["--settings=staging"], ["--settings", "staging"]])
def test_manage_py_takes_the_settings_that_it_is_told(option: list[str], tmp_path: Path) -> None:
    """Django's own option stands behind any command, and is none of the program that `run` runs."""
    (tmp_path / "staging.py").write_text("SECRET_KEY = 'x'\nTIMETRACER = {'CASSETTE_DIR': 'of-staging'}\n")
    (tmp_path / "manage.py").write_text(
        "from django.core.management import execute_from_command_line\nexecute_from_command_line()\n"
    )
    manage = [sys.executable, "manage.py", "timetracer"]
    listed = finished([*manage, "list", *option, "--json"], folder=tmp_path, env=environment())
    assert (listed.returncode, json.loads(listed.stdout)["cassettes"]) == (0, []), listed.stderr
    plain = finished([*manage, "list", *option], folder=tmp_path, env=environment())
    assert plain.stdout.startswith("no cassettes in of-staging")
    show = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]
    ran = finished([*manage, "run", "--mode", "off", *option, "--", *show, *option], folder=tmp_path, env=environment())
    assert ran.stdout.splitlines()[-1] == str(option), ran.stderr
