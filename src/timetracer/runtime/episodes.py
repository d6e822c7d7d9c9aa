"""Record modes of tests (none, once, new_episodes, all, rewrite): which scope a test gets for its cassette."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args

from timetracer.cassette import bodies
from timetracer.config import TraceConfig
from timetracer.engine.cards import Card, Choice
from timetracer.engine.extending import Extending, renewed
from timetracer.engine.fence import Fence, raise_fence
from timetracer.engine.playing import Playing
from timetracer.engine.recording import Recording
from timetracer.errors import ConfigError
from timetracer.runtime import process
from timetracer.runtime.pipeline import Pipeline, read_card
from timetracer.runtime.scopes import Scope, record, replay

RecordMode = Literal["none", "once", "new_episodes", "all", "rewrite"]
MODES: tuple[RecordMode, ...] = get_args(RecordMode)


def episode(path: Path, mode: str, **options: Any) -> Scope:
    """Returns the scope for a cassette and a record mode; the modes mean what VCR.py's mean.

    As there, no cassette is written of what made no call, and none is needed to replay it.

    Args:
        path: the cassette.
        mode: `none` replays and never records; `once` records if there is no cassette, else replays; `new_episodes`
            replays what is known and records what is new; `all` lets every call go live: what it records replaces
            what it recorded before, and the rest stays; `rewrite` deletes the cassette and records.
        options: fields of `TraceConfig`.

    Raises:
        ConfigError: there is no such mode.
    """
    if mode not in MODES:
        raise ConfigError("record", mode, f"one of {', '.join(MODES)}")
    if mode == "rewrite":
        _delete(path)
    if mode == "none" or (mode == "once" and path.exists()):
        return replay(path, **options) if path.exists() else unrecorded(path, **options)
    if mode == "new_episodes" and path.exists():
        return extend(path, **options)
    return renew(path, **options)


def _delete(path: Path) -> None:
    """Takes a cassette away, with the side files of its large bodies."""
    stem = re.escape(re.sub(r"\.json(\.gz|\.zst)?$", "", path.name))
    for each in path.parent.iterdir() if path.parent.is_dir() else ():
        if each == path or re.fullmatch(stem + r"\.\w+\.body", each.name):
            each.unlink(missing_ok=True)


class unrecorded(replay):
    """Replays what was never recorded: fine as long as nothing is called."""

    def _open(self) -> Playing:
        config = TraceConfig.from_env().with_settings({**self._options, "mode": "replay", "cassette": str(self.path)})
        process.prepare(config)
        process.turn_clock()
        self.fence = raise_fence(everywhere=False)
        return Playing(process.rules_of(config, None), Choice([], str(self.path)))


class renew(record):
    """Records, and keeps of a cassette that is there what was not asked for again."""

    def _close(self, error: BaseException | None) -> None:
        session: Recording = self.session
        session.failed = session.failed or error is not None
        session.end_here()
        if self._pipeline is None or self.path is None or not session.wanted or not (session.takes or session.shared):
            return
        cassette = session.cassette()
        if self.path.exists():
            cassette = renewed(_whole(self.path, self._pipeline.config), cassette)
        self._pipeline.save(cassette, self.path)


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
        process.turn_clock()
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
        if self._pipeline is not None and (session.recording.takes or session.recording.shared):
            self._pipeline.save(session.merged(_whole(self.path, self._pipeline.config).cassette), self.path)
        if error is None and session.playing.marks.misses:
            raise session.playing.marks.misses[0]


def _whole(path: Path, config: TraceConfig) -> Card:
    """Reads a cassette with all its bodies in memory: writing it anew takes its side files away."""
    card = read_card(path, config)
    for body in bodies.each(card.cassette):
        card.raw(body)
        body.encoding = None  # what is in memory is coded again
    return card
