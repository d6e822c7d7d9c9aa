"""The replay runner, as a user runs it: recorded requests sent again, to an application and to a server."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.e2e.serving import BIN, Asked, ask, finished
from tests.e2e.shopping import GUNICORN, PLAIN_GUNICORN, Shop, questions, shop
from timetracer.cassette.store import find_cassettes, read_cassette

__all__ = ["shop"]

TIMETRACER = str(BIN / "timetracer")


def replay(shop: Shop, *arguments: str, code: int, **more: str) -> dict[str, Any]:
    """Runs `timetracer replay` on the shop's cassettes and returns what it printed as JSON."""
    command = [TIMETRACER, "replay", str(shop.cassettes), "--json", *arguments]
    done = finished(command, folder=shop.project, env=shop.env | more, timeout=120)
    assert done.returncode == code, done.stdout[-6000:] + done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def of(printed: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """Returns the findings of requests whose target begins so."""
    return [each for each in printed["cassettes"] if each["name"].partition(" ")[2].startswith(path)]


def record(shop: Shop, asked: Sequence[Asked]) -> None:
    """Records, and leaves nothing running of what the shop leans on."""
    shop.run("record", GUNICORN, asked)
    shop.take_all_away()


def with_one_change(shop: Shop, folder: Path, file: str, old: str, new: str) -> None:
    """Gives the shop a copy of its project in which one thing is otherwise."""
    shutil.copytree(shop.project, folder)
    path = folder / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    shop.project = folder
    shop.env["PYTHONPATH"] = str(folder)


def test_an_unchanged_application_matches_in_processes_of_its_own(shop: Shop) -> None:
    """Fifty requests and those that the shop made to itself: every answer and every call is as recorded."""
    record(shop, questions())
    printed = replay(shop, "--app", "shop.wsgi:application", "--workers", "2", code=0)
    assert printed["summary"]["matched"] == len(printed["cassettes"]) >= 55
    assert sum(each["matched"] for each in printed["cassettes"]) > 100


def test_a_health_check_that_a_fresh_connection_needs_not_is_no_change(shop: Shop) -> None:
    """Who asks a kept connection whether it lives is chance: recorded in many requests, asked by none in the replay."""
    kept = {"SHOP_CONN_MAX_AGE": "600", "SHOP_CONN_HEALTH_CHECKS": "1"}
    asked = [Asked("GET", f"/stock/item-{n}/") for n in range(12)]
    shop.run("record", GUNICORN, asked, at_once=1, **kept)
    shop.take_all_away()
    events = [event for each in shop.recorded() for event in each.events]
    assert sum(event.signature.fields.get("sql") == "SELECT 1" for event in events) > 4
    for workers in ("1", "2"):
        printed = replay(shop, "--app", "shop.wsgi:application", "--workers", workers, code=0, **kept)
        assert printed["summary"]["matched"] == len(printed["cassettes"]) >= 12
    again = replay(shop, "--app", "shop.wsgi:application", code=0)
    assert again["summary"]["matched"] == len(again["cassettes"])


def test_a_call_that_was_changed_is_named_with_its_differences(shop: Shop, tmp_path: Path) -> None:
    """One call of one view asks for more now: that call is named, with what differs, and nothing else."""
    old, new = '{"reference": str(order.reference)}', '{"reference": str(order.reference), "channel": "web"}'
    record(shop, questions()[:20])
    with_one_change(shop, tmp_path / "changed", "shop/orders/views.py", old, new)
    reports = tmp_path / "report.html", tmp_path / "report.xml"
    arguments = ["--app", "shop.wsgi:application", "--html", str(reports[0]), "--junit", str(reports[1])]
    printed = replay(shop, *arguments, code=1)
    posted = of(printed, "/orders/?")
    assert [each["outcome"] for each in posted] == ["changed"] * 2
    assert printed["summary"]["changed"] == 2
    assert printed["summary"]["matched"] == len(printed["cassettes"]) - 2
    for each in posted:
        (call,) = each["calls"]
        assert (call["kind"], call["reason"]) == ("changed", "no match")
        assert call["name"].startswith("requests POST http://127.0.0.1:")
        (difference,) = call["differences"]
        assert difference.startswith("body: recorded ")
        assert difference.endswith('"channel": "web"}\'')
        assert [(d["where"], d["recorded"], d["replayed"]) for d in each["answer"]] == [("status", "201", "500")]
        assert [line["kind"] for line in each["tree"] if line["kind"] not in (None, "matched")] == ["changed"]
    html = reports[0].read_text()
    assert html.count("changed call: requests POST") == 2
    assert "<script" not in html
    suite = ElementTree.parse(reports[1]).getroot()[0]
    assert suite.get("failures") == "2"
    assert suite.get("tests") == str(len(printed["cassettes"]))


def test_a_running_server_answers_in_parallel_by_trace(shop: Shop) -> None:
    """One gunicorn in replay mode is asked eight at a time, and each request gets the cassette that it came from."""
    record(shop, questions())
    with tempfile.TemporaryDirectory(prefix="t-") as folder:  # of its own: other tests' runs go on beside it
        shop.env["TMPDIR"] = folder
        with shop.serving("replay", GUNICORN) as app:
            printed = replay(shop, "--url", f"http://127.0.0.1:{app.port}", "--workers", "8", code=0)
        assert printed["summary"]["matched"] == len(printed["cassettes"]) >= 55
        assert sum(each["matched"] for each in printed["cassettes"]) > 100
        assert os.listdir(folder) == []


def test_a_server_that_does_not_replay_is_sent_nothing(shop: Shop) -> None:
    """Recorded requests change things: without a sign that the server replays, none is sent."""
    shop.run("record", GUNICORN, questions()[:2])
    with shop.serving("off", PLAIN_GUNICORN) as app:
        printed = replay(shop, "--url", f"http://127.0.0.1:{app.port}", code=1)
        assert "does not replay" in printed["error"]
    assert "POST" not in shop.log("off")


def test_a_form_is_taken_though_its_token_was_redacted(shop: Shop) -> None:
    """Django's check of CSRF tokens is lifted for what the runner sends, and for nobody else."""
    with shop.serving("record", GUNICORN) as app:
        shown = ask(app.port, Asked("GET", "/form/"))
        cookie = shown.header("Set-Cookie")[0].partition(";")[0]
        token = json.loads(shown.body)["csrf"]
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        sent = Asked("POST", "/form/", f"note=hello&csrfmiddlewaretoken={token}".encode(), headers)
        assert ask(app.port, sent).status == 200
    shop.take_all_away()
    assert all(token not in path.read_text() for path in find_cassettes(shop.cassettes))
    printed = replay(shop, "--app", "shop.wsgi:application", code=0)
    assert {each["name"] for each in printed["cassettes"]} >= {"GET /form/", "POST /form/"}
    with shop.serving("replay", GUNICORN) as app:
        replay(shop, "--url", f"http://127.0.0.1:{app.port}", code=0)
        forged = Asked("POST", "/form/", b"note=hello", {"Content-Type": "application/x-www-form-urlencoded"})
        assert ask(app.port, forged).status == 403


def test_answers_are_updated_and_fields_are_ignored(shop: Shop, tmp_path: Path) -> None:
    """A view answers otherwise: the field can be ignored; or the cassettes are rewritten, and match from then on."""
    shop.run("record", GUNICORN, [Asked("GET", f"/stock/item-{n}/") for n in range(3)])
    shop.take_all_away()
    old, new = 'return JsonResponse({"left": [left for', 'return JsonResponse({"more": True, "left": [left for'
    with_one_change(shop, tmp_path / "changed", "shop/orders/views.py", old, new)
    app = ("--app", "shop.wsgi:application")
    changed = of(replay(shop, *app, code=1), "/stock/")
    assert [[d["where"] for d in each["answer"]] for each in changed] == [["body $.more"]] * 3
    replay(shop, *app, "--ignore", "more", code=0)
    replay(shop, *app, "--ignore", "$.more", code=0)
    updated = of(replay(shop, *app, "--update", code=0), "/stock/")
    assert [each["updated"] for each in updated] == [True] * 3
    replay(shop, *app, code=0)
    for path in find_cassettes(shop.cassettes):
        inbound = read_cassette(path).inbound
        assert inbound is None or inbound.target == "/health/" or inbound.result.body.json["more"] is True


def test_a_call_that_is_made_no_more_is_missing_and_dropped_by_an_update(shop: Shop, tmp_path: Path) -> None:
    """A query is left out: it is reported as missing, and --update takes it out of the cassette."""
    shop.run("record", GUNICORN, [Asked("GET", "/orders/1/")])
    shop.take_all_away()
    old, new = '"total": Order.objects.count() > 0', '"total": True'
    with_one_change(shop, tmp_path / "changed", "shop/orders/views.py", old, new)
    app = ("--app", "shop.wsgi:application")
    (finding,) = of(replay(shop, *app, "--ignore", "total", code=1), "/orders/")
    (call,) = finding["calls"]
    assert call["kind"] == "missing"
    assert "COUNT(*)" in call["name"]
    replay(shop, *app, "--update", code=0)
    (finding,) = of(replay(shop, *app, code=0), "/orders/")
    assert finding["outcome"] == "matched"


def test_a_broken_cassette_is_said_and_the_others_are_replayed(shop: Shop, tmp_path: Path) -> None:
    """The exit code is 3, and what can be read is replayed all the same, whatever the project's own settings say."""
    record(shop, [Asked("GET", "/orders/1/")])
    new = 'USE_TZ = True\nTIMETRACER = {"MODE": "record"}'
    with_one_change(shop, tmp_path / "recording", "shop/settings.py", "USE_TZ = True", new)
    (shop.cassettes / "broken.json").write_text("{")
    before = len(list(shop.cassettes.rglob("*.json")))
    printed = replay(shop, "--app", "shop.wsgi:application", code=3)
    assert printed["summary"]["matched"] == len(printed["cassettes"]) == 2
    assert [Path(each["file"]).name for each in printed["broken"]] == ["broken.json"]
    assert len(list(shop.cassettes.rglob("*.json"))) == before
