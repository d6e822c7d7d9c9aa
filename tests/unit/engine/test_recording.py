"""A recorded session's life: what holds it open, when it is handed over, and what becomes of what comes too late."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.unit.engine.decks import PLUGIN
from timetracer.engine import recording
from timetracer.engine.admission import RecordingAdmission
from timetracer.engine.recording import Recording, Terms
from timetracer.engine.takes import Take
from timetracer.plugin import Inbound, Request


class Room:
    """A budget without end, that counts."""

    used = 0

    def add_bytes(self, size: int) -> bool:
        """Takes it."""
        self.used += size
        return True

    def release_bytes(self, size: int) -> None:
        """Gives it back."""
        self.used -= size


@pytest.fixture
def done() -> list[Recording]:
    """The sessions that were handed over."""
    return []


def terms(done: list[Recording], **more: Any) -> Terms:
    """What holds for recordings in these tests."""
    return Terms(captures=lambda plugin: True, budget=Room(), body_limit=100, completed=done.append, spans={}, **more)


def take(session: Recording) -> Take:
    """One event of the session."""
    made = Take(session, PLUGIN, Request(type="http.client", method="GET", target="/"))
    session.add(made)
    return made


def test_a_session_waits_for_its_call_and_its_bodies(done: list[Recording]) -> None:
    """It is handed over once, when both the inbound call and the last body are done."""
    session = Recording(terms(done))
    session.hold()
    body = take(session).body()
    session.release()
    assert done == []
    body.finish()
    assert done == [session]
    session.close_now()
    assert done == [session]


def test_a_body_nobody_reads_does_not_keep_it_forever(done: list[Recording], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while without a word from the app the cassette is written, the body marked as read in part."""
    admission = RecordingAdmission(terms(done), wanted=lambda path: True, sampled=lambda trace: True)
    session = admission.admit(Inbound(type="http.server", method="GET", target="/"), _NoSpan())
    assert session is not None
    session.hold()
    left = take(session)
    left.body().feed(b"some")
    session.release()
    now = time.monotonic()
    assert not session.abandoned(now)
    assert not session.abandoned(now + 29)
    assert session.abandoned(now + 31)
    monkeypatch.setattr(recording, "BODY_WAIT_SECONDS", -1.0)
    admission._looked = 0.0
    admission.admit(Inbound(type="http.server", method="GET", target="/"), _NoSpan())
    assert done == [session]
    event = session.cassette().events[0]
    assert event.result.body is not None
    assert event.result.body.end == "partial"


def test_what_is_open_at_the_end_is_handed_over(done: list[Recording]) -> None:
    """A request in flight when the process ends gets its cassette, as far as it came."""
    admission = RecordingAdmission(terms(done), wanted=lambda path: True, sampled=lambda trace: True)
    session = admission.admit(Inbound(type="http.server", method="GET", target="/"), _NoSpan())
    assert session is not None
    session.hold()
    admission.close()
    assert done == [session]


def test_a_late_call_is_counted_and_not_lost_silently(done: list[Recording]) -> None:
    """Work after the cassette was closed is counted."""
    session = Recording(terms(done))
    session.hold()
    session.release()
    before = recording.MEASURES.late_calls
    take(session)
    assert recording.MEASURES.late_calls == before + 1
    assert session.cassette().events == []


def test_only_failures_are_kept_where_that_is_asked(done: list[Recording]) -> None:
    """With errors_only a success is forgotten, and its bytes are given back."""
    for failed in (False, True):
        session = Recording(terms(done, errors_only=True))
        session.hold()
        body = take(session).body()
        body.feed(b"x" * 10)
        body.finish()
        session.failed = failed
        session.release()
        assert session.budget.used == (10 if failed else 0)  # type: ignore[attr-defined]
    assert [session.failed for session in done] == [True]


def test_the_process_session_makes_room(done: list[Recording], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls outside any request go on for as long as the process does: the session turns over."""
    monkeypatch.setattr(recording, "FULL", 3)
    turned: list[Recording] = []
    session = Recording(terms(done), turn_over=turned.append)
    session.hold()
    for _ in range(3):
        take(session)
    assert turned == [session]


def test_connections_are_stored_once(done: list[Recording]) -> None:
    """What belongs to connections is there once, however many of them there were."""
    session = Recording(terms(done))
    for _ in range(5):
        made = Take(session, PLUGIN, Request(type="db.query", method="CONNECT", target="db"))
        made.reply({"version": "15"})
        session.share(made)
        session.share(made)
    assert len(session.cassette().shared) == 1


class _NoSpan:
    """What OTel says is current where nothing is."""

    def get_span_context(self) -> Any:
        """Returns a context that is not valid."""
        from opentelemetry.trace import INVALID_SPAN_CONTEXT

        return INVALID_SPAN_CONTEXT


def test_draws_are_kept_within_bounds(done: list[Recording], monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that draws for hours fills no memory: what comes above the bound is not kept."""
    monkeypatch.setattr(recording, "DRAWN_BYTES", 1000)
    session = Recording(terms(done))
    before = session.size()
    assert [session.draw("random by app", n / 7) for n in range(500)] == [n / 7 for n in range(500)]
    kept = session.draws["", "random by app"]
    assert kept == [n / 7 for n in range(len(kept))]
    assert 10 < len(kept) < 100
    assert 0 < session.size() - before <= 1000
