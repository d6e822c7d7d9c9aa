"""The replay runner and other frameworks than Django: recorded by a server, replayed without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.serving import BIN, LAUNCHER, Asked, ask_all, environment, finished, serving
from tests.services import Upstream

TIMETRACER = str(BIN / "timetracer")

FASTAPI = """
import os
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(app):
    async with httpx.AsyncClient(base_url=os.environ["UPSTREAM"]) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/items/{number}")
async def item(number: int, request: Request):
    answer = await request.app.state.client.get(f"/echo?item={number}")
    return {"number": number, "upstream": answer.status_code}


@app.post("/items")
async def add(request: Request):
    sent = await request.json()
    answer = await request.app.state.client.post("/echo", json=sent)
    return {"sent": sent, "upstream": answer.status_code}


@app.get("/stream")
async def stream(request: Request):
    async def lines():
        for n in range(3):
            answer = await request.app.state.client.get(f"/echo?line={n}")
            yield f"{n} {answer.status_code}\\n"

    return StreamingResponse(lines(), media_type="text/plain")
"""

FLASK = """
import os

import requests
from flask import Flask, request

app = Flask(__name__)


@app.get("/items/<int:number>")
def item(number):
    answer = requests.get(f"{os.environ['UPSTREAM']}/echo?item={number}")
    return {"number": number, "upstream": answer.status_code}


@app.post("/items")
def add():
    answer = requests.post(f"{os.environ['UPSTREAM']}/echo", json=request.get_json())
    return {"sent": request.get_json(), "upstream": answer.status_code}


@app.get("/stream")
def stream():
    def lines():
        for n in range(3):
            answer = requests.get(f"{os.environ['UPSTREAM']}/echo?line={n}")
            yield f"{n} {answer.status_code}\\n".encode()

    return app.response_class(lines(), mimetype="text/plain")
"""

LONGER = """
import os

import requests
from flask import Flask

app = Flask(__name__)


@app.get("/part")
def part():
    with requests.get(f"{os.environ['UPSTREAM']}/stream/5", stream=True) as answer:
        chunks = answer.iter_content(None)
        next(chunks)
        if os.environ.get("MORE"):
            try:
                next(chunks)
            except Exception:
                pass
    return "done"
"""

TEARDOWN = """
import os

import requests
from flask import Flask

app = Flask(__name__)


@app.teardown_request
def say(error):
    requests.get(f"{os.environ['UPSTREAM']}/echo?over=1")


@app.get("/part")
def part():
    return "done"
"""

SERVERS = {
    "fastapi": (FASTAPI, ["uvicorn", "service:app", "--host", "127.0.0.1", "--port", "{port}"]),
    "flask": (FLASK, ["gunicorn", "service:app", "--bind", "127.0.0.1:{port}", "--workers", "1", "--threads", "4"]),
}


@pytest.mark.parametrize("framework", [*SERVERS])
def test_other_frameworks_are_replayed_in_process(framework: str, upstream: Upstream, tmp_path: Path) -> None:
    """FastAPI with its lifespan, and Flask: what a server recorded is replayed without one, and a change is named."""
    source, (program, *options) = SERVERS[framework]
    service = tmp_path / "service.py"
    service.write_text(source)
    folder = tmp_path / "cassettes"
    env = environment(UPSTREAM=upstream.url, TIMETRACER_CASSETTE_DIR=str(folder), OTEL_SERVICE_NAME=framework)
    json_type = {"Content-Type": "application/json"}
    asked = [Asked("GET", f"/items/{n}") for n in range(3)]
    asked += [
        Asked("POST", "/items", b'{"name": "thing"}', json_type),
        Asked("GET", "/stream"),
        Asked("GET", "/nowhere"),
    ]
    command = [*LAUNCHER, str(BIN / program), *options]
    recording = env | {"TIMETRACER_MODE": "record"}
    with serving(command, folder=tmp_path, env=recording, log=tmp_path / "record.log", ready="/nowhere") as app:
        ask_all(app.port, asked, 1)
    replaying = [TIMETRACER, "replay", "--json", "--app", "service:app", "--workers", "2"]
    done = finished(replaying, folder=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = json.loads(done.stdout)
    assert sum(each["matched"] for each in printed["cassettes"]) == 7
    service.write_text(service.read_text().replace("?item={number}", "?item={number}&more=1"))
    done = finished(replaying, folder=tmp_path, env=env)
    assert done.returncode == 1, done.stdout + done.stderr
    calls = [call for each in json.loads(done.stdout)["cassettes"] for call in each["calls"]]
    assert [call["kind"] for call in calls] == ["changed"] * 3
    assert all("more=1" in call["differences"][0] for call in calls)


def test_more_of_a_body_than_was_recorded_is_a_difference(tmp_path: Path, upstream: Upstream) -> None:
    """An application that reads on, and swallows that nothing more is there, answers the same and is reported."""
    (tmp_path / "service.py").write_text(LONGER)
    env = environment(UPSTREAM=upstream.url, TIMETRACER_EXCLUDE_PATHS="/health/", PYTHONPATH=str(tmp_path))
    command = [*LAUNCHER, str(BIN / SERVERS["flask"][1][0]), *SERVERS["flask"][1][1:]]
    with serving(command, folder=tmp_path, env=env | {"TIMETRACER_MODE": "record"}, log=tmp_path / "record.log") as app:
        assert ask_all(app.port, [Asked("GET", "/part")], 1)[0].body == b"done"
    found = {}
    for more in ("", "1"):
        command = [TIMETRACER, "replay", "cassettes", "--app", "service:app", "--json"]
        done = finished(command, folder=tmp_path, env=env | {"MORE": more})
        found[more] = done.returncode, json.loads(done.stdout)["cassettes"]
    assert found[""][0] == 0, found
    code, (cassette,) = found["1"]
    assert code == 1
    assert "now asks for more" in json.dumps(cassette["calls"]), cassette


def test_a_call_that_was_changed_in_a_teardown_is_named(tmp_path: Path, upstream: Upstream) -> None:
    """Its miss leaves the application, and the instrumentor's span open: neither runner nor server waits for that."""
    service = tmp_path / "service.py"
    service.write_text(TEARDOWN)
    env = environment(UPSTREAM=upstream.url, TIMETRACER_EXCLUDE_PATHS="/health/", PYTHONPATH=str(tmp_path))
    command = [*LAUNCHER, str(BIN / SERVERS["flask"][1][0]), *SERVERS["flask"][1][1:]]
    with serving(command, folder=tmp_path, env=env | {"TIMETRACER_MODE": "record"}, log=tmp_path / "record.log") as app:
        assert ask_all(app.port, [Asked("GET", "/part")], 1)[0].body == b"done"
    service.write_text(TEARDOWN.replace("over=1", "over=2"))
    replay = [TIMETRACER, "replay", "cassettes", "--json"]
    found = [finished([*replay, "--app", "service:app"], folder=tmp_path, env=env)]
    with serving(command, folder=tmp_path, env=env | {"TIMETRACER_MODE": "replay"}, log=tmp_path / "replay.log") as app:
        found.append(finished([*replay, "--url", f"http://127.0.0.1:{app.port}"], folder=tmp_path, env=env))
    for done in found:
        assert done.returncode == 1, done.stdout + done.stderr
        (cassette,) = json.loads(done.stdout)["cassettes"]
        (call,) = cassette["calls"]
        assert call["kind"] == "changed", cassette
        assert "over=2" in call["differences"][0]
