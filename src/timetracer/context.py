"""Which session the running code belongs to, as timetracer 1.x called it."""

from __future__ import annotations

from timetracer.engine.extending import Extending
from timetracer.engine.playing import Playing
from timetracer.engine.recording import Recording
from timetracer.engine.sessions import SESSIONS
from timetracer.session import ReplaySession, TraceSession

__all__ = ["get_current_session", "has_active_session"]


def get_current_session() -> TraceSession | ReplaySession | None:
    """Returns the session that calls made here and now belong to; None where they are let through unseen."""
    match SESSIONS.current():
        case Recording() as session:
            return TraceSession(session)
        case Playing() as session:
            return ReplaySession(session)
        case Extending() as session:  # record mode new_episodes: what is known is replayed
            return ReplaySession(session.playing)
    return None


def has_active_session() -> bool:
    """Whether calls made here and now are recorded or replayed."""
    return get_current_session() is not None
