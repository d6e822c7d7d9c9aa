"""Hands the outcome of a replayed request back to the runner that sent it: a cassette in the folder of its run.

Where no runner waits, a call that found no answer is said: a framework makes a page of the exception and tells nobody.

The runner makes the folder, for its own user alone and under a name of 128 random bits, and sends that name with each
request. A replaying process writes into a folder that is there, is its own user's and is no link; it makes none. A
process that does not replay knows nothing of this.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from pathlib import Path

from timetracer.cassette import format
from timetracer.engine.guard import guard
from timetracer.engine.playing import Playing
from timetracer.engine.reruns import rerun_of

SUFFIX = ".outcome"
logger = logging.getLogger(__name__)


def folder_of(token: str) -> Path:
    """Returns where the outcomes of a run go."""
    return Path(tempfile.gettempdir()) / f"timetracer-replay-{token}"


def deliver(session: Playing) -> None:
    """Writes what became of a session for the runner that asked for it; else says what found no answer."""
    guest = session.guest
    run = rerun_of(guest.asked.headers) if guest is not None else None
    if guest is None or run is None:
        _tell(session)
        return
    with guard("handing the outcome of a replay to its runner"):
        folder = folder_of(run[0])
        if _is_ours(folder):
            draft = folder / f"{run[1]}.draft"
            draft.write_bytes(format.dump(session.outcome()))
            draft.rename(folder / f"{run[1]}{SUFFIX}")


def _tell(session: Playing) -> None:
    guest, misses = session.guest, session.marks.misses
    if guest is None or not misses:
        return
    asked = f"{guest.asked.method} {guest.asked.target.partition('?')[0]}"
    others = f"\n  and {len(misses) - 1} more" if len(misses) > 1 else ""
    logger.warning("replaying %s: %s%s", asked, misses[0], others)


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    mine: int = getattr(os, "geteuid", lambda: found.st_uid)()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == mine
