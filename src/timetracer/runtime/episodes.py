"""Record modes of tests (none, once, new_episodes, all, rewrite): which scope a test gets for its cassette."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from timetracer.config import TraceConfig
from timetracer.engine import clock
from timetracer.engine.cards import Choice
from timetracer.engine.extending import Extending
from timetracer.engine.fence import Fence, raise_fence
from timetracer.engine.playing import Playing
from timetracer.engine.recording import Recording
from timetracer.errors import CassetteNotFound, ConfigError
from timetracer.runtime import process
from timetracer.runtime.pipeline import Pipeline, read_card
from timetracer.runtime.scopes import Scope, record, replay

RecordMode = Literal["none", "once", "new_episodes", "all", "rewrite"]
MODES: tuple[RecordMode, ...] = ("none", "once", "new_episodes", "all", "rewrite")


def episode(path: Path, mode: str, **options: Any) -> Scope:
    """Returns the scope for a cassette and a record mode; the modes mean what VCR.py's mean.

    Args:
        path: the cassette.
        mode: `none` replays and never records; `once` records if there is no cassette; `new_episodes` replays what is
            known and records what is new; `all` records everything; `rewrite` deletes the cassette and records.
        options: fields of `TraceConfig`.

    Raises:
        ConfigError: there is no such mode.
        CassetteNotFound: mode `none`, and no cassette.
    """
    if mode not in MODES:
        raise ConfigError("record mode", mode, f"one of {', '.join(MODES)}")
    if mode == "rewrite":
        path.unlink(missing_ok=True)
    if mode in ("all", "rewrite") or (mode in ("once", "new_episodes") and not path.exists()):
        return record(path, **options)
    if not path.exists():
        raise CassetteNotFound(f"there is no cassette {path}; record it: pytest --timetracer-record=once")
    return replay(path, **options) if mode != "new_episodes" else extend(path, **options)


class extend(Scope):
    """Replays what a cassette knows, and adds what it does not.

    Args:
        path: the cassette.
        options: fields of `TraceConfig`, over the environment's.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__()
        self.path, self._options = path, options
        self.fence: Fence | None = None
        self._pipeline: Pipeline | None = None

    def _again(self) -> extend:
        return extend(self.path, **self._options)

    def _open(self) -> Extending:
        config = TraceConfig.from_env().with_settings({**self._options, "mode": "replay", "cassette": str(self.path)})
        card = read_card(self.path, config)
        process.prepare(config)
        clock.install()
        self.fence = raise_fence(everywhere=False)
        self._pipeline = Pipeline(config)
        playing = Playing(process.rules_of(config, None), Choice([card], card.name))
        return Extending(playing, Recording(process.terms_of(config, self._pipeline), path=str(self.path)))

    def _close(self, error: BaseException | None) -> None:
        session: Extending = self.session
        session.playing.close_now()
        if self.fence is not None:
            self.fence.lower()
        session.recording.end_here()
        merged = session.merged()
        if merged is not None and self._pipeline is not None:
            self._pipeline.save(merged, self.path)
        if error is None and session.playing.marks.misses:
            raise session.playing.marks.misses[0]
