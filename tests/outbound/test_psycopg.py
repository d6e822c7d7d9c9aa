"""psycopg: what an app saw of a real PostgreSQL, it sees again with the server gone."""

from __future__ import annotations

import shutil

import psycopg
import pytest

import timetracer
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant
from tests.services import private_folder, start_postgres
from timetracer.outbound.postgres_results import last_words

GONE = "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally"
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"consuming input failed: going down\nDETAIL:  maintenance\n{GONE}", "going down\nDETAIL:  maintenance"),
        (f"consuming input failed: {GONE}", None),
        (f"sending query failed: going down\n{GONE}", None),
        ("consuming input failed: could not receive data from server: Connection reset by peer", None),
    ],
)
def test_a_servers_last_words_are_kept(text: str, words: str | None) -> None:
    """psycopg before 3.2.3 tells them in the lost connection's error; the stand-in says them before it goes."""
    error = psycopg.OperationalError(text)
    kept = last_words(error)
    assert kept is error if words is None else kept["error"]["message_primary"] == words


def test_a_changed_statement_is_refused(recordings: Recordings) -> None:
    """A statement with another parameter than recorded gets no answer."""
    where = recordings[False].addresses["postgres"]
    with (
        pytest.raises(timetracer.NoMatch),
        timetracer.replay(recordings[False].cassette),
        psycopg.connect(where) as conn,
    ):
        conn.execute("select %s::int * 10", (99,))


def test_asking_whether_a_connection_lives_needs_no_recording(recordings: Recordings) -> None:
    """Who gets a connection that somebody had before is chance: a pool's or Django's health check is answered."""
    where = recordings[False].addresses["postgres"]
    with timetracer.replay(recordings[False].cassette), psycopg.connect(where, autocommit=True) as conn:
        assert conn.execute("SELECT 1").fetchall() == [(1,)]
        assert conn.execute("").description is None
        with psycopg.RawCursor(conn) as cursor:
            assert cursor.execute("SELECT 1").fetchone() == (1,)
