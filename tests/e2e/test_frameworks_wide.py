"""What applications are made of besides routes, by every server and way in: a cassette a request."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from tests.e2e.serving import LAUNCHER, Answer, App, Asked, ask_all, environment, serving
from tests.e2e.test_frameworks import comparable, recorded, written
from tests.services import RedisServer, Upstream
from timetracer.cassette.bodies import unpack
from timetracer.cassette.store import find_cassettes, read_cassette

APPS = Path(__file__).parent / "apps"
PYTHON = sys.executable
GUNICORN = [PYTHON, "-m", "gunicorn", "{app}:app", "--bind", "127.0.0.1:{port}"]
SERVERS = {
    "uvicorn": [PYTHON, "-m", "uvicorn", "{app}:app", "--host", "127.0.0.1", "--port", "{port}"],
    "uvicorn-worker": [*GUNICORN, "-k", "uvicorn_worker.UvicornWorker"],
    "hypercorn": [PYTHON, "-m", "hypercorn", "{app}:app", "--bind", "127.0.0.1:{port}"],
    "gthread": [*GUNICORN, "--threads", "8"],
    "sync": GUNICORN,
    "waitress": [PYTHON, "-m", "waitress", "--listen", "127.0.0.1:{port}", "{app}:app"],
    "gevent": [*GUNICORN, "-k", "gevent"],
}  # fmt: skip
BOUNDARY = "a-boundary-of-our-own"
LARGE = bytes(range(256)) * 12_000
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode() + LARGE + f"\r\n--{BOUNDARY}--\r\n".encode()  # fmt: skip
JSON = {"Content-Type": "application/json"}
ROUTES = {
    "/sub/things/7": ("/sub/things/{id}", "/sub/things/<int:id>"),
    "/outer/x/inner/y/leaf/z": ("/outer/{a}/inner/{b}/leaf/{c}", "/outer/<a>/inner/<b>/leaf/<c>"),
    "/classes/5": ("/classes/{id}", "/classes/<int:id>"),
    "/known": ("/known", "/known"),
}


def questions(name: str) -> list[Asked]:
    """Everything that the application answers, in ways that clients ask."""
    asked = [
        *(Asked("GET", f"/clients?n={n}") for n in range(3)),
        *(Asked("GET", path) for path in [*ROUTES, "/unhandled", "/no/such"]),
        Asked("GET", "/file"),
        Asked("GET", "/file", headers={"Range": "bytes=100-199"}),
        Asked("GET", "/file", headers={"Range": "bytes=99999999-"}),
        Asked("GET", "/file", headers={"If-Modified-Since": "Wed, 15 Nov 2023 22:13:20 GMT"}),
        Asked("HEAD", "/file"),
        Asked("POST", "/unread", b"nobody reads this"),
        Asked("POST", "/streamed", LARGE),
        Asked("POST", "/spooled", FORM, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}),
    ]
    if name == "flask_wide":
        asked += [Asked("GET", path) for path in ("/aborted", "/away", "/late", "/outer/1/inner/2/key", "/sub/none")]
        asked += [Asked("POST", "/classes/6", b'{"a": 1}', JSON), Asked("POST", "/classes/6", b"{broken", JSON)]
        asked += [Asked("OPTIONS", "/classes/7"), Asked("DELETE", "/classes/8")]
        return asked
    origin = {"Origin": "http://shop.example"}
    asked += [Asked("GET", path) for path in ("/yields", "/yields/fails", "/later", "/lines", "/sub/broken")]
    asked += [
        Asked("GET", "/long", headers={"Accept-Encoding": "gzip"}),
        Asked("GET", "/long", headers=origin),
        Asked("OPTIONS", "/things", headers=origin | {"Access-Control-Request-Method": "PUT"}),
        Asked("OPTIONS", "/things", headers=origin | {"Access-Control-Request-Method": "DELETE"}),
        Asked("POST", "/things", b'{"name": "x", "price": 2}', {**JSON, "X-Key": "k"}),
        Asked("POST", "/things", b'{"name": "y", "price": 3}', JSON),
        Asked("POST", "/things", b'{"name": "x", "price": "much"}', JSON),
        Asked("POST", "/things", b"{broken", JSON),
        Asked("PUT", "/things", b"{}", JSON),
    ]
    return asked


def served(
    name: str, server: str, setup: str, mode: str, upstream: Upstream, redis: RedisServer, folder: Path
) -> AbstractContextManager[App]:
    """An application under a server, timetracer brought in in one way or several."""
    command = [part.replace("{app}", name) for part in SERVERS[server]]
    file = folder.parent / "wide.bin"
    file.write_bytes(bytes(range(256)) * 400)
    os.utime(file, (1_700_000_000, 1_700_000_000))  # its ETag is made of that
    env = environment(
        APP_UPSTREAM=upstream.url, APP_REDIS=redis.url, APP_SETUP=setup, APP_FILE=str(file), PYTHONPATH=str(APPS)
    )
    if "launcher" in setup or "variables" in setup:
        env |= {"TIMETRACER_MODE": mode, "TIMETRACER_CASSETTE_DIR": str(folder), "TIMETRACER_SECRETS": "keep"}
    else:
        env |= {"APP_MODE": mode, "APP_FOLDER": str(folder)}
    if "launcher" in setup:
        command = [*LAUNCHER, *command]
    return serving(command, folder=APPS, env=env, log=folder.parent / f"{mode}.log")


def alike(asked: list[Asked], live: list[Answer], again: list[Answer], log: str) -> None:
    """Compares answers; the order of the methods that are allowed is that of a set."""
    for question, first, second in zip(asked, live, again, strict=True):
        (status, then, body), (status_again, now, body_again) = comparable(first), comparable(second)
        said = f"{question.method} {question.path} {question.headers}\n{log}"
        assert (status_again, body_again) == (status, body), said
        assert [(k, sorted(v.split(", ")) if k == "Allow" else v) for k, v in now] == [
            (k, sorted(v.split(", ")) if k == "Allow" else v) for k, v in then
        ], said


CELLS = [
    ("fastapi_wide", "uvicorn", "launcher"),
    ("fastapi_wide", "uvicorn", "middleware"),
    ("fastapi_wide", "uvicorn", "launcher+middleware"),
    ("fastapi_wide", "uvicorn", "launcher+auto_setup"),
    ("fastapi_wide", "uvicorn", "middleware+auto_setup+asgi"),
    ("fastapi_wide", "uvicorn-worker", "launcher"),
    ("fastapi_wide", "hypercorn", "launcher"),
    ("flask_wide", "gthread", "launcher"),
    ("flask_wide", "gthread", "middleware"),
    ("flask_wide", "gthread", "launcher+middleware"),
    ("flask_wide", "gthread", "launcher+auto_setup"),
    ("flask_wide", "gthread", "middleware+auto_setup+wsgi"),
    ("flask_wide", "sync", "launcher"),
    ("flask_wide", "waitress", "launcher"),
    ("flask_wide", "gevent", "launcher"),
    ("flask_wide", "gevent", "middleware"),
]


@pytest.mark.parametrize(("name", "server", "setup"), CELLS)
def test_one_cassette_a_request_and_the_same_answers_with_nothing_running(
    name: str, server: str, setup: str, upstream: Upstream, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Mounts, handlers, hooks, files, ranges, clients made at start-up: recorded once, replayed alike."""
    folder = tmp_path / "cassettes"
    asked = questions(name)
    with served(name, server, setup, "record", upstream, redis_server, folder) as app:
        live = ask_all(app.port, asked, 1)
        written(folder, len(asked) + 1)
    log = app.output()
    found = [path.name for path in find_cassettes(folder) if not path.name.startswith(("PROCESS", "GET__health"))]
    assert len(found) == len(asked), log
    cassettes = recorded(folder)
    for path, templates in ROUTES.items():
        inbound = cassettes["GET", path].inbound
        assert inbound is not None
        assert inbound.route == templates[name == "flask_wide"]
    assert {a.status for a in live} >= {200, 206, 404, 416, 418, 500}
    failed = cassettes["GET", "/unhandled"].inbound
    assert failed is not None
    assert "RuntimeError" in (failed.traceback or "")
    upstream.stop()
    redis_server.stop()
    try:
        with served(name, server, setup, "replay", upstream, redis_server, folder) as app:
            again = ask_all(app.port, asked, 1)
    finally:
        redis_server.start()
        upstream.start()
    alike(asked, live, again, app.output())


def spoken(app: App, *pieces: bytes, pause: float = 0.1, until: bytes | None = None) -> bytes:
    """Says pieces on one connection, with a pause between them, and reads until the server closes or `until` came."""
    with socket.create_connection(("127.0.0.1", app.port), 20) as connection:
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)
            connection.sendall(piece)
        got = b""
        while (until is None or until not in got) and (received := connection.recv(65536)):
            got += received
    return got


@pytest.mark.parametrize(("name", "server"), [("fastapi_wide", "uvicorn"), ("flask_wide", "gthread")])
@pytest.mark.parametrize("mode", ["off", "record"])
def test_the_wire_is_the_servers_own(
    name: str, server: str, mode: str, upstream: Upstream, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Pipelined, kept alive, announced, in chunks: what the server makes of it does not change, and is recorded."""
    folder = tmp_path / "cassettes"
    host = b"Host: localhost\r\n"
    with served(name, server, "launcher", mode, upstream, redis_server, folder) as app:
        one = b"GET /outer/x/inner/y/leaf/%d HTTP/1.1\r\n" + host
        piped = spoken(app, one % 1 + b"\r\n" + one % 2 + b"\r\n" + one % 3 + b"Connection: close\r\n\r\n")
        announced = spoken(
            app,
            b"POST /streamed HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n",
            b"hello",
            pause=0.5,
        )
        chunked = spoken(
            app,
            b"POST /streamed HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            b"3\r\nabc\r\n",
            b"4;ext=1\r\ndefg\r\n",
            b"0\r\nX-Trailer: 1\r\n\r\n",
        )
        if mode == "record":
            written(folder, 3 + piped.count(b"HTTP/1.1 200"))
    assert piped.count(b"HTTP/1.1 200") >= 1
    assert b'"x"' in piped
    assert b"HTTP/1.1 100" in announced
    assert b'"size":5' in announced.replace(b" ", b"")
    assert b'"size":7' in chunked.replace(b" ", b"")
    if mode == "record":
        kept = [c.inbound for c in map(read_cassette, find_cassettes(folder)) if c.inbound is not None]
        bodies = [inbound.request.body for inbound in kept if inbound.method == "POST"]
        assert sorted((b"".join(unpack(body)), body.end) for body in bodies if body is not None) == [
            (b"abcdefg", "complete"),
            (b"hello", "complete"),
        ]
        assert len([inbound for inbound in kept if "leaf" in inbound.target]) == piped.count(b"HTTP/1.1 200")


@pytest.mark.parametrize(("name", "server"), [("fastapi_wide", "uvicorn"), ("flask_wide", "gthread")])
def test_a_client_that_leaves_while_it_sends_harms_nobody(
    name: str, server: str, upstream: Upstream, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Half an upload and away: the server answers others, and the cassette says that the body is partial."""
    folder = tmp_path / "cassettes"
    head = b"POST /streamed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    with served(name, server, "launcher", "record", upstream, redis_server, folder) as app:
        with socket.create_connection(("127.0.0.1", app.port), 20) as connection:
            connection.sendall(head + bytes(100_000))
            time.sleep(0.3)
        (after,) = ask_all(app.port, [Asked("GET", "/clients")], 1)
        written(folder, 3)
    assert after.status == 200
    inbound = recorded(folder)["POST", "/streamed"].inbound
    assert inbound is not None
    assert inbound.request.body is not None
    assert inbound.request.body.end == "partial", app.output()
    assert len(b"".join(unpack(inbound.request.body))) <= 100_000


@pytest.mark.parametrize("setup", ["launcher", "middleware"])
def test_a_websocket_is_the_hosts_own_in_every_mode(
    setup: str, upstream: Upstream, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A hundred messages, a subprotocol, a close code, a refusal: as without us, in no cassette, and noted once."""
    folder = tmp_path / "cassettes"
    for mode in ("off", "record", "replay"):
        with served("fastapi_wide", "uvicorn", setup, mode, upstream, redis_server, folder) as app:
            if mode == "record":
                written(folder, 1)
            url = f"ws://127.0.0.1:{app.port}"
            with connect(f"{url}/echo", proxy=None, subprotocols=["shop.v1", "shop.v2"]) as client:  # type: ignore[list-item]
                assert client.subprotocol == "shop.v1"
                for n in range(100):
                    client.send(f"{n} " + "x" * n * 100)
                    assert client.recv(20) == f"{n} " + "x" * n * 100
                client.send("bye")
                with pytest.raises(ConnectionClosedError) as closed:
                    client.recv(20)
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")
            with pytest.raises(InvalidStatus) as refused, connect(f"{url}/refused", proxy=None):
                pass
            assert refused.value.response.status_code == 403
            with connect(f"{url}/echo", proxy=None) as client:
                client.send("ask")  # in replay nothing can answer it, and the socket breaks, not the server
                if mode == "replay":
                    with pytest.raises(ConnectionClosedError):
                        client.recv(20)
                else:
                    assert json.loads(client.recv(20))["count"]
            (after,) = ask_all(app.port, [Asked("GET", "/health/")], 1)
            assert after.status == 200
        (tmp_path / f"{mode}.text").write_text(app.output())
    noted = "a websocket at /echo passes untouched"
    assert [(tmp_path / f"{mode}.text").read_text().count(noted) for mode in ("off", "record", "replay")] == [0, 1, 1]
    assert "websockets are not recorded" in (tmp_path / "replay.text").read_text()
    assert not [path for path in find_cassettes(folder) if "echo" in path.name or "refused" in path.name]
