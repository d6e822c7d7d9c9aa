"""Cassettes: what one inbound call and its dependencies said, as data, as a file, without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timetracer.cassette.model import Cassette


def read_cassette(path: str | Path) -> Cassette:
    """Reads a cassette file, with its side files.

    Raises:
        CassetteError: it is missing, broken, too large, locked, or of a format that this version does not read.
    """
    from timetracer.cassette import store

    return store.read_cassette(Path(path))


def write_cassette(cassette: Cassette, path: str | Path) -> Path:
    """Writes a cassette as it is, whole or not at all, and returns its path. Nothing is redacted that was not before.

    Raises:
        CassetteError: the file cannot be written.
    """
    from timetracer.cassette import store

    return store.write_cassette(cassette, Path(path))
