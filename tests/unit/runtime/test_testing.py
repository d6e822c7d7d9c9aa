"""A test's session: which one adopts orphans, and what is left when it ends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from opentelemetry import context

from timetracer.engine import fence
from timetracer.engine.sessions import SESSIONS
from timetracer.errors import ReplayError
from timetracer.runtime.episodes import episode
from timetracer.runtime.testing import Tested


def _tested(path: Path, mode: str = "none", unused: str = "ignore") -> Tested:
    return Tested(episode(path, mode), rerecord="record it", unused=unused)


def _orphans_session() -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(SESSIONS.current()))
    thread.start()
    thread.join()
    return found[0]


def test_the_innermost_session_adopts_orphans_whatever_ends_first(tmp_path: Path) -> None:
    """Two blocks in two tasks may overlap; after both, orphans are orphans."""
    first, second = _tested(tmp_path / "a.json"), _tested(tmp_path / "b.json")
    before = (SESSIONS.orphan, SESSIONS.searching)
    with first:
        assert _orphans_session() is first.session
        with second:
            assert _orphans_session() is second.session
        assert _orphans_session() is first.session
    assert (SESSIONS.orphan, SESSIONS.searching) == before
    assert _orphans_session() is None


def test_nothing_is_left(tmp_path: Path) -> None:
    """No fence, no session in the context, also after a failure."""
    tested = _tested(tmp_path / "a.json").__enter__()
    assert fence.is_raised()
    tested.__exit__(ValueError, ValueError("own"), None)
    assert not fence.is_raised()
    assert "timetracer-session" not in context.get_current()


def test_a_miss_is_told_once(tmp_path: Path) -> None:
    """By `check`, with the others as notes; the end has nothing to add."""
    with _tested(tmp_path / "a.json") as tested:
        tested.session.missed(ReplayError("first"))
        tested.session.missed(ReplayError("second"))
        with pytest.raises(ReplayError, match="first") as raised:
            tested.check()
        assert raised.value.__notes__ == ["\nalso swallowed: second"]
        tested.check()


def test_a_miss_after_the_check_is_raised_at_the_end(tmp_path: Path) -> None:
    """Fixtures are torn down after the test, and may ask as well."""
    tested = _tested(tmp_path / "a.json").__enter__()
    tested.check()
    tested.session.missed(ReplayError("late"))
    with pytest.raises(ReplayError, match="late"):
        tested.__exit__(None, None, None)
    assert not fence.is_raised()


def test_no_cassette_of_what_made_no_call(tmp_path: Path) -> None:
    """As with VCR.py."""
    with _tested(tmp_path / "a.json", "once") as tested:
        assert tested.cassette is None
    assert not list(tmp_path.iterdir())
