"""Names a database of sqlite3: the file that was asked for, also where none stands behind a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any


class Nowhere(str):
    """A database in memory that stands for the one that was asked for.

    Attributes:
        asked: the name of that one.
        args, kwargs: how to open it.
        settings: what to do again then.
    """

    asked: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    settings: list[Callable[[], Any]]


def name_of(database: Any) -> str:
    """Returns the file's name: its folder differs between machines."""
    if isinstance(database, bytes):
        database = database.decode("utf-8", "surrogateescape")
    text = str(database)
    return text if text.startswith(("file:", ":")) else PurePath(text).name
