"""Django's ORM needs nothing of its own: its drivers are replayed beneath it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.outbound.suite import Suite, Variant
from tests.services import private_folder, start_postgres

SUITE = Suite("tests.outbound.steps.django_orm")
PLAIN = Variant(False, False)


def test_on_sqlite_replay_equals_live(tmp_path: Path) -> None:
    """Migrations, transactions and queries on SQLite come out the same with the file gone."""
    (tmp_path / "db").mkdir()
    recording = SUITE.record(tmp_path, {"sqlite": str(tmp_path / "db" / "app.db")}, instrumented=False)
    shutil.rmtree(tmp_path / "db")
    SUITE.check({False: recording}, PLAIN)


def test_on_postgres_replay_equals_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations, transactions and queries on PostgreSQL come out the same with the server gone."""
    folder = private_folder()
    folder.chmod(0o711)
    server = start_postgres(folder)
    try:
        recording = SUITE.record(tmp_path, {"postgres": server.dsn}, instrumented=False)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    SUITE.check({False: recording}, PLAIN)
