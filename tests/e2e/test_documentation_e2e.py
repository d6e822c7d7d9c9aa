"""README and quickstart, followed to the letter: every command and every block, on a project made for the purpose."""

from __future__ import annotations

import json
import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.documents import BLOCKS, ROOT, Block
from tests.e2e.serving import BIN, App, Asked, ask, environment, finished, serving
from timetracer.cassette.store import find_cassettes, read_cassette

GUIDES = ("README.md", "quickstart.md")
LINES = {
    line.split("  #")[0].strip()
    for block in BLOCKS
    if block.language == "bash" and block.document.name in GUIDES
    for line in block.code.splitlines()
}
RUNSERVER = "opentelemetry-instrument python manage.py runserver --noreload"
RECORD, REPLAY = f"TIMETRACER_MODE=record {RUNSERVER}", f"TIMETRACER_MODE=replay {RUNSERVER}"
HYBRID = f"TIMETRACER_MODE=replay TIMETRACER_LIVE_PLUGINS=sqlite3 {RUNSERVER}"
LOOKING = ("timetracer list", "timetracer show cassettes", "timetracer validate cassettes", "timetracer doctor")
AGAIN = "timetracer replay cassettes --app shop.wsgi:application"
SCRIPTS = ("TIMETRACER_MODE=record python report.py", "timetracer run --mode record -- python report.py")
TESTS = ("pytest", "pytest --timetracer-record=rewrite", "CI=true pytest")
UVICORN = "TIMETRACER_MODE=record uvicorn main:app"
INSTALL = re.compile(r'pip install "timetracer\[([\w,-]+)\]"')
FOR_CI = "python3 -m venv .venv && "

MANAGE = """
import os, sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""
SETTINGS = """
from pathlib import Path

SECRET_KEY = "not-a-secret"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parents[1] / "shop.sqlite3"}}
USE_TZ = True
"""
URLS = """
import os, uuid

import httpx
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path


def order(request, number):
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists visits (page integer)")
        cursor.execute("insert into visits values (%s)", [number])
        cursor.execute("select count(*) from visits")
        (visits,) = cursor.fetchone()
    found = httpx.get(f"{os.environ['UPSTREAM']}/orders/{number}").json()
    return JsonResponse({"order": found, "visits": visits, "ticket": str(uuid.uuid4())})


urlpatterns = [path("orders/<int:number>/", order), path("health", lambda request: HttpResponse("well"))]
"""
WSGI = """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""
REPORT = """
import sqlite3
from contextlib import closing

with closing(sqlite3.connect("report.sqlite3")) as connection:
    print(connection.execute("select 6 * 7").fetchone())
"""


class _Handler(BaseHTTPRequestHandler):
    """Rates and orders."""

    def do_GET(self) -> None:
        number = self.path.rpartition("/")[2]
        answer: dict[str, Any] = {"EUR": 1.0} if number == "rates" else {"id": int(number)}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def upstream() -> Iterator[str]:
    """A server of rates and orders, until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _environment(**more: str) -> dict[str, str]:
    """Returns an environment in which `python` and our commands are those of this run, and nothing says CI."""
    env = environment(**more)
    env.pop("CI", None)
    return {**env, "PATH": f"{BIN}:{env['PATH']}"}


def _said(line: str, folder: Path, **more: str) -> Any:
    """Runs one line of a guide as a shell would."""
    assert line in LINES, f"no guide says: {line}"
    return finished(["bash", "-c", line], folder=folder, env=_environment(**more), timeout=120)


@contextmanager
def _served(line: str, folder: Path, *arguments: str, ready: str = "/health", **more: str) -> Iterator[App]:
    """Serves with one line of a guide, on a free port."""
    assert line in LINES, f"no guide says: {line}"
    command = ["bash", "-c", f"exec env {line} {' '.join(arguments)}"]
    with serving(command, folder=folder, env=_environment(**more), log=folder / "server.log", ready=ready) as app:
        yield app


def _block(name: str, document: str) -> Block:
    (found,) = (block for block in BLOCKS if block.file == name and block.document.name == document)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Django project that has never heard of timetracer."""
    files = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/settings.py": SETTINGS, "shop/urls.py": URLS}
    for name, content in {**files, "shop/wsgi.py": WSGI}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_every_command_of_the_guides_is_run_here() -> None:
    """A line that is added there has to be added here."""
    known = {RECORD, REPLAY, HYBRID, *LOOKING, AGAIN, *SCRIPTS, *TESTS, UVICORN}
    others = {line for line in LINES - known if not line.startswith(FOR_CI)}
    assert {line for line in others if not INSTALL.fullmatch(line)} == set()
    assert known <= LINES
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for line in others:
        found = INSTALL.fullmatch(line)
        assert found
        assert set(found[1].split(",")) <= set(extras)


def test_a_django_project_is_recorded_looked_at_and_replayed(project: Path) -> None:
    """With no line of it changed; then with the upstream stopped and the database gone; then with one plugin live."""
    paths = ["/orders/7/", "/orders/8/"]
    with upstream() as url, _served(RECORD, project, "127.0.0.1:{port}", UPSTREAM=url) as app:
        live = [ask(app.port, Asked("GET", path)).body for path in paths]
    assert [json.loads(body)["visits"] for body in live] == [1, 2]
    for line in LOOKING:
        done = _said(line, project)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert "orders" in _said("timetracer list", project).stdout

    (project / "shop.sqlite3").rename(project / "gone.sqlite3")
    with _served(REPLAY, project, "127.0.0.1:{port}", UPSTREAM=url) as app:
        assert [ask(app.port, Asked("GET", path)).body for path in paths] == live
        unknown = ask(app.port, Asked("GET", "/orders/9/"))
        assert unknown.status == 500
        assert b"no cassette for this call: sqlite3" in unknown.body
    assert not (project / "shop.sqlite3").exists()
    done = _said(AGAIN, project, UPSTREAM=url, PYTHONPATH=str(project))
    assert done.returncode == 0, done.stdout + done.stderr

    (project / "gone.sqlite3").rename(project / "shop.sqlite3")
    with _served(HYBRID, project, "127.0.0.1:{port}", UPSTREAM=url) as app:
        hybrid = json.loads(ask(app.port, Asked("GET", paths[0])).body)
    assert hybrid == {**json.loads(live[0]), "visits": 3}


def test_the_middleware_alone_is_enough(project: Path) -> None:
    """The settings of the quickstart, and no launcher."""
    with (project / "shop" / "settings.py").open("a") as settings:
        settings.write(_block("settings.py", "quickstart.md").code)
    command = [sys.executable, "manage.py", "runserver", "--noreload", "127.0.0.1:{port}"]
    with upstream() as url:
        env = _environment(UPSTREAM=url)
        with serving(command, folder=project, env=env, log=project / "server.log", ready="/health") as app:
            assert ask(app.port, Asked("GET", "/orders/7/")).status == 200
    inbound = [read_cassette(path).inbound for path in find_cassettes(project / "cassettes")]
    assert [each.target for each in inbound if each is not None] == ["/orders/7/"]


@pytest.mark.parametrize("line", SCRIPTS, ids=["variables", "run"])
def test_a_script_is_recorded(line: str, tmp_path: Path) -> None:
    """With the variables alone, or with `timetracer run`."""
    (tmp_path / "report.py").write_text(REPORT)
    done = _said(line, tmp_path)
    assert (done.returncode, done.stdout.splitlines()[:1]) == (0, ["(42,)"]), done.stderr
    (path,) = find_cassettes(tmp_path / "cassettes")
    assert any(event.signature.lib == "sqlite3" for event in read_cassette(path).events)


def test_an_app_of_another_framework_is_recorded(tmp_path: Path) -> None:
    """`auto_setup`, under a server without the launcher."""
    (tmp_path / "main.py").write_text(_block("main.py", "quickstart.md").code)
    with _served(UVICORN, tmp_path, "--port", "{port}", ready="/docs") as app:
        assert ask(app.port, Asked("GET", "/greeting/Ada")).body == b'{"hello":"Ada"}'
    names = [path.name for path in find_cassettes(tmp_path / "cassettes")]
    assert [name for name in names if name.startswith("GET__greeting_name__")], names


@pytest.mark.parametrize(
    ("name", "document"), [("test_rates.py", "README.md"), ("test_orders.py", "quickstart.md")], ids=GUIDES
)
def test_the_tests_record_once_and_replay_in_ci(name: str, document: str, tmp_path: Path) -> None:
    """First against a server; then with it gone, as in CI, where a missing cassette fails."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    first, anew, ci = TESTS
    with upstream() as url:
        code = _block(name, document).code.replace("http://127.0.0.1:8000", url)
        (tmp_path / name).write_text(code)
        missing = _said(ci, tmp_path)
        assert missing.returncode == 1
        assert "pytest --timetracer-record=rewrite" in missing.stdout
        for line in (first, anew):
            done = _said(line, tmp_path)
            assert done.returncode == 0, f"{line}\n{done.stdout}"
    folder = tmp_path / "cassettes" / Path(name).stem
    tests = re.findall(r"def (test_\w+)", code)
    assert sorted(path.stem for path in folder.iterdir()) == sorted(tests)
    for line in (ci, first):
        done = _said(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}"


def test_blocks_for_the_end_to_end_tests_are_run_by_one() -> None:
    """Each has a name that a test here, or that of its page, asks for."""
    here = {"test_rates.py", "test_orders.py", "settings.py", "main.py"}
    for block in BLOCKS:
        if block.language == "python" and block.e2e and block.document.name in (*GUIDES, "index.md", "architecture.md"):
            assert block.file in here, block.name
