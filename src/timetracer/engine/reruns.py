"""What tells a request that the replay runner sends from any other. Only replayed sessions ask for it."""

from __future__ import annotations

import re

from timetracer.plugin import Headers

HEADER = "Timetracer-Replay"
"""Carries the run's token and the request's number in it; the session's outcome goes back under these two names."""

_VALUE = re.compile(r"([0-9a-f]{32})-([0-9]{1,9})")


def rerun_of(headers: Headers) -> tuple[str, str] | None:
    """Returns the token of the run that a request belongs to, and its number; None for a request of anybody else."""
    for name, value in headers:
        if name.lower() == HEADER.lower():
            found = _VALUE.fullmatch(value)
            return (found[1], found[2]) if found else None
    return None
