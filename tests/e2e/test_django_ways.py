"""Every way to run a Django project: middleware, launcher or both, manage.py, sync, async, with settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import LAUNCHER, Asked, environment, finished
from tests.e2e.shopping import (
    GUNICORN,
    PLAIN_GUNICORN,
    PLAIN_RUNSERVER,
    PLAIN_UVICORN,
    PYTHON,
    UVICORN,
    Shop,
    questions,
)
from timetracer.cassette.store import find_cassettes

ALONE = {"SHOP_MIDDLEWARE": "1"}
STREAMS = [Asked("GET", "/stream/?n=1"), Asked("GET", "/astream/?n=1"), Asked("GET", "/gather/?n=1")]


@pytest.mark.parametrize(
    ("command", "more"),
    [
        pytest.param(PLAIN_GUNICORN, ALONE, id="middleware-gunicorn"),
        pytest.param(PLAIN_UVICORN, ALONE, id="middleware-uvicorn"),
        pytest.param(GUNICORN, ALONE, id="both"),
        pytest.param(PLAIN_GUNICORN, {}, id="variables-alone"),
        pytest.param(PLAIN_RUNSERVER, {}, id="manage.py-alone"),
        pytest.param([*LAUNCHER, *PLAIN_RUNSERVER], {}, id="manage.py-launched"),
    ],
)
def test_every_way_to_run_it_records_and_replays(command: list[str], more: dict[str, str], shop: Shop) -> None:
    """Nobody names DJANGO_SETTINGS_MODULE but the project's own files; each request makes one cassette and replays."""
    asked = [*questions()[:10], *STREAMS]
    live = shop.run("record", command, asked, **more)
    assert 404 not in [answer.status for answer in live]
    assert shop.targets() == sorted([*(question.path for question in asked), "/orders/11/"]), shop.log("record")
    shop.take_all_away()
    shop.replays_alike(command, asked, live, **more)


def test_what_was_recorded_under_the_launcher_replays_without_it(shop: Shop) -> None:
    """A recording under one server replays under another, with or without instrumentors, and the other way round."""
    asked = questions()[:10]
    live = shop.run("record", GUNICORN, asked)
    shop.take_all_away()
    again = shop.run("replay", PLAIN_UVICORN, asked, **ALONE)
    assert [answer.body for answer in again] == [answer.body for answer in live]


@pytest.mark.parametrize("launcher", [[], LAUNCHER], ids=["alone", "launched"])
def test_one_request_of_a_server_replays_under_runserver(launcher: list[str], shop: Shop) -> None:
    """A file from elsewhere is all there is: Django's check of migrations, which nobody recorded, does not end it."""
    asked = questions()[:1]
    live = shop.run("record", GUNICORN, asked)
    (taken,) = [path for path in find_cassettes(shop.cassettes) if "health" not in path.name]
    taken.rename(shop.folder / "taken.json")
    shop.take_all_away()
    only = {"TIMETRACER_CASSETTE": str(shop.folder / "taken.json")}
    again = shop.run("replay", [*launcher, *PLAIN_RUNSERVER], asked, **only)
    assert [answer.body for answer in again] == [answer.body for answer in live]


@pytest.mark.parametrize("command", [pytest.param(GUNICORN, id="wsgi"), pytest.param(UVICORN, id="asgi")])
def test_streams_stay_streams(command: list[str], shop: Shop) -> None:
    """Sync and async streams are recorded to their end, in both kinds of servers, and replay alike."""
    live = shop.run("record", command, STREAMS)
    assert shop.targets() == sorted(question.path for question in STREAMS)
    for cassette in shop.recorded():
        assert cassette.inbound is not None
        assert cassette.inbound.incomplete is None
        assert cassette.inbound.result.body is not None
        assert cassette.inbound.result.body.end == "complete"
    shop.take_all_away()
    shop.replays_alike(command, STREAMS, live)


@pytest.mark.parametrize("command", [pytest.param(GUNICORN, id="launched"), pytest.param(PLAIN_GUNICORN, id="plain")])
def test_django_settings_go_over_the_environment(command: list[str], shop: Shop) -> None:
    """`TIMETRACER` in the settings wins over the environment, with the launcher and with the middleware alone."""
    folder = shop.folder / "elsewhere"
    settings = {"CASSETTE_DIR": str(folder), "EXCLUDE_PATHS": ["/api/*", "/health/"], "SERVICE": "from settings"}
    shop.run("record", command, questions()[:4], SHOP_TIMETRACER=json.dumps(settings), **ALONE)
    assert not shop.recorded()
    found = [path for path in folder.rglob("*.json") if not path.name.startswith("PROCESS")]
    assert len(found) == 3, shop.log("record")
    assert all("from settings" in path.read_text() for path in found)


def test_a_failed_view_keeps_its_traceback(shop: Shop) -> None:
    """The exception that a view raised is in its cassette, under the template of its route."""
    shop.run("record", GUNICORN, [Asked("GET", "/fail/?n=3")])
    (cassette,) = shop.recorded()
    assert cassette.inbound is not None
    assert cassette.inbound.route == "/fail/"
    assert cassette.inbound.result.status == 500
    assert "RuntimeError: no luck with 3" in str(cassette.inbound.traceback)
    assert "views.py" in str(cassette.inbound.traceback)
    assert cassette.trace.status == "error"


SMALL = """
SECRET_KEY = "for the tests of this project alone, fifty characters"
ROOT_URLCONF = "small"
urlpatterns = []
"""
SERVES = "from django.core.handlers.wsgi import WSGIHandler as W; W(); print('SERVES')"
WITH_MIDDLEWARE = "MIDDLEWARE = ['timetracer.integrations.django.TimeTracerMiddleware']\n"


def small(folder: Path, *settings: str, launched: bool) -> Any:
    """Runs a command of a project of one file, in which no variable says what to do."""
    (folder / "small.py").write_text(SMALL + "".join(settings))
    command = [PYTHON, "-m", "django", "shell", "-v0", "-c", SERVES, "--settings=small", "--pythonpath=."]
    return finished([*(LAUNCHER if launched else []), *command], folder=folder, env=environment())


def test_a_setting_that_is_not_allowed_is_one_line(tmp_path: Path) -> None:
    """The middleware ends the command with what was set where, and what may be."""
    for setting, said in (
        ("'MODE': 'bogus'", "Django's TIMETRACER['MODE']='bogus' is not allowed: one of off, record, replay"),
        (
            "'MDOE': 'record'",
            "Django's TIMETRACER setting='MDOE' is not allowed: there is no such setting; did",
        ),
    ):
        done = small(tmp_path, WITH_MIDDLEWARE, f"TIMETRACER = {{{setting}}}\n", launched=False)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "SERVES" not in done.stdout


def test_a_replay_of_the_settings_that_cannot_start_ends_under_the_launcher(tmp_path: Path) -> None:
    """No variable announced it, so the launcher would go on and ask live servers; a recording is only given up."""
    missing = small(tmp_path, "TIMETRACER = {'MODE': 'replay', 'CASSETTE': 'none.json'}\n", launched=True)
    assert (missing.returncode, missing.stdout) == (3, ""), missing.stderr
    assert "timetracer: start-up failed before any app code ran: there is no cassette none.json" in missing.stderr
    wrong = small(tmp_path, "TIMETRACER = {'MODE': 'bogus'}\n", launched=True)
    assert (wrong.returncode, wrong.stdout) == (2, ""), wrong.stderr
    given_up = small(tmp_path, "TIMETRACER = {'MODE': 'record', 'SAMPLE_RATE': 'lots'}\n", launched=True)
    assert given_up.returncode == 0
    assert "SERVES" in given_up.stdout
    assert "timetracer: nothing is recorded: Django's TIMETRACER['SAMPLE_RATE']='lots' is not" in given_up.stderr
    assert "Traceback" not in missing.stderr + wrong.stderr + given_up.stderr
