"""The folder in which replaying processes leave the outcome of each request; it lives as long as the run."""

from __future__ import annotations

import secrets
import shutil
import time
from types import TracebackType
from typing import Self

from timetracer.cassette import format
from timetracer.cassette.model import Cassette
from timetracer.runtime.outcomes import SUFFIX, folder_of

_PAUSE = 0.002


class Inbox:
    """One run's folder. As a context manager it makes the folder, and takes it away at the end.

    Args:
        token: of a run whose folder somebody else made; None for a new one.
    """

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_hex(16)
        self._folder = folder_of(self.token)

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, number: int) -> str:
        """Returns what is sent with the request of this number."""
        return f"{self.token}-{number}"

    def take(self, number: int, seconds: float) -> Cassette | None:
        """Waits for the outcome of a request, and takes it; None if there is none in time."""
        file = self._folder / f"{number}{SUFFIX}"
        deadline = time.monotonic() + seconds
        while True:
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                if time.monotonic() > deadline:
                    return None
                time.sleep(_PAUSE)
                continue
            file.unlink()
            return format.load(data)
