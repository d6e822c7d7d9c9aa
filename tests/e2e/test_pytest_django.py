"""pytest-django: its marker, its clients, its live server and its databases in tests that have a cassette."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.pytest_project import INI, Project, Run
from tests.services import PostgresServer, Upstream

SETTINGS = """
SECRET_KEY = "for the tests of this project alone, fifty characters"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "shop"]
ROOT_URLCONF = "shop.urls"
STATIC_URL = "/static/"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DATABASES = {"default": DATABASE}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
"""
MODELS = """
import uuid
from django.db import models


class Order(models.Model):
    reference = models.UUIDField(default=uuid.uuid4)
    name = models.CharField(max_length=90)
    made = models.DateTimeField(auto_now_add=True)
"""
URLS = """
import httpx
from django.db import transaction
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path
from shop.models import Order


def order(request):
    name = httpx.get(URL + "/counter/django").text
    made = Order.objects.create(name=name)
    said = []
    transaction.on_commit(lambda: said.append(httpx.get(URL + "/counter/committed").text))
    return JsonResponse({"orders": Order.objects.count(), "name": name, "ref": str(made.reference), "said": said})


async def order_async(request):
    async with httpx.AsyncClient() as client:
        name = (await client.get(URL + "/counter/async")).text
    made = await Order.objects.acreate(name=name)
    return JsonResponse({"orders": await Order.objects.acount(), "name": name, "ref": str(made.reference)})


def stream(request):
    return StreamingHttpResponse(httpx.get(URL + "/counter/stream").text for _ in range(3))


urlpatterns = [path("order", order), path("async", order_async), path("stream", stream)]
"""
TESTS = """
import httpx, pytest, requests
from asgiref.sync import sync_to_async
from django.db import connections
from shop.models import Order

pytestmark = [pytest.mark.cassette]


@pytest.fixture
def first(db):
    return Order.objects.create(name=httpx.get(URL + "/counter/fixture").text)


@pytest.mark.django_db
def test_client(client, first):
    print("ANSWER", client.get("/order").json(), first.name, Order.objects.count())


def test_db_fixture_alone(client, db):
    print("ANSWER", client.get("/order").json(), Order.objects.count())


@pytest.mark.django_db(transaction=True)
def test_transaction(client):
    print("ANSWER", client.get("/order").json(), Order.objects.count())


@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_sequences(client):
    print("ANSWER", client.get("/order").json(), Order.objects.get().pk)


@pytest.mark.django_db
def test_on_commit(client, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        answer = client.get("/order").json()
    print("ANSWER", answer, len(callbacks))


@pytest.mark.django_db
def test_streaming(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        print("ANSWER", b"".join(client.get("/stream")))


def test_live_server(live_server):
    print("ANSWER", requests.get(live_server.url + "/order").json(), Order.objects.count())


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_async_client(async_client):
    print("ANSWER", (await async_client.get("/async")).json(), await Order.objects.acount())
    # Nobody closes what asgiref's thread has open, cassette or not: PostgreSQL's test database is then in use.
    await sync_to_async(connections.close_all)()


def test_request_factory(rf, settings):
    settings.USE_TZ = False
    print("ANSWER", rf.get("/x").path, httpx.get(URL + "/counter/rf").text)


@pytest.mark.django_db
class TestInClass:
    def test_admin(self, admin_client, django_user_model):
        print("ANSWER", admin_client.get("/order").json()["name"], django_user_model.objects.count())
"""
COUNT = 10


@pytest.fixture
def project(tmp_path: Path, upstream: Upstream) -> Project:
    """A Django project that pytest-django runs."""
    made = Project(tmp_path, upstream)
    made.write("pytest.ini", INI + "pythonpath = .\npython_files = test_*.py\n")
    made.write("shop/__init__.py", "")
    made.write("shop/models.py", MODELS)
    made.write("shop/urls.py", URLS)
    made.write("test_shop.py", TESTS)
    return made


def in_postgres(server: PostgresServer) -> dict[str, object]:
    """Django's settings of a database that the tests' runner makes beside the given one."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": server.host,
        "PORT": server.port,
        "USER": server.user,
        "NAME": server.database,
        "TEST": {"NAME": "shop_test"},
    }


def printed(run: Run) -> list[str]:
    """What the tests printed, in no order; ports and addresses differ."""
    return sorted(re.sub(r"localhost:\d+", "", line) for line in run.text.splitlines() if line.startswith("ANSWER"))


SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3", "TEST": {"NAME": "shop-test.sqlite3"}}


@pytest.mark.parametrize("engine", ["sqlite3", "postgresql"])
def test_everything_of_pytest_django_works_in_a_marked_test(
    engine: str, project: Project, postgres_server: PostgresServer
) -> None:
    """Recorded once, then replayed alone, with `--reuse-db` and spread over workers: the same, upstream gone."""
    database = SQLITE if engine == "sqlite3" else in_postgres(postgres_server)
    project.write("settings.py", f"DATABASE = {database!r}\n" + SETTINGS)
    recorded = project.pytest("--ds=settings", "--create-db")
    assert recorded.all("PASSED", COUNT), recorded.text
    assert len(project.cassettes()) == COUNT
    for name in ("test_client", "test_db_fixture_alone", "test_transaction", "test_live_server"):
        events = project.cassette(f"cassettes/test_shop/{name}.json")["events"]
        assert {event["signature"]["lib"] for event in events} == {"httpx"}, name
    with project.offline():
        for more in ([], ["--reuse-db"], ["--reuse-db", "-n", "2", "-p", "xdist"], ["--create-db", "--no-migrations"]):
            replayed = project.pytest("--ds=settings", "--timetracer-unused=error", *more, CI="1")
            assert replayed.all("PASSED", COUNT), f"{more}\n{replayed.text}"
            if "-n" not in more:
                assert printed(replayed) == printed(recorded), more


def test_a_database_that_is_replayed_on_request(project: Project) -> None:
    """`live=[]` has the test's own queries recorded as well, where the tests make their database themselves."""
    project.write(
        "settings.py",
        "DATABASE = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'shop.sqlite3'}\n" + SETTINGS,
    )
    project.write(
        "test_shop.py",
        """
import pytest
from shop.models import Order


@pytest.mark.cassette(live=["sqlite3"])
@pytest.mark.django_db
def test_named(client):
    print("ANSWER", client.get("/order").json()["name"])
""",
    )
    recorded = project.pytest("--ds=settings")
    assert recorded.all("PASSED", 1), recorded.text
    with project.offline():
        replayed = project.pytest("--ds=settings", CI="1")
    assert replayed.all("PASSED", 1), replayed.text
    assert printed(replayed) == printed(recorded)


SERVICE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
import django, timetracer
django.setup()
from django.core.management import call_command
from django.db import connections
from django.test import Client
call_command("migrate", "--run-syncdb", verbosity=0)
connections.close_all()
with timetracer.record("incident.json"):
    print("ANSWER", Client().get("/order").json()["ref"])
"""
INCIDENT = """
import pytest
from shop.models import Order


@pytest.mark.django_db
def test_with_the_database_of_the_tests():
    Order.objects.create(name="another")
    assert Order.objects.count() == 1


@pytest.mark.cassette("incident.json", allow_unused=False)
def test_incident(client, django_db_blocker):
    with django_db_blocker.unblock():
        print("ANSWER", client.get("/order").json()["ref"])


def test_incident_in_a_block(client, django_db_blocker, timetracer_replay):
    with django_db_blocker.unblock(), timetracer_replay("incident.json", allow_unused=False):
        print("ANSWER", client.get("/order").json()["ref"])
"""


@pytest.mark.parametrize("engine", ["sqlite3", "postgresql"])
def test_a_cassette_of_a_service_answers_for_its_database(
    engine: str, project: Project, postgres_server: PostgresServer
) -> None:
    """A test without `django_db` gets the recorded rows, also after others have had the runner's own database."""
    plain = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(project.folder / "shop.sqlite3")}
    database = plain if engine == "sqlite3" else in_postgres(postgres_server)
    project.write("settings.py", f"DATABASE = {database!r}\n" + SETTINGS)
    project.write("service.py", SERVICE)
    done = subprocess.run(
        [sys.executable, "service.py"], cwd=project.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    project.write("test_shop.py", INCIDENT)
    with project.offline():
        for chosen, number in (("test", 3), ("incident", 2)):
            replayed = project.pytest("--ds=settings", "-k", chosen, CI="1")
            assert replayed.all("PASSED", number), replayed.text
            assert printed(replayed) == [done.stdout.strip()] * 2
