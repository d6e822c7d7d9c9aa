"""Web frameworks as users run them: asked in every way, recorded, then replayed byte for byte with nothing upstream."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.e2e.serving import LAUNCHER, Answer, App, Asked, ask_all, environment, serving
from tests.server_process import wait_until
from tests.services import Upstream
from timetracer.cassette.bodies import unpack
from timetracer.cassette.model import Cassette
from timetracer.cassette.store import find_cassettes, read_cassette

APPS = Path(__file__).parent / "apps"
UVICORN = [sys.executable, "-m", "uvicorn", "{app}:app", "--host", "127.0.0.1", "--port", "{port}"]
GUNICORN = [sys.executable, "-m", "gunicorn", "{app}:app", "--bind", "127.0.0.1:{port}", "--threads", "8"]
ASGI, WSGI = ("asgi", "fastapi", "litestar", "starlette"), ("flask", "wsgi")
SERVERS = dict.fromkeys(ASGI, UVICORN) | dict.fromkeys(WSGI, GUNICORN)
CELLS = [(name, setup) for name in SERVERS for setup in ("launcher", "variables", "middleware", "auto_setup")]
VOLATILE = {"date", "server", "connection", "transfer-encoding", "keep-alive"}
BOUNDARY = "a-boundary-of-our-own"
FILE = bytes(range(256)) * 1200
FORM = (
    (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    + FILE
    + f"\r\n--{BOUNDARY}--\r\n".encode()
)
BIG = json.dumps({"items": [f"item {n} with something in it" for n in range(33_000)]}).encode()
UPLOAD = bytes(range(256)) * 12_000

TEMPLATES = {
    "fastapi": {"/one/1": "/one/{n}", "/tenants/acme/items/7": "/tenants/{tenant}/items/{n}"},
    "starlette": {"/one/1": "/one/{n}", "/tenants/acme/items/7": "/tenants/{tenant}/items/{n}"},
    "litestar": {"/one/1": "/one/{n}", "/tenants/acme/items/7": "/tenants/{tenant}/items/{n}"},
    "flask": {"/one/1": "/one/<int:n>", "/tenants/acme/items/7": "/tenants/<tenant>/items/<n>"},
}


def questions(name: str) -> list[Asked]:
    """One request of every kind, and several of some."""
    form_type = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    json_type = {"Content-Type": "application/json"}
    asked = [Asked("GET", f"/one/{n}") for n in range(1, 6)]
    asked += [Asked("GET", f"/threaded/{n}?q=a%20b&q=%C3%A9") for n in range(5)]
    asked += [Asked("GET", f"/{path}?n={n}") for path in ("stream", "events", "background", "fail") for n in range(3)]
    asked += [
        Asked("HEAD", "/one/9"),
        Asked("GET", "/tenants/acme/items/7"),
        Asked("GET", "/no/such/thing"),
        Asked("POST", "/form", FORM, form_type),
        Asked("POST", "/big", BIG, json_type),
        Asked("POST", "/upload", UPLOAD, {"Content-Type": "application/octet-stream"}),
    ]
    if name in ("flask", "wsgi"):
        asked.append(Asked("GET", "/file"))
    if name == "wsgi":
        asked += [Asked("GET", "/written"), Asked("POST", "/lines", b"one\ntwo\nthree")]
    return asked


def served(name: str, setup: str, mode: str, upstream: Upstream, folder: Path) -> AbstractContextManager[App]:
    """An application under its server, in one mode, timetracer brought in in one way."""
    log = folder.parent / f"{mode}.log"
    command = [part.replace("{app}", f"{name}_app") for part in SERVERS[name]]
    env = environment(APP_UPSTREAM=upstream.url, APP_SETUP=setup, PYTHONPATH=str(APPS), OTEL_SERVICE_NAME=name)
    if setup in ("launcher", "variables"):
        env |= {"TIMETRACER_MODE": mode, "TIMETRACER_CASSETTE_DIR": str(folder), "TIMETRACER_SECRETS": "keep"}
    else:
        env |= {"APP_MODE": mode, "APP_FOLDER": str(folder)}
    if setup == "launcher":
        command = [*LAUNCHER, *command]
    return serving(command, folder=APPS, env=env, log=log)


def comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer without what a server may say differently each time."""
    return answer.status, [(k, v) for k, v in answer.headers if k.lower() not in VOLATILE], answer.body


def recorded(folder: Path) -> dict[tuple[str, str], Cassette]:
    """The cassettes of requests, but of those that asked whether the server is up."""
    cassettes = [read_cassette(path) for path in find_cassettes(folder)]
    found = {(c.inbound.method, c.inbound.target): c for c in cassettes if c.inbound is not None}
    return {key: c for key, c in found.items() if not key[1].startswith("/health")}


def written(folder: Path, count: int) -> None:
    """Waits for cassettes: at its end a server gives them two seconds only, and this machine may be busy."""
    wait_until(lambda: folder.exists() and len(find_cassettes(folder)) >= count, 60, f"{count} cassettes")


def check(name: str, asked: Asked, answer: Answer, cassette: Cassette) -> None:
    """Holds a cassette against what the client sent and got."""
    inbound = cassette.inbound
    assert inbound is not None
    assert inbound.incomplete is None
    path = asked.path.partition("?")[0]
    sent = b"".join(unpack(inbound.request.body)) if inbound.request.body is not None else b""
    assert sent == (asked.body or b""), path
    if inbound.request.body is not None:
        assert inbound.request.body.end == "complete", path
    if path == "/fail" and name in ("asgi", "wsgi"):  # the server makes the answer out of the exception
        assert inbound.result.status is None
        answer = Answer(500, (), b"")
    else:
        assert inbound.result.status == answer.status, path
    body = inbound.result.body
    assert (b"".join(unpack(body)) if body is not None and asked.method != "HEAD" else answer.body) == answer.body, path
    app_made = [(k.lower(), v) for k, v in inbound.result.headers]
    assert [pair for pair in app_made if pair[0] not in VOLATILE] == [
        (k.lower(), v) for k, v in answer.headers if k.lower() not in VOLATILE
    ]
    if path in ("/stream", "/events"):
        assert body is not None
        assert len(unpack(body)) >= 5
        assert len(cassette.events) == 5
    elif path == "/background":
        assert cassette.events[-1].signature.url.endswith(("/background", "/background%20later"))
    elif path == "/fail":
        assert inbound.traceback is not None
        assert "ValueError: no such thing" in inbound.traceback
        assert "_app.py" in inbound.traceback
        assert inbound.result.error is not None
        assert cassette.trace.status == "error"
    template = TEMPLATES.get(name, {}).get(path)
    if template is not None:
        assert inbound.route == template


@pytest.mark.parametrize(("name", "setup"), CELLS)
def test_every_kind_of_request_is_recorded_and_replays_byte_for_byte(
    name: str, setup: str, upstream: Upstream, tmp_path: Path
) -> None:
    """Requests of every kind, eight at once: cassettes hold what went in and out, and replay it with upstream gone."""
    folder = tmp_path / "cassettes"
    asked = questions(name)
    with served(name, setup, "record", upstream, folder) as app:
        live = ask_all(app.port, asked, 8)
        written(folder, len(asked) + 1)
    log = app.output()
    cassettes = recorded(folder)
    assert set(cassettes) == {(a.method, a.path) for a in asked}, log
    for question, answer in zip(asked, live, strict=True):
        cassette = cassettes[question.method, question.path]
        check(name, question, answer, cassette)
        if setup == "launcher" and name not in ("asgi", "litestar", "wsgi"):  # OpenTelemetry instruments none of these
            (server,) = [span for span in cassette.spans if span.kind == "SERVER"]
            assert server.span_id == cassette.trace.root_id
    upload = live[[a.path for a in asked].index("/upload")]
    assert json.loads(upload.body)["digest"] == hashlib.sha256(UPLOAD).hexdigest(), log
    upstream.stop()
    try:
        with served(name, setup, "replay", upstream, folder) as app:
            again = ask_all(app.port, asked, 8)
    finally:
        upstream.start()
    for question, first, second in zip(asked, live, again, strict=True):
        assert comparable(second) == comparable(first), f"{question.method} {question.path}\n{app.output()}"


@pytest.mark.parametrize("name", list(SERVERS))
def test_a_client_that_leaves_is_noted(name: str, upstream: Upstream, tmp_path: Path) -> None:
    """An endless answer reaches the client as it is made; once that has left, the cassette holds a partial body."""
    folder = tmp_path / "cassettes"
    with served(name, "middleware", "record", upstream, folder) as app:
        got = beginning(app, "/endless")
        written(folder, 2)
    (cassette,) = recorded(folder).values()
    inbound = cassette.inbound
    assert inbound is not None
    assert inbound.result.status == 200
    assert inbound.result.body is not None
    assert inbound.result.body.end == "partial", app.output()
    body = b"".join(unpack(inbound.result.body))
    assert body.startswith((b'{"count":', b"{'count':"))
    assert body.partition(b"\n")[0] in got
    assert b"more\n" in body
    assert inbound.request.body is None


def beginning(app: App, path: str) -> bytes:
    """Reads a little of an answer and leaves."""
    with socket.create_connection(("127.0.0.1", app.port), 20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        got = b""
        while got.count(b"more\n") < 3:
            received = connection.recv(4096)
            assert received, got
            got += received
    return got


@pytest.mark.parametrize(
    ("name", "setup"),
    [("asgi", "middleware"), ("fastapi", "launcher"), ("litestar", "middleware"), ("starlette", "launcher")],
)
def test_a_websocket_passes_untouched(name: str, setup: str, upstream: Upstream, tmp_path: Path) -> None:
    """A websocket echoes off, while recording and in replay, and is in no cassette."""
    folder = tmp_path / "cassettes"
    for mode in ("off", "record", "replay"):
        with served(name, setup, mode, upstream, folder) as app:
            if mode == "record":
                written(folder, 1)
            with connect(f"ws://127.0.0.1:{app.port}/echo", proxy=None) as client:
                for text in ("one", "two", "\u00fcml\u00e4ut"):
                    client.send(text)
                    assert client.recv(20) == text.upper()
    assert [path.name for path in find_cassettes(folder) if not path.name.startswith("GET__health")] == []


@pytest.mark.parametrize("name", ["fastapi", "flask", "litestar", "starlette"])
def test_old_and_chunked_requests_are_recorded_whole(name: str, upstream: Upstream, tmp_path: Path) -> None:
    """A body of unknown length and an HTTP/1.0 request: answered as ever, and the cassettes hold all of it."""
    folder = tmp_path / "cassettes"
    pieces = [bytes([n]) * 50_000 for n in range(20)]
    with served(name, "launcher", "record", upstream, folder) as app:
        connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=60)
        connection.request("POST", "/upload", iter(pieces), {"Content-Type": "application/octet-stream"})
        chunked = json.loads(connection.getresponse().read())
        connection.close()
        old = whole(app, b"GET /one/1 HTTP/1.0\r\n\r\n")
        written(folder, 3)
    cassettes = recorded(folder)
    assert chunked["digest"] == hashlib.sha256(b"".join(pieces)).hexdigest(), app.output()
    upload, one = cassettes["POST", "/upload"].inbound, cassettes["GET", "/one/1"].inbound
    assert upload is not None
    assert upload.request.body is not None
    assert (b"".join(unpack(upload.request.body)), upload.request.body.end) == (b"".join(pieces), "complete")
    assert one is not None
    assert one.result.body is not None
    assert old.endswith(b"".join(unpack(one.result.body)))


def whole(app: App, request: bytes) -> bytes:
    """Sends a request as it stands and reads until the server closes."""
    with socket.create_connection(("127.0.0.1", app.port), 20) as connection:
        connection.sendall(request)
        got = b""
        while received := connection.recv(65536):
            got += received
    return got
