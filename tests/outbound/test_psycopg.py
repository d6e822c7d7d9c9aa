"""psycopg: what an app saw of a real PostgreSQL, it sees again with the server gone."""

from __future__ import annotations

import shutil

import psycopg
import pytest

import timetracer
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant
from tests.services import private_folder, start_postgres

SUITE = Suite("tests.outbound.steps.psycopg", instrumentors=("psycopg",))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings, made while the server ran."""
    folder = private_folder()
    folder.chmod(0o711)
    server = start_postgres(folder)
    try:
        return SUITE.record_both(tmp_path_factory.mktemp("psycopg"), {"postgres": server.dsn})
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the server gone."""
    SUITE.check(recordings, variant)


def test_a_changed_statement_is_refused(recordings: Recordings) -> None:
    """A statement with another parameter than recorded gets no answer."""
    where = recordings[False].addresses["postgres"]
    with (
        pytest.raises(timetracer.NoMatch),
        timetracer.replay(recordings[False].cassette),
        psycopg.connect(where) as conn,
    ):
        conn.execute("select %s::int * 10", (99,))
