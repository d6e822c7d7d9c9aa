"""How a replaying process hands its outcome back: into the runner's own folder, and nowhere else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.unit.runner.recordings import ROOT, recorded
from timetracer.cassette import bodies
from timetracer.engine.cards import Choice
from timetracer.engine.playing import Playing, Rules
from timetracer.engine.reruns import HEADER, rerun_of
from timetracer.engine.selection import Library, card
from timetracer.errors import NoMatch
from timetracer.plugin import Inbound
from timetracer.runner.inbox import Inbox
from timetracer.runtime import outcomes


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files go to a folder of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def played(value: str) -> Playing:
    """A session whose request carries the runner's header."""
    rules = Rules(mocks=lambda plugin: True, spans={}, completed=outcomes.deliver)
    session = Playing(rules, Choice([card("x.json", recorded(), bodies.unpack)]))
    session.visit(Inbound(type="http.server", method="GET", target="/", headers=[(HEADER, value)]))
    return session


def test_an_outcome_comes_back_under_its_number() -> None:
    """It says which cassette answered; the folder is gone after the run."""
    with Inbox() as inbox:
        played(inbox.run(7)).close_now()
        found = inbox.take(7, 0)
        assert found is not None
        assert found.trace.root_id == ROOT
        assert inbox.take(7, 0) is None
        assert inbox.take(8, 0.01) is None
        folder = outcomes.folder_of(inbox.token)
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_nothing_is_written_where_no_runner_waits(tmp_path: Path) -> None:
    """A folder is never made, and a link is not followed."""
    token = "a" * 32
    played(f"{token}-1").close_now()
    assert list(tmp_path.iterdir()) == []
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outcomes.folder_of(token).symlink_to(elsewhere)
    played(f"{token}-1").close_now()
    assert list(elsewhere.iterdir()) == []


def test_a_call_without_an_answer_is_said_where_no_runner_waits(caplog: pytest.LogCaptureFixture) -> None:
    """Django makes a page of the exception and tells nobody; the runner has a report of its own."""
    with Inbox() as inbox:
        for value in (inbox.run(7), ""):
            session = played(value)
            for call in ("one", "two", "three"):
                session.missed(NoMatch(f"no recorded call matches: {call}"))
            session.close_now()
    assert caplog.messages == ["replaying GET /: no recorded call matches: one\n  and 2 more"]


@pytest.mark.parametrize(
    "value", ["", "x", "a" * 32, "../../etc-1", "A" * 32 + "-1", "a" * 32 + "-1/../2", "a" * 32 + "-1\n"]
)
def test_a_header_that_names_no_run_is_nobodys(value: str) -> None:
    """Nothing of it reaches a path."""
    assert rerun_of([(HEADER, value)]) is None
    session = played(value)
    assert session.guest is not None
    assert not session.guest.trusted


def test_only_the_runner_is_trusted() -> None:
    """Its token in the header lifts the guard against forged requests; any case of the header's name does."""
    session = played("a" * 32 + "-1")
    assert session.guest is not None
    assert session.guest.trusted
    assert rerun_of([(HEADER.upper(), "b" * 32 + "-12")]) == ("b" * 32, "12")


def test_the_root_names_its_very_cassette() -> None:
    """Two equal requests of one caller's span: what the runner sends as the caller tells them apart."""
    cassettes = [recorded(), recorded()]
    for number, each in enumerate(cassettes):
        each.trace.parent_id, each.trace.root_id = "c" * 16, f"{number:016x}"
    found = Library([card(str(n), each, bodies.unpack) for n, each in enumerate(cassettes)], "here")
    inbound = Inbound(type="http.server", method="GET", target="/")
    chosen = [found.choose(inbound, 0xBB, root).cards for root in (0, 1, 0xCCCCCCCCCCCCCCCC)]
    assert [[each.name for each in cards] for cards in chosen] == [["0"], ["1"], ["0", "1"]]
