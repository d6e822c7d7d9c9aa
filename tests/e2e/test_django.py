"""The main job, as a user does it: a Django service recorded under gunicorn, then replayed with nothing running."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import BIN, LAUNCHER, Answer, Asked, ask_all, environment, finished, serving
from tests.server_process import free_ports
from tests.services import PostgresServer, RedisServer, Upstream
from timetracer.cassette.model import Cassette
from timetracer.cassette.store import find_cassettes, read_cassette

SHOP = Path(__file__).parent / "shop"
GUNICORN = [*LAUNCHER, str(BIN / "gunicorn"), "shop.wsgi:application", "--bind", "127.0.0.1:{port}", "--workers", "2", "--threads", "4"]
UVICORN = [*LAUNCHER, str(BIN / "uvicorn"), "shop.asgi:application", "--host", "127.0.0.1", "--port", "{port}", "--lifespan", "off"]
RUNSERVER = [*LAUNCHER, "{python}", "manage.py", "runserver", "--noreload", "127.0.0.1:{port}"]
VOLATILE = {"date", "server", "connection", "transfer-encoding", "keep-alive"}


def questions() -> list[Asked]:
    """Fifty requests, one in each way that the shop leans on something."""
    json_type = {"Content-Type": "application/json"}
    boundary = "a-boundary-of-our-own"
    upload = (
        f"--{boundary}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n"
        f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n"
    ).encode() + bytes(range(256)) * 300 + f"\r\n--{boundary}--\r\n".encode()
    asked = []
    for n in range(5):
        asked += [
            Asked("POST", f"/orders/?n={n}", json.dumps({"item": f"thing-{n}"}).encode(), json_type),
            Asked("GET", f"/orders/{n + 1}/"),
            Asked("GET", f"/stock/item-{n}/"),
            Asked("GET", f"/api/orders/{n + 1}/"),
            Asked("GET", f"/self/{n + 11}/"),
            Asked("GET", f"/threads/?n={n}"),
            Asked("GET", f"/gather/?n={n}"),
            Asked("GET", f"/stream/?n={n}"),
            Asked("POST", f"/upload/?n={n}", upload, {"Content-Type": f"multipart/form-data; boundary={boundary}"}),
            Asked("GET", f"/fail/?n={n}"),
        ]
    return asked


@pytest.fixture
def shop(tmp_path: Path, upstream: Upstream, redis_server: RedisServer, postgres_server: PostgresServer) -> dict[str, str]:
    """The shop's environment: its database migrated, its servers running."""
    env = environment(
        SHOP_DIR=str(tmp_path),
        SHOP_UPSTREAM=upstream.url,
        SHOP_REDIS_URL=redis_server.url,
        SHOP_PG_PORT=str(postgres_server.port),
        SHOP_PG_USER=postgres_server.user,
        SHOP_PG_NAME=postgres_server.database,
        OTEL_SERVICE_NAME="shop",
        PYTHONPATH=str(SHOP),
    )
    for database in ("default", "stock"):
        done = finished([str(BIN / "python"), "manage.py", "migrate", "--database", database, "-v0"], folder=SHOP, env=env)
        assert done.returncode == 0, done.stderr
    return env


@pytest.fixture
def everything_gone(tmp_path: Path, upstream: Upstream, redis_server: RedisServer, postgres_server: PostgresServer) -> Any:
    """Stops every server and takes the database file away; gives them back at the end."""

    def stop() -> None:
        for server in (upstream, redis_server, postgres_server):
            server.stop()
        (tmp_path / "shop.sqlite3").rename(tmp_path / "gone")

    yield stop
    for server in (upstream, redis_server, postgres_server):
        server.start()


def comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer without what a server may say differently each time."""
    return answer.status, [(k, v) for k, v in answer.headers if k.lower() not in VOLATILE], answer.body


def run(command: list[str], env: dict[str, str], mode: str, folder: Path, asked: list[Asked], port: int) -> list[Answer]:
    """Serves the shop in one mode and asks it everything, eight at a time; it calls itself, so the port is part of it."""
    env = {**env, "TIMETRACER_MODE": mode, "TIMETRACER_CASSETTE_DIR": str(folder)}
    command = [part.replace("{python}", str(BIN / "python")) for part in command]
    with serving(command, folder=SHOP, env=env, log=folder.parent / f"{mode}.log", port=port) as app:
        return ask_all(app.port, asked, 8)


def recorded(folder: Path) -> list[Cassette]:
    """Every cassette of a request but the one that asked whether the server is up."""
    cassettes = [read_cassette(path) for path in find_cassettes(folder)]
    return [c for c in cassettes if c.inbound is not None and c.inbound.target != "/health/"]


@pytest.mark.parametrize(
    ("command", "more"),
    [
        pytest.param(GUNICORN, {}, id="gunicorn"),
        pytest.param([*GUNICORN, "--preload"], {}, id="gunicorn-preload"),
        pytest.param(UVICORN, {}, id="uvicorn"),
        pytest.param(RUNSERVER, {"OTEL_TRACES_SAMPLER": "always_off"}, id="runserver-always-off"),
        pytest.param(GUNICORN, {"OTEL_SDK_DISABLED": "true"}, id="gunicorn-sdk-disabled"),
    ],
)
def test_fifty_requests_replay_byte_for_byte_with_nothing_running(
    command: list[str], more: dict[str, str], shop: dict[str, str], everything_gone: Callable[[], None], tmp_path: Path
) -> None:
    """Fifty parallel requests are recorded; with every server stopped they are answered alike, byte for byte."""
    folder = tmp_path / "cassettes"
    asked = questions()
    (port,) = free_ports(1)
    live = run(command, {**shop, **more}, "record", folder, asked, port)
    for question, answer in zip(asked, live, strict=True):
        expected_status = 500 if "/fail/" in question.path else 201 if question.path.startswith("/orders/?") else 200
        assert answer.status == expected_status, f"{question.path}: {answer}"
    cassettes = recorded(folder)
    targets = sorted(c.inbound.target for c in cassettes if c.inbound)
    expected = sorted([a.path for a in asked] + [f"/orders/{n + 11}/" for n in range(5)])
    assert targets == expected, (tmp_path / "record.log").read_text()
    everything_gone()
    again = run(command, {**shop, **more}, "replay", folder, asked, port)
    log = (tmp_path / "replay.log").read_text()
    for question, first, second in zip(asked, live, again, strict=True):
        assert comparable(second) == comparable(first), f"{question.method} {question.path}\n{log}"


