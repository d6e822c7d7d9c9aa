"""A test's cassette: records or replays by the record mode, adopts calls whose context was lost, and judges the run."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from timetracer.cassette.model import Cassette
from timetracer.engine.sessions import SESSIONS, current
from timetracer.errors import ReplayError
from timetracer.runtime.episodes import episode
from timetracer.runtime.scopes import replay


class Tested:
    """One test with its cassette.

    Args:
        unused: `error`, `warn` or `ignore` recorded calls that the test did not make.
    """

    def __init__(self, path: Path, mode: str, *, unused: str = "ignore", **options: Any) -> None:
        self.scope = episode(path, mode, **options)
        self._unused = unused
        self._before: Any = None
        self._checked = False

    def __enter__(self) -> Self:
        self.scope.__enter__()
        self._before = (SESSIONS.orphan, SESSIONS.searching)
        session = self.scope.session
        SESSIONS.orphan, SESSIONS.searching = (lambda: session), True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SESSIONS.orphan, SESSIONS.searching = self._before
        if self._checked and error is None:
            error = _Known()
        self.scope.__exit__(type(error) if error is not None else None, error, trace)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def current(self) -> AbstractContextManager[None]:
        """Makes the session current."""
        return current(self.scope.session)

    def check(self) -> None:
        """Raises what the test swallowed: the first miss, or the recorded calls that it did not make."""
        self._checked = True
        if not isinstance(self.scope, replay):
            return
        if self.scope.misses:
            raise self.scope.misses[0]
        unused = self.scope.unused if self._unused != "ignore" else []
        if unused:
            calls = "".join(
                f"\n  event {e.eid}: {e.signature.lib} {e.signature.method} {e.signature.url}" for e in unused
            )
            message = f"{len(unused)} recorded calls were not made:{calls}\n  cassette: {self.scope.path}"
            if self._unused == "error":
                raise ReplayError(message, reason="no match")
            warnings.warn(message, stacklevel=2)

    @property
    def cassette(self) -> Cassette | None:
        """The cassette that answers; None while it is recorded."""
        return self.scope.cassette if isinstance(self.scope, replay) else None


class _Known(Exception):
    """Stands for misses that `check` has already raised."""
