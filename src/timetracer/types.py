"""What timetracer 1.x called the parts of an event; they are those of the cassette's model."""

from __future__ import annotations

from timetracer.cassette.model import Event as DependencyEvent
from timetracer.cassette.model import Result as EventResult
from timetracer.cassette.model import Signature as EventSignature

__all__ = ["DependencyEvent", "EventResult", "EventSignature"]
