"""A test's cassette: records or replays by the record mode, adopts calls whose context was lost, and judges the run."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opentelemetry import context

from timetracer.cassette.model import Cassette, Event
from timetracer.config import TraceConfig
from timetracer.engine.extending import Extending
from timetracer.engine.fence import raise_fence
from timetracer.engine.own_server import let_through
from timetracer.engine.playing import Playing
from timetracer.engine.recording import Recording
from timetracer.engine.sessions import SESSION_KEY, SESSIONS, current
from timetracer.errors import ReplayError
from timetracer.plugin import Plugin
from timetracer.runtime.scopes import Scope

_open: list[Any] = []
"""Sessions of the tests that run now, innermost last: that one adopts orphans."""


class Tested:
    """One test, or a block of it, with its cassette.

    Args:
        scope: records or replays.
        rerecord: says in misses how to record anew.
        unused: `error`, `warn` or `ignore` recorded calls that were not made.
        allowed_hosts: what may be connected to although this is a replay.
        own_servers: URLs of the servers that the test has started in this process and calls itself.
        live: whether a plugin stays live: nothing is recorded of it.
    """

    __test__ = False  # its name begins as those of test classes do

    def __init__(
        self,
        scope: Scope,
        *,
        rerecord: str,
        unused: str = "ignore",
        allowed_hosts: Iterable[str] = (),
        own_servers: Iterable[str] = (),
        live: Callable[[Plugin], bool] | None = None,
    ) -> None:
        self.scope, self._own_servers, self._live = scope, tuple(own_servers), live
        self._rerecord, self._unused, self._allowed_hosts = rerecord, unused, tuple(allowed_hosts)
        self._told: list[BaseException] = []
        self._failed = False

    def __enter__(self) -> Self:
        self.scope.__enter__()
        playing = self._playing
        if playing is not None:
            playing.rules = dataclasses.replace(playing.rules, rerecord=self._rerecord)
        fence = getattr(self.scope, "fence", None)
        if fence is not None and self._allowed_hosts:
            fence.lower()
            self.scope.fence = raise_fence(  # type: ignore[attr-defined]
                everywhere=False, allowed_hosts=self._allowed_hosts
            )
        if self._own_servers or self._live is not None:
            let_through(self.scope.session, urls=self._own_servers, live=self._live or (lambda plugin: False))
        _adopt(self.scope.session)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)
        if error is None:
            self.judge()

    def close(self, error: BaseException | None = None) -> None:
        """Ends the session; `judge` says what came of it."""
        _leave(self.scope.session)
        misses = self.misses
        failed = error or (misses[0] if misses else _AlreadyFailed() if self._failed else None)
        self.scope.__exit__(type(failed) if failed is not None else None, failed, None)

    def judge(self) -> None:
        """Raises what the test was not told yet: a miss, else a recorded call that was not made."""
        __tracebackhide__ = True
        self.check()
        if not self._failed and not self._told:
            self._check_unused()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def current(self) -> AbstractContextManager[None]:
        """Makes the session current."""
        return current(self.scope.session)

    def attach(self) -> None:
        """Makes the session current in a context that nothing outlives."""
        context.attach(context.set_value(SESSION_KEY, self.scope.session))

    def fail(self) -> None:
        """Notes that the test failed: the cassette says so, and what it did not ask for is no news."""
        self._failed = True
        if isinstance(self.scope.session, Recording):
            self.scope.session.failed = True

    def check(self) -> None:
        """Raises a miss that the test swallowed, naming the others; each is raised once."""
        __tracebackhide__ = True
        fresh = self.untold()
        if not fresh:
            return
        for other in fresh[1:]:
            fresh[0].add_note(f"\nalso swallowed: {other}")
        raise fresh[0]

    def untold(self) -> list[ReplayError]:
        """Returns the misses that were not returned before."""
        fresh = [miss for miss in self.misses if miss not in self._told]
        self._told += fresh
        return fresh

    def _check_unused(self) -> None:
        __tracebackhide__ = True
        unused = self.unused if self._unused != "ignore" else []
        if not unused:
            return
        told = unused if self._playing is None else self._playing.rules.hide(unused)
        calls = "".join(f"\n  event {e.eid}: {e.signature.lib} {e.signature.method} {e.signature.url}" for e in told)
        number = "1 recorded call was" if len(unused) == 1 else f"{len(unused)} recorded calls were"
        message = f"{number} not made:{calls}\n  cassette: {self.path}\n  {self._rerecord}"
        if self._unused == "error":
            raise ReplayError(message, reason="unused")
        warnings.warn(message, stacklevel=2)

    # -- what a test may look at

    @property
    def session(self) -> Any:
        """The session of the engine."""
        return self.scope.session

    @property
    def path(self) -> Path | None:
        """The cassette's file; of one recorded without a path, after the end."""
        path: Path | None = getattr(self.scope, "path", None)
        return path

    @property
    def misses(self) -> list[ReplayError]:
        """The calls that found no answer, in order."""
        return list(self._playing.marks.misses) if self._playing is not None else []

    @property
    def unused(self) -> list[Event]:
        """The recorded events that nothing asked for."""
        return self._playing.unused() if self._playing is not None else []

    @property
    def cassette(self) -> Cassette | None:
        """The cassette that answers; None while it is recorded."""
        card = self._playing.card if self._playing is not None else None
        return card.cassette if card is not None else None

    @property
    def _playing(self) -> Playing | None:
        session = self.scope.session
        return session.playing if isinstance(session, Extending) else session if isinstance(session, Playing) else None


def stays_live(options: dict[str, Any]) -> Callable[[Plugin], bool] | None:
    """Returns what tells whether a plugin stays live, which is not to be recorded either; None where none does."""
    if not options.get("live_plugins"):
        return None
    chosen = TraceConfig.create(live_plugins=options["live_plugins"], mock_plugins=options.get("mock_plugins"))
    return lambda plugin: not chosen.should_mock_plugin(plugin.name, plugin.kind)


def _adopt(session: Any) -> None:
    if not _open:
        _before.append((SESSIONS.orphan, SESSIONS.searching))
        SESSIONS.orphan, SESSIONS.searching = (lambda: _open[-1] if _open else None), True
    _open.append(session)


def _leave(session: Any) -> None:
    _open.remove(session)
    if not _open:
        SESSIONS.orphan, SESSIONS.searching = _before.pop()


_before: list[tuple[Any, bool]] = []
"""How orphans fared before the first of those sessions."""


class _AlreadyFailed(Exception):
    """Stands for the failure that pytest knows."""
