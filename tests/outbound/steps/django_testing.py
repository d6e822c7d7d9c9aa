"""What Django's test runner does: a test database, migrations, both kinds of test cases, connections kept alive."""

from __future__ import annotations

import unittest
from typing import Any

import django
from asgiref.sync import async_to_sync
from django.conf import settings

from tests.outbound.steps import Steps
from tests.outbound.steps.django_database import database

_DATABASE: dict[str, Any] = {**database(), "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
if "postgresql" in _DATABASE["ENGINE"]:
    _DATABASE["OPTIONS"] = {"server_side_binding": True}
settings.configure(
    DATABASES={"default": _DATABASE},
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.signals import request_finished, request_started  # noqa: E402
from django.db import IntegrityError, connection, transaction  # noqa: E402
from django.test import TestCase, TransactionTestCase  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402

steps = Steps()
runner = DiscoverRunner(verbosity=0, interactive=False)
databases: list[Any] = []
seen: list[object] = []


class InTransactions(TestCase):
    """Each test in a savepoint of the class's transaction."""

    @classmethod
    def setUpTestData(cls) -> None:
        """Makes what both tests see."""
        User.objects.create(username="base")

    def test_one(self) -> None:
        """Rows, locks, an iterator, bulk work and an error in a savepoint."""
        User.objects.create(username="a")
        with transaction.atomic():
            seen.append(list(User.objects.select_for_update().order_by("id").values_list("username", flat=True)))
        seen.append([user.username for user in User.objects.order_by("id").iterator(chunk_size=1)])
        seen.append([made.pk is not None for made in Group.objects.bulk_create([Group(name=n) for n in "xyz"])])
        try:
            with transaction.atomic():
                User.objects.create(username="a")
        except IntegrityError as error:
            seen.append(type(error.__cause__).__name__)
        seen.append(User.objects.count())

    def test_two(self) -> None:
        """The other test's rows are gone; async code sees the transaction's."""

        async def names() -> list[str]:
            return [user.username async for user in User.objects.all()]

        seen.append(async_to_sync(names)())


class Committed(TransactionTestCase):
    """Tables are emptied after each test."""

    def test_three(self) -> None:
        """Commits, and requests with a connection that is kept and checked."""
        with transaction.atomic():
            Group.objects.create(name="kept")
        for _ in range(2):
            request_started.send(type(self))
            seen.append(Group.objects.count())
            request_finished.send(type(self))


def _run(*tests: unittest.TestCase) -> object:
    seen.clear()
    result = runner.run_suite(unittest.TestSuite(tests))
    return [*seen, len(result.failures), [text.splitlines()[-1] for _, text in result.errors]]


@steps
def makes_a_test_database() -> object:
    runner.setup_test_environment()
    databases.append(runner.setup_databases())
    return sorted(connection.introspection.table_names())


@steps
def runs_in_transactions() -> object:
    return _run(InTransactions("test_one"), InTransactions("test_two"))


@steps
def runs_committed() -> object:
    return _run(Committed("test_three"), Committed("test_three"))


@steps
def removes_the_test_database() -> object:
    runner.teardown_databases(databases.pop())
    runner.teardown_test_environment()
    return None
