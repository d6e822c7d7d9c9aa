"""Kinds of tests: asyncio in both modes, anyio, Django's cases and live server; cassettes that a service recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.pytest_project import INI, Project
from tests.services import PostgresServer, Upstream


@pytest.fixture
def project(tmp_path: Path, upstream: Upstream) -> Project:
    """An empty project."""
    return Project(tmp_path, upstream)


def _printed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("ANSWER")]


ASYNC = """
import asyncio, unittest, uuid
import httpx, pytest, pytest_asyncio

pytestmark = pytest.mark.cassette


async def ask(path):
    async with httpx.AsyncClient() as client:
        return (await client.get(URL + path, params={"id": str(uuid.uuid4())})).text


@pytest_asyncio.fixture
async def before():
    yield await ask("/counter/before")
    await ask("/counter/after")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def outside():
    return await ask("/counter/outside") if LIVE else "outside"


@MARK
async def test_asyncio(before, outside):
    print("ANSWER", before, uuid.uuid4(), await asyncio.gather(*(ask("/counter/one") for _ in range(3))))


class TestAsync(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.before = await ask("/counter/set-up")

    async def test_method(self):
        print("ANSWER", self.before, uuid.uuid4(), await ask("/counter/method"))
"""

ANYIO = """
import anyio, httpx, pytest, uuid

pytestmark = [pytest.mark.anyio, pytest.mark.cassette]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def before():
    async with httpx.AsyncClient() as client:
        yield (await client.get(URL + "/counter/anyio")).text
        await client.get(URL + "/counter/anyio")


async def test_anyio(before):
    answers = []

    async def ask(n):
        async with httpx.AsyncClient() as client:
            answers.append((n, (await client.get(URL + f"/counter/{n}", params={"id": str(uuid.uuid4())})).text))

    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(ask, n)
    print("ANSWER", before, sorted(answers))
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_async_tests(project: Project, mode: str) -> None:
    """Tests and function-scoped fixtures are inside the cassette, fixtures of a wider scope are not."""
    project.write("pytest.ini", INI.replace("asyncio_mode = strict", f"asyncio_mode = {mode}"))
    code = ASYNC.replace("@MARK\n", "@pytest.mark.asyncio\n" if mode == "strict" else "")
    project.write("test_async.py", "LIVE = True\n" + code)
    if mode == "strict":
        project.write("test_anyio.py", ANYIO)
    recorded = project.pytest()
    assert recorded.all("PASSED", len(recorded.outcomes)), recorded.text
    assert len(_printed(recorded.text)) == (3 if mode == "strict" else 2)
    project.write("test_async.py", "LIVE = False\n" + code)
    with project.offline():
        replayed = project.pytest("--timetracer-unused=error", CI="1")
    assert replayed.all("PASSED", len(recorded.outcomes)), replayed.text
    assert _printed(replayed.text) == _printed(recorded.text)
    events = project.cassette("cassettes/test_async/test_asyncio.json")["events"]
    assert sorted(e["signature"]["url"].partition("?")[0].rpartition("/")[2] for e in events) == [
        "after", "before", "one", "one", "one"
    ]  # fmt: skip


SETTINGS = """
SECRET_KEY = "for the tests of this project alone, fifty characters"
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.urls"
STATIC_URL = "/static/"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DATABASES = {"default": DATABASE}
"""
MODELS = """
from django.db import models


class Order(models.Model):
    name = models.CharField(max_length=50)
    made = models.DateTimeField(auto_now_add=True)
"""
URLS = """
import httpx
from django.http import JsonResponse
from django.urls import path
from shop.models import Order


def order(request):
    name = httpx.get(URL + "/counter/django").text
    Order.objects.create(name=name)
    return JsonResponse({"orders": Order.objects.count(), "name": name})


urlpatterns = [path("order", order)]
"""
CONFTEST = """
import os
import django, pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"


def pytest_configure():
    django.setup()


@pytest.fixture(scope="session", autouse=True)
def databases():
    from django.test.runner import DiscoverRunner

    runner = DiscoverRunner(verbosity=0, interactive=False)
    runner.setup_test_environment()
    made = runner.setup_databases()
    yield
    runner.teardown_databases(made)
    runner.teardown_test_environment()
"""
DJANGO = """
import pytest, requests
from django.test import LiveServerTestCase, TestCase
from shop.models import Order

pytestmark = pytest.mark.cassette


class TestOrders(TestCase):
    @classmethod
    def setUpTestData(cls):
        Order.objects.create(name="first")

    def test_one(self):
        print("ANSWER", self.client.get("/order").json())
        self.assertEqual(Order.objects.count(), 2)

    def test_two(self):
        self.assertEqual(self.client.get("/order").json()["orders"], 2)


class TestLive(LiveServerTestCase):
    def test_live(self):
        print("ANSWER", requests.get(self.live_server_url + "/order").json())
        self.assertEqual(Order.objects.count(), 1)
"""


@pytest.mark.parametrize("engine", ["sqlite3", "postgresql"])
def test_django(project: Project, engine: str, request: pytest.FixtureRequest) -> None:
    """The test runner's database stays live, the live server really answers, what its views call is replayed."""
    database = {"ENGINE": f"django.db.backends.{engine}", "NAME": "shop", "TEST": {"NAME": "shop-test.sqlite3"}}
    if engine == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database |= {"NAME": server.database, "USER": server.user, "HOST": server.host, "PORT": server.port}
        database["TEST"] = {"NAME": "shop_test"}
    project.write("settings.py", f"DATABASE = {database!r}\n" + SETTINGS)
    project.write("shop/__init__.py", "")
    project.write("shop/models.py", MODELS)
    project.write("shop/urls.py", URLS)
    project.write("conftest.py", CONFTEST)
    project.write("test_django.py", DJANGO)
    recorded = project.pytest("-p", "no:django")
    assert recorded.all("PASSED", 3), recorded.text
    events = project.cassette("cassettes/test_django/TestLive.test_live.json")["events"]
    assert [event["signature"]["lib"] for event in events] == ["httpx"]
    with project.offline():
        replayed = project.pytest("-p", "no:django", "--timetracer-unused=error", CI="1")
    assert replayed.all("PASSED", 3), replayed.text
    assert _printed(replayed.text) == _printed(recorded.text)


SERVICE = """
import flask, httpx, sqlite3

app = flask.Flask(__name__)


def order(number):
    database = sqlite3.connect("shop.db")
    database.execute("create table if not exists orders (number)")
    database.execute("insert into orders values (?)", (number,))
    database.commit()
    count = database.execute("select count(*) from orders").fetchone()[0]
    database.close()
    return {"answer": httpx.get(URL + "/counter/service").text, "count": count}


@app.get("/orders/<int:number>")
def get(number):
    return order(number)


if __name__ == "__main__":
    print("ANSWER", app.test_client().get("/orders/7").json)
"""
REPLAYED = """
import service


def test_function(timetracer_replay):
    with timetracer_replay("recorded", allow_unused=False):
        print("ANSWER", service.order(7))


def test_app(timetracer_replay):
    with timetracer_replay("recorded"):
        print("ANSWER", service.app.test_client().get("/orders/7").json)
"""


def test_what_a_service_recorded_under_the_launcher_answers_in_plain_pytest(project: Project) -> None:
    """No instrumentor is there, no span is made; the calls are answered all the same."""
    project.write("service.py", SERVICE)
    launcher = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
    assert launcher
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TIMETRACER_", "OTEL_"))}
    environment |= {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    environment |= {"TIMETRACER_MODE": "record", "TIMETRACER_CASSETTE_DIR": "recorded"}
    recorded = subprocess.run(
        [launcher, sys.executable, "service.py"], cwd=project.folder, env=environment, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert _printed(recorded.stdout), recorded.stderr
    (project.folder / "shop.db").unlink()
    project.write("test_service.py", REPLAYED)
    with project.offline():
        replayed = project.pytest()
    assert replayed.all("PASSED", 2), replayed.text
    assert _printed(replayed.text) == _printed(recorded.stdout) * 2
    assert not (project.folder / "shop.db").exists()


POSTGRES = """
import os
import psycopg, pytest

pytestmark = pytest.mark.cassette


@pytest.mark.parametrize("number", [1, 2])
def test_sync(number):
    for question in os.environ["ASK"].split(";"):
        with psycopg.connect(DSN) as connection:
            print("ANSWER", number, connection.execute(question, [number]).fetchall())


@pytest.mark.asyncio
async def test_async():
    for question in os.environ["ASK"].split(";"):
        async with await psycopg.AsyncConnection.connect(DSN) as connection:
            print("ANSWER", await (await connection.execute(question, [3])).fetchall())
"""


def test_postgresql(project: Project, postgres_server: PostgresServer) -> None:
    """Recorded and replayed with the server gone, sync and async; what is new is refused, with advice, never asked."""
    project.write("test_postgres.py", f"DSN = {postgres_server.dsn!r}\n" + POSTGRES)
    one, two = "select %s::int, clock_timestamp()", "select %s::text, random()"
    recorded = project.pytest(ASK=one)
    assert recorded.all("PASSED", 3), recorded.text
    refused = project.pytest("--timetracer-record=new_episodes", ASK=f"{one};{two}")
    assert refused.all("FAILED", 3), refused.text
    assert "cannot go live half-way: record with `rewrite`" in refused.text
    added = project.pytest("--timetracer-record=rewrite", ASK=f"{one};{two}")
    assert added.all("PASSED", 3), added.text
    postgres_server.stop()
    try:
        replayed = project.pytest("--timetracer-unused=error", CI="1", ASK=f"{one};{two}")
    finally:
        postgres_server.start()
    assert replayed.all("PASSED", 3), replayed.text
    assert _printed(replayed.text) == _printed(added.text)
