"""The shop of tests/e2e/shop with its servers: migrated, recorded under a web server, replayed with nothing running."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.serving import BIN, LAUNCHER, Answer, App, Asked, ask_all, environment, finished, serving
from tests.server_process import free_ports
from tests.services import PostgresServer, RedisServer, Upstream
from timetracer.cassette.model import Cassette
from timetracer.cassette.store import find_cassettes, read_cassette

SHOP = Path(__file__).parent / "shop"
PYTHON = str(BIN / "python")
PLAIN_GUNICORN = [
    str(BIN / "gunicorn"), "shop.wsgi:application", "--bind", "127.0.0.1:{port}", "--workers", "2", "--threads", "4",
]  # fmt: skip
PLAIN_UVICORN = [
    str(BIN / "uvicorn"), "shop.asgi:application", "--host", "127.0.0.1", "--port", "{port}", "--lifespan", "off",
]  # fmt: skip
PLAIN_RUNSERVER = [PYTHON, "manage.py", "runserver", "--noreload", "127.0.0.1:{port}"]
GUNICORN, UVICORN, RUNSERVER = [*LAUNCHER, *PLAIN_GUNICORN], [*LAUNCHER, *PLAIN_UVICORN], [*LAUNCHER, *PLAIN_RUNSERVER]
VOLATILE = {"date", "server", "connection", "transfer-encoding", "keep-alive"}


def questions() -> list[Asked]:
    """Fifty requests, one in each way that the shop leans on something."""
    json_type = {"Content-Type": "application/json"}
    boundary = "a-boundary-of-our-own"
    upload = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        ).encode()
        + bytes(range(256)) * 300
        + f"\r\n--{boundary}--\r\n".encode()
    )
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


def comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """Returns an answer without what a server may say differently each time."""
    return answer.status, [(k, v) for k, v in answer.headers if k.lower() not in VOLATILE], answer.body


@dataclass(slots=True)
class Shop:
    """The shop: what it leans on, and where its cassettes and logs go.

    Attributes:
        folder: holds the database, the cassettes and the logs.
        port: of the web server; one for all runs, for the shop calls itself.
    """

    folder: Path
    env: dict[str, str]
    servers: tuple[Upstream | RedisServer | PostgresServer, ...]
    port: int = field(default_factory=lambda: free_ports(1)[0])
    project: Path = SHOP

    @property
    def cassettes(self) -> Path:
        """The folder of the cassettes."""
        return self.folder / "cassettes"

    def log(self, mode: str) -> str:
        """Returns what the last server in this mode printed."""
        return (self.folder / f"{mode}.log").read_text(encoding="utf-8", errors="replace")

    @contextmanager
    def serving(self, mode: str, command: Sequence[str], **more: str) -> Iterator[App]:
        """Serves the shop in one mode until the block ends."""
        ours = {"TIMETRACER_MODE": mode, "TIMETRACER_CASSETTE_DIR": str(self.cassettes)} if mode != "off" else {}
        log = self.folder / f"{mode}.log"
        with serving(command, folder=self.project, env=self.env | ours | more, log=log, port=self.port) as app:
            yield app

    def run(
        self, mode: str, command: Sequence[str], asked: Sequence[Asked], *, at_once: int = 8, **more: str
    ) -> list[Answer]:
        """Serves the shop in one mode and asks it everything."""
        with self.serving(mode, command, **more) as app:
            return ask_all(app.port, asked, at_once)

    def recorded(self) -> list[Cassette]:
        """Returns every cassette of a request but those that asked whether the server is up."""
        cassettes = [read_cassette(path) for path in find_cassettes(self.cassettes)] if self.cassettes.is_dir() else []
        return [c for c in cassettes if c.inbound is not None and c.inbound.target != "/health/"]

    def targets(self) -> list[str]:
        """Returns what was asked in the recorded requests, sorted."""
        return sorted(c.inbound.target for c in self.recorded() if c.inbound is not None)

    def manage(self, *arguments: str) -> None:
        """Runs a command of manage.py."""
        done = finished([PYTHON, "manage.py", *arguments], folder=self.project, env=self.env)
        assert done.returncode == 0, done.stderr

    def take_all_away(self) -> None:
        """Stops every server and takes the database file away."""
        for server in self.servers:
            server.stop()
        (self.folder / "shop.sqlite3").rename(self.folder / "gone")

    def replays_alike(
        self, command: Sequence[str], asked: Sequence[Asked], live: Sequence[Answer], **more: str
    ) -> None:
        """Checks that a replay answers everything as the live run did, byte for byte."""
        again = self.run("replay", command, asked, **more)
        for question, first, second in zip(asked, live, again, strict=True):
            said = f"{question.method} {question.path}\n  live:   {first}\n  replay: {second}\n{self.log('replay')}"
            assert comparable(second) == comparable(first), said


@pytest.fixture
def shop(
    tmp_path: Path, upstream: Upstream, redis_server: RedisServer, postgres_server: PostgresServer
) -> Iterator[Shop]:
    """The shop, its databases migrated, its servers running; they run again afterwards, whatever was stopped."""
    env = environment(
        SHOP_DIR=str(tmp_path),
        SHOP_UPSTREAM=upstream.url,
        SHOP_REDIS_URL=redis_server.url,
        SHOP_PG_PORT=str(postgres_server.port),
        SHOP_PG_USER=postgres_server.user,
        SHOP_PG_NAME=postgres_server.database,
        OTEL_SERVICE_NAME="shop",
        PYTHONPATH=os.pathsep.join(filter(None, [str(SHOP), os.environ.get("PYTHONPATH")])),
    )
    made = Shop(tmp_path, env, (upstream, redis_server, postgres_server))
    for database in ("default", "stock"):
        made.manage("migrate", "--database", database, "-v0")
    yield made
    for server in made.servers:
        server.start()
