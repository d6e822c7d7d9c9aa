"""Encryption at rest: with a key, nothing of a cassette can be read on disk, and with it everything comes back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import timetracer
from timetracer.cassette.encryption import new_key
from timetracer.errors import CassetteLocked


def asked(folder: Path) -> str:
    """Asks a database for something long enough for a side file."""
    with closing(sqlite3.connect(folder / "x.db")) as connection:
        return str(connection.execute("select 'a word' || ?", ("-" * 50,)).fetchone()[0])


def test_only_the_key_opens_it(tmp_path: Path) -> None:
    """The file tells nothing; the right key replays it; no key, or another, is one clear error."""
    path, key = tmp_path / "c.json", new_key()
    with timetracer.record(path, encryption_key=key):
        live = asked(tmp_path)
    assert b"a word" not in path.read_bytes()
    assert b"select" not in path.read_bytes()
    with timetracer.replay(path, encryption_key=key):
        assert asked(tmp_path) == live
    with pytest.raises(CassetteLocked, match=r"c\.json: encrypted: give its key in TIMETRACER_ENCRYPTION_KEY"):
        timetracer.replay(path).__enter__()
    with pytest.raises(CassetteLocked, match="sealed with another key"):
        timetracer.replay(path, encryption_key=new_key()).__enter__()
