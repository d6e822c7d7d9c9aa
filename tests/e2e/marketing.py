"""The market of tests/e2e/market: a tour through what Django projects use, recorded and replayed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from redis import Redis

from tests.e2e.serving import LAUNCHER, environment, finished, serving
from tests.server_process import free_ports, wait_until
from tests.services import PostgresServer, RedisServer, Upstream
from timetracer.cassette.model import Cassette
from timetracer.cassette.store import find_cassettes, read_cassette

MARKET = Path(__file__).parent / "market"
VOLATILE = {"date", "server", "connection", "transfer-encoding", "keep-alive"}
_SECOND = re.compile(r":[0-9A-Za-z]{6}:[\w-]{43}|expires=[^;]+;")
_USER = "from django.contrib.auth.models import User; User.objects.create_user('ada', password='hold the door 7')"
BIG = bytes(range(256)) * 12_000


@dataclass(slots=True)
class Step:
    """One question of the tour and its answer."""

    method: str
    target: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.target}: {self.status} {self.headers}\n{self.body[:2000]!r}"


@dataclass(slots=True)
class Tour:
    """A client with a cookie jar that keeps what it got."""

    client: httpx.Client
    steps: list[Step] = field(default_factory=list)

    def ask(self, method: str, target: str, **more: object) -> httpx.Response:
        """Asks once and keeps the answer as it came over the wire."""
        with self.client.stream(method, target, **more) as answer:  # type: ignore[arg-type]
            raw = b"".join(answer.iter_raw())
        kept = [(k.decode(), v.decode()) for k, v in answer.headers.raw if k.decode().lower() not in VOLATILE]
        self.steps.append(Step(method, answer.request.url.raw_path.decode(), answer.status_code, kept, raw))
        return httpx.Response(answer.status_code, headers=answer.headers, content=raw)

    def take(self) -> list[Step]:
        """Goes everywhere, in the same order each time."""
        self._api()
        self._sign_in()
        self._pages()
        return self.steps

    def _api(self) -> None:
        ask = self.ask
        token = ask("POST", "/api/token/", data={"username": "ada", "password": "hold the door 7"}).json()["token"]
        known = {"Authorization": f"Token {token}"}
        for n in range(3):
            ask("POST", "/api/things/", json={"name": f"thing-{n}", "price": "1.50", "tags": {"n": n}}, headers=known)
        ask("POST", "/api/things/", json={"name": "thing-0", "price": "much"}, headers=known)
        ask("POST", "/api/things/", content=b"{broken", headers={**known, "Content-Type": "application/json"})
        ask("POST", "/api/things/", json={"name": "nobody's"})
        ask("GET", "/api/things/")
        ask("GET", "/api/things/?page=2&format=json")
        ask("GET", "/api/things/", headers={"Accept": "text/html"})
        ask("PATCH", "/api/things/2/", json={"price": "9.99"}, headers=known)
        ask("GET", "/api/things/2/worth/", headers=known)
        ask("OPTIONS", "/api/things/", headers=known)
        ask("DELETE", "/api/things/3/", headers=known)
        ask("GET", "/api/things/3/")
        for n in range(3):
            ask("GET", f"/api/rare/?n={n}")
        ask("GET", "/api/mine/", headers=known)
        ask("GET", "/api/mine/", headers={"Authorization": "Token wrong"})

    def _sign_in(self) -> None:
        ask = self.ask
        ask("GET", "/desk/")
        form = ask("GET", "/login/?next=/desk/").text
        hidden = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        who = {"username": "ada", "password": "wrong", "csrfmiddlewaretoken": hidden[0]}
        ask("POST", "/login/", data=who)
        ask("POST", "/login/", data=who | {"password": "hold the door 7"})
        ask("POST", "/desk/", data={"note": "without a token"})
        ask("POST", "/desk/", data={"note": "first"}, headers={"X-CSRFToken": self.client.cookies["csrftoken"]})
        ask("GET", "/desk/", headers={"Accept-Language": "de"})
        ask("POST", "/logout/", headers={"X-CSRFToken": self.client.cookies["csrftoken"]})
        ask("GET", "/desk/")

    def _pages(self) -> None:
        ask = self.ask
        for target in (
            "/things/", "/things/?page=2", "/things/thing-0/", "/things/none/", "/things", "/archive/2026/",
            "/excused/", "/forbidden/", "/suspicious/", "/broken/", "/abroken/", "/lazy/", "/file/", "/cached/?n=1",
            "/etag/", "/zipped/", "/page/?n=1", "/page/?n=1&again", "/stream/", "/astream/", "/aorm/?n=1", "/class/",
            "/mixed/", "/cursor/", "/no/such/page/",
        ):  # fmt: skip
            answer = ask("GET", target)
            if target == "/etag/":
                ask("GET", "/etag/", headers={"If-None-Match": answer.headers["ETag"]})
        ask("GET", "/zipped/", headers={"Accept-Encoding": "identity"})
        ask("HEAD", "/things/")
        ask("POST", "/rolled-back/")
        ask("POST", "/committed/?n=1")
        ask("POST", "/raw/", content=BIG)
        ask("POST", "/raw/?chunked", content=iter([BIG[:70_000], BIG[70_000:]]))
        ask("POST", "/upload/", files={"file": ("a.bin", BIG)})
        ask("POST", "/class/", json={"some": "thing"})
        ask("PUT", "/class/")


@dataclass(slots=True)
class Market:
    """The market: what it leans on, and where its cassettes and logs go."""

    folder: Path
    env: dict[str, str]
    servers: tuple[Upstream | RedisServer | PostgresServer, ...]
    python: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])

    @property
    def cassettes(self) -> Path:
        """The folder of the cassettes."""
        return self.folder / "cassettes"

    def manage(self, *arguments: str, launched: bool = False, **more: str) -> str:
        """Runs a command of manage.py and returns what it printed."""
        launcher = [str(self.python.parent / Path(part).name) for part in LAUNCHER] if launched else []
        done = finished([*launcher, str(self.python), "manage.py", *arguments], folder=MARKET, env=self.env | more)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def tour(self, mode: str, command: Sequence[str], **more: str) -> list[Step]:
        """Serves the market in one mode and takes the tour."""
        ours = {"TIMETRACER_MODE": mode, "TIMETRACER_CASSETTE_DIR": str(self.cassettes), "TIMETRACER_SECRETS": "keep"}
        log = self.folder / f"{mode}.log"
        with serving(command, folder=MARKET, env=self.env | ours | more, log=log, port=self.port) as app:
            alone = httpx.Limits(max_keepalive_connections=0)
            with httpx.Client(
                base_url=f"http://127.0.0.1:{app.port}", timeout=60, trust_env=False, limits=alone
            ) as client:
                steps = Tour(client).take()
            if mode == "record":
                wait_until(lambda: len(self.recorded()) >= len(steps), 60, f"{len(steps)} cassettes")
        return steps

    def log(self, mode: str) -> str:
        """Returns what the last server in this mode printed."""
        return (self.folder / f"{mode}.log").read_text(encoding="utf-8", errors="replace")

    def recorded(self) -> list[Cassette]:
        """Returns every cassette of a request but those that asked whether the server is up."""
        cassettes = [read_cassette(path) for path in find_cassettes(self.cassettes)] if self.cassettes.is_dir() else []
        return [c for c in cassettes if c.inbound is not None and c.inbound.target != "/health/"]

    def replays_alike(self, command: Sequence[str], live: Sequence[Step], **more: str) -> None:
        """Checks that a tour of the replay finds everything as the live one did, byte for byte."""
        again = self.tour("replay", command, **more)
        for first, second in zip(live, again, strict=True):
            assert comparable(second) == comparable(first), f"live:   {first}\nreplay: {second}\n{self.log('replay')}"


def comparable(step: Step) -> tuple[str, int, list[tuple[str, str]], bytes]:
    """Returns a step without the second in which a cookie was signed: a replay's clock runs at its own speed."""
    told = [(name, _SECOND.sub("", value)) for name, value in step.headers if name.lower() != "expires"]
    return step.target, step.status, told, step.body


def commands(bin_folder: Path) -> dict[str, list[str]]:
    """Returns how each server is started with what is installed in one environment."""
    return {
        "gunicorn": [
            str(bin_folder / "gunicorn"), "market.wsgi:application", "--bind", "127.0.0.1:{port}", "--threads", "4",
        ],
        "uvicorn": [
            str(bin_folder / "uvicorn"), "market.asgi:application", "--host", "127.0.0.1", "--port", "{port}",
            "--lifespan", "off",
        ],
        "runserver": [str(bin_folder / "python"), "manage.py", "runserver", "--noreload", "127.0.0.1:{port}"],
    }  # fmt: skip


@contextmanager
def market(
    folder: Path,
    bin_folder: Path,
    upstream: Upstream,
    redis: RedisServer,
    postgres: PostgresServer | None = None,
    **more: str,
) -> Iterator[Market]:
    """A market with a database of its own, migrated, and a user in it; without PostgreSQL it is SQLite's."""
    folder.mkdir(exist_ok=True)
    env = environment(
        MARKET_DIR=str(folder), MARKET_UPSTREAM=upstream.url, MARKET_REDIS_URL=redis.url, OTEL_SERVICE_NAME="market",
        PYTHONPATH=str(MARKET), **more,
    )  # fmt: skip
    servers = (upstream, redis) if postgres is None else (upstream, redis, postgres)
    made = Market(folder, env, servers, bin_folder / "python")
    client = Redis.from_url(redis.url)
    client.flushall()
    client.close()
    if postgres is not None:
        made.env |= {"MARKET_PG_PORT": str(postgres.port), "MARKET_PG_NAME": "market"}
        _database(postgres, "drop database if exists market with (force)", "create database market")
    made.manage("migrate", "-v0")
    made.manage("shell", "-c", _USER)
    try:
        yield made
    finally:
        for server in servers:
            server.start()
        if postgres is not None:
            _database(postgres, "drop database market with (force)")


def _database(postgres: PostgresServer, *statements: str) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for each in statements:
            connection.execute(each.encode())
