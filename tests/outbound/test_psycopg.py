"""psycopg: what an app saw of a real PostgreSQL, it sees again with the server gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant
from tests.services import start_postgres

SUITE = Suite("tests.outbound.steps.psycopg", instrumentors=("psycopg",))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings, made while the server ran."""
    with start_postgres(tmp_path_factory.mktemp("postgres")) as server:
        return SUITE.record_both(tmp_path_factory.mktemp("psycopg"), {"postgres": server.dsn})


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the server gone."""
    SUITE.check(recordings, variant)


def test_a_changed_statement_is_refused(recordings: Recordings, tmp_path: Path) -> None:
    """A statement with another parameter than recorded gets no answer."""
    import psycopg

    import timetracer

    with timetracer.replay(recordings[False].cassette), psycopg.connect(recordings[False].addresses["postgres"]) as conn:
        with pytest.raises(timetracer.NoMatch):
            conn.execute("select %s::int * 10", (99,))
        conn.rollback()
