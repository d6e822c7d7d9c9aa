"""Sessions as timetracer 1.x showed them to code in a request: views of the engine's, which tell what is going on."""

from __future__ import annotations

from dataclasses import dataclass

from timetracer.cassette.model import Event
from timetracer.config import PLUGIN_KINDS
from timetracer.engine.playing import Playing
from timetracer.engine.recording import Recording
from timetracer.plugin import Plugin

__all__ = ["ReplaySession", "TraceSession"]


@dataclass(frozen=True, slots=True)
class TraceSession:
    """A session that is recorded."""

    _session: Recording

    @property
    def is_recording(self) -> bool:
        """True."""
        return True

    @property
    def is_replaying(self) -> bool:
        """False."""
        return False

    @property
    def session_id(self) -> str:
        """The trace id: 32 hex digits."""
        return f"{self._session.trace_id:032x}"


@dataclass(frozen=True, slots=True)
class ReplaySession:
    """A session that is answered from a cassette."""

    _session: Playing

    @property
    def is_recording(self) -> bool:
        """False."""
        return False

    @property
    def is_replaying(self) -> bool:
        """True."""
        return True

    @property
    def session_id(self) -> str:
        """The trace id of the replay: 32 hex digits."""
        return f"{self._session.trace_id:032x}"

    @property
    def events(self) -> list[Event]:
        """The recorded events, in order; none where no cassette answers."""
        card = self._session.card
        return [] if card is None else list(card.cassette.events)

    def should_mock_plugin(self, plugin_name: str) -> bool:
        """Tells whether a plugin, by name or kind, is answered from the cassette and not by its real server."""
        kind = PLUGIN_KINDS.get(plugin_name, plugin_name)
        return self._session.rules.mocks(Plugin(name=plugin_name, kind=kind, library=plugin_name, patches=()))

    def get_unconsumed_events(self) -> list[Event]:
        """Returns the recorded events that nothing asked for so far."""
        return self._session.unused()
