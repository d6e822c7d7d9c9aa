"""Django's ORM needs nothing of its own: its drivers are replayed beneath it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.outbound.suite import Suite, Variant
from tests.services import private_folder, start_postgres

SUITES = pytest.mark.parametrize("steps", ["django_orm", "django_testing"])
PLAIN = Variant(False, False)


@SUITES
def test_on_sqlite_replay_equals_live(steps: str, tmp_path: Path) -> None:
    """Migrations, transactions, queries and test cases on SQLite come out the same with the file gone."""
    suite = Suite(f"tests.outbound.steps.{steps}")
    (tmp_path / "db").mkdir()
    recording = suite.record(tmp_path, {"sqlite": str(tmp_path / "db" / "app.db")}, instrumented=False)
    shutil.rmtree(tmp_path / "db")
    suite.check({False: recording}, PLAIN)


@SUITES
def test_on_postgres_replay_equals_live(steps: str, tmp_path: Path) -> None:
    """Migrations, transactions, queries and test cases on PostgreSQL come out the same with the server gone."""
    suite = Suite(f"tests.outbound.steps.{steps}")
    folder = private_folder()
    folder.chmod(0o711)
    server = start_postgres(folder)
    try:
        recording = suite.record(tmp_path, {"postgres": server.dsn}, instrumented=False)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    suite.check({False: recording}, PLAIN)
