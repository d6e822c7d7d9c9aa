"""sqlite3: what an app saw of a database file, it sees again with the file gone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import timetracer
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant

SUITE = Suite("tests.outbound.steps.sqlite3", instrumentors=("sqlite3",))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings; the database is gone afterwards."""
    folder = tmp_path_factory.mktemp("sqlite3")
    found: Recordings = {
        each: SUITE.record(
            folder, {"sqlite": str(folder / f"{'instrumented' if each else 'plain'}" / "app.db")}, instrumented=each
        )
        for each in (True, False)
        if not (folder / f"{'instrumented' if each else 'plain'}").mkdir()
    }
    for name in ("instrumented", "plain"):
        shutil.rmtree(folder / name)
    return found


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the file gone."""
    SUITE.check(recordings, variant)


def test_backup_is_refused_clearly(tmp_path: Path) -> None:
    """A backup works while recording, and the replay says that it could not be kept."""
    with timetracer.record(tmp_path / "c.json"):
        source, target = sqlite3.connect(tmp_path / "a.db"), sqlite3.connect(tmp_path / "b.db")
        source.backup(target)
        source.close()
        target.close()
    found = pytest.raises(timetracer.ReplayError, match="not recorded in full")
    with found, timetracer.replay(tmp_path / "c.json"), closing(sqlite3.connect(tmp_path / "a.db")) as source:
        source.backup(source)


def test_a_live_connection_may_be_used_in_a_replay(tmp_path: Path) -> None:
    """One connection answers live, then from the cassette, then live again."""
    conn = sqlite3.connect(tmp_path / "a.db")
    with timetracer.record(tmp_path / "c.json"):
        conn.close()
        conn = sqlite3.connect(tmp_path / "a.db")
        conn.execute("create table t (x)")
        conn.execute("insert into t values (1)")
        recorded = conn.execute("select x from t").fetchall()
        conn.commit()
    conn.execute("insert into t values (2)")
    conn.commit()
    with timetracer.replay(tmp_path / "c.json"):
        conn.execute("create table t (x)")
        conn.execute("insert into t values (1)")
        assert conn.execute("select x from t").fetchall() == recorded == [(1,)]
        conn.commit()
    assert conn.execute("select x from t").fetchall() == [(1,), (2,)]
    conn.close()
