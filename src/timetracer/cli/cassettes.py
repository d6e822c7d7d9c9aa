"""How commands come by cassettes: the configuration in force, the files it means, and each one read with its key."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timetracer.cassette import bodies, store
from timetracer.cassette.model import Cassette
from timetracer.cli.options import json_option as json_option
from timetracer.config import IN_DJANGO, TraceConfig


def configuration(settings: Any) -> TraceConfig:
    """Returns what the environment says, with a project's settings on top (the context's `obj`)."""
    return TraceConfig.from_env().with_settings(settings or {}, where=IN_DJANGO)


def read(path: Path, config: TraceConfig, *, side_files: bool = False) -> Cassette:
    """Reads one cassette; its large bodies too where `side_files` says so.

    Raises:
        CassetteError: it cannot be read.
    """
    from timetracer.runtime.secrets import Secrets  # brings the engine: not for --help

    return store.read_cassette(path, transform=Secrets(config).opened, side_files=side_files)


def found(paths: Iterable[Path], config: TraceConfig) -> list[Path]:
    """Returns the cassettes at these paths; without any, those of the folder that the configuration names.

    Raises:
        CassetteNotFound: a path that was named does not exist.
    """
    named = list(paths)
    if not named and not Path(config.cassette_dir).exists():
        return []
    return [file for path in named or [Path(config.cassette_dir)] for file in store.find_cassettes(path)]


def size_of(path: Path, cassette: Cassette) -> int:
    """Returns the bytes on disk, side files included."""
    files = [path, *(path.with_name(Path(body.file).name) for body in bodies.each(cassette) if body.file)]
    return sum(file.stat().st_size for file in files if file.is_file())
