"""`timetracer.record()` and `timetracer.replay()`: context managers and decorators, sync and async."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from opentelemetry import context, trace

from timetracer.cassette.model import Cassette, Event
from timetracer.config import TraceConfig
from timetracer.engine.recording import Recording
from timetracer.engine.sessions import SESSION_KEY
from timetracer.errors import ReplayError
from timetracer.runtime import libraries, process
from timetracer.runtime.pipeline import Pipeline, read_library

if TYPE_CHECKING:  # for replays alone, and so imported where one opens
    from timetracer.engine.fence import Fence
    from timetracer.engine.playing import Playing

F = TypeVar("F", bound=Callable[..., Any])


class Scope:
    """A session over a block or a function, current in this context alone."""

    def __init__(self) -> None:
        self.session: Any = None
        self._token: Any = None

    def _open(self) -> Any:
        raise NotImplementedError

    def _close(self, error: BaseException | None) -> None:
        raise NotImplementedError

    def _again(self) -> Self:
        """Returns a fresh scope with the same arguments: a decorated function may run twice at once."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.session = self._open()
        self.session.hold()
        self._token = context.attach(context.set_value(SESSION_KEY, self.session))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        context.detach(self._token)
        self._close(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Decorates a function, plain or async: each call is a session of its own."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                async with self._again():
                    return await function(*args, **kwargs)

            return coroutine  # type: ignore[return-value]

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return plain  # type: ignore[return-value]


class record(Scope):
    """Records what the block or function does into one cassette, written when it ends.

    Args:
        path: the file; None for one in `cassette_dir`.
        options: fields of `TraceConfig`, over the environment's.

    Attributes:
        path: the file that was written, after the end.

    Raises:
        ConfigError: an option is not allowed.
        CassetteError: at the end, the file cannot be written.
    """

    def __init__(self, path: str | Path | None = None, **options: Any) -> None:
        super().__init__()
        self.path = Path(path) if path is not None else None
        self._options = options
        self._pipeline: Pipeline | None = None

    def _again(self) -> Self:
        return type(self)(self.path, **self._options)

    def _open(self) -> Recording:
        config = TraceConfig.from_env().with_settings({**self._options, "mode": "record"})
        process.prepare(config)
        self._pipeline = Pipeline(config)
        terms = process.terms_of(config, self._pipeline)
        span = trace.get_current_span().get_span_context()
        return Recording(
            terms, trace_id=span.trace_id, root_id=span.span_id, path=str(self.path) if self.path is not None else None
        )

    def _close(self, error: BaseException | None) -> None:
        session: Recording = self.session
        session.failed = session.failed or error is not None
        session.end_here()
        if self._pipeline is not None and session.wanted:
            self.path = self._pipeline.write(session)


class replay(Scope):
    """Answers what the block or function asks from a cassette; nothing in it reaches a server.

    Args:
        path: a cassette file, or a folder of them.
        options: fields of `TraceConfig`, over the environment's.

    Raises:
        ConfigError: an option is not allowed.
        CassetteError: the cassette cannot be read.
        ReplayError: at the end, a call found no answer, and the app swallowed the error.
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        super().__init__()
        self.path = Path(path)
        self._options = options
        self.fence: Fence | None = None

    def _again(self) -> Self:
        return type(self)(self.path, **self._options)

    def _open(self) -> Playing:
        from timetracer.engine.cards import Choice
        from timetracer.engine.fence import raise_fence
        from timetracer.engine.playing import Playing

        config = TraceConfig.from_env().with_settings({**self._options, "mode": "replay", "cassette": str(self.path)})
        library = read_library(str(self.path), config)
        libraries.require(library.cards)
        process.prepare(config)
        process.turn_clock()
        self.fence = raise_fence(everywhere=False)
        return Playing(process.rules_of(config, library), Choice(library.cards, library.looked_in))

    def _close(self, error: BaseException | None) -> None:
        session: Playing = self.session
        session.close_now()
        if self.fence is not None:
            self.fence.lower()
        if error is None and session.marks.misses:
            raise session.marks.misses[0]

    @property
    def misses(self) -> list[ReplayError]:
        """The calls that found no answer, in order."""
        session: Playing = self.session
        return list(session.marks.misses)

    @property
    def unused(self) -> list[Event]:
        """The recorded events that nothing asked for."""
        session: Playing = self.session
        return session.unused()

    @property
    def cassette(self) -> Cassette | None:
        """The cassette that answers."""
        session: Playing = self.session
        return session.card.cassette if session.card is not None else None
