"""Counts what the engine did, for OTel metrics, `doctor` and tests."""

from __future__ import annotations

import msgspec


class Measures(msgspec.Struct):
    """Running totals of this process. Read by telemetry; increments need no lock to be useful."""

    cassettes: int = 0  # written
    dropped_cassettes: int = 0  # queue full or the store failed
    dropped_bodies: int = 0  # bodies cut short for want of room
    late_calls: int = 0  # made after their cassette was closed
    hits: int = 0
    misses: int = 0


MEASURES = Measures()
"""The totals of this process."""
