"""Connections and cursors of sqlite3 as plain subclasses, whose methods can be patched: sqlite3's own are C types.

They pass everything on. A cursor may note its rows as they are fetched; it, and its connection, may hold *told* state:
rows, description and counts from elsewhere instead of what SQLite would say. Running a statement for real clears it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any

from timetracer.errors import UnsupportedError
from timetracer.plugin import Sink, Value

_Maker = Callable[[Any, tuple[Any, ...]], Any]


class Cursor(sqlite3.Cursor):
    """A cursor whose rows can be noted as they are fetched, or come from elsewhere."""

    _noted: Sink | None = None
    _given: Iterator[Value] | None = None
    _told: Mapping[str, Any] | None = None
    _maker: _Maker | None = None
    connection: Connection

    def execute(self, *args: Any) -> Cursor:
        """Runs a statement."""
        return self._fresh(super().execute, args)

    def executemany(self, *args: Any) -> Cursor:
        """Runs a statement for each set of parameters."""
        return self._fresh(super().executemany, args)

    def executescript(self, *args: Any) -> Cursor:
        """Runs several statements."""
        return self._fresh(super().executescript, args)

    def _fresh(self, run: Callable[..., Any], args: tuple[Any, ...]) -> Cursor:
        self.leave()
        self.connection.forget()
        if self.connection.nowhere:
            raise UnsupportedError("this sqlite3 connection was made where no database is reached: open a new one")
        run(*args)
        return self

    def leave(self) -> None:
        """Ends the rows of the statement before: whatever was not fetched will never be."""
        if self._noted is not None:
            self._noted.finish("partial")
        self._noted = self._given = self._told = None

    def note(self, sink: Sink) -> None:
        """Notes each row from here on, as it is fetched."""
        self._noted = sink

    def give(self, told: Mapping[str, Any], rows: Iterator[Value]) -> None:
        """Takes rows and counts from elsewhere; a real statement without rows makes the description genuine."""
        self.leave()
        names = told["columns"]
        columns = ", ".join('NULL AS "{}"'.format(name.replace('"', '""')) for name in names or ())
        sqlite3.Cursor.execute(self, f"SELECT {columns} WHERE 0" if columns else "PRAGMA user_version = 0")
        self._told, self._given = told, rows

    def __next__(self) -> Any:
        if self._noted is None and self._given is None:
            row = super().__next__()
            return row if self._maker is None else self._maker(self, row)
        row = next(self._rows(), _END)
        if row is _END:
            raise StopIteration
        return row

    def __iter__(self) -> Cursor:
        return self

    def fetchone(self) -> Any:
        """Returns the next row, or None."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Returns at most `size` rows."""
        return list(islice(self._rows(), self.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        """Returns the rows that are left."""
        if self._noted is None and self._given is None and self._maker is None:
            return super().fetchall()
        return list(self._rows())

    def close(self) -> None:
        """Closes the cursor."""
        self.leave()
        super().close()

    def __del__(self) -> None:
        if self._noted is not None:
            self._noted.finish("partial")

    def _rows(self) -> Iterator[Any]:
        rows = self._live() if self._given is None else self._given
        maker = self._maker
        return rows if maker is None else (maker(self, row) for row in rows)

    def _live(self) -> Iterator[Any]:
        fetch, noted = super().__next__, self._noted
        while True:
            try:
                row = fetch()
            except StopIteration:
                if noted is not None:
                    noted.finish()
                return
            except sqlite3.Error as error:
                if noted is not None:
                    noted.finish("error", error)
                raise
            if noted is not None:
                noted.feed(row)
            yield row

    @property
    def row_factory(self) -> Any:
        """What makes a row of a tuple: applied here, so that the tuple itself can be noted."""
        return self._maker

    @row_factory.setter
    def row_factory(self, maker: Any) -> None:
        self._maker = maker

    @property
    def description(self) -> Any:
        """The columns of the last statement."""
        return super().description if self._told is None or self._told["columns"] is not None else None

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return super().rowcount if self._told is None else int(self._told["rowcount"])

    @property
    def lastrowid(self) -> int | None:
        """The id of the row inserted last."""
        return super().lastrowid if self._told is None else self._told["lastrowid"]


class Connection(sqlite3.Connection):
    """A connection that makes such cursors, and may be told its state."""

    database_name = ""
    nowhere = False  # there is no database behind it
    _told: Mapping[str, Any] | None = None

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, *args, **kwargs)
        self.nowhere = isinstance(database, Nowhere)
        self.database_name = database.asked if isinstance(database, Nowhere) else name_of(database)

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        """Returns a new cursor of the app's class."""
        cursor = super().cursor(mixed(factory, Cursor))
        if isinstance(cursor, Cursor):
            # C reads the factory from its own slot, and would hand out made rows
            slot: Any = sqlite3.Cursor.__dict__["row_factory"]
            cursor._maker = slot.__get__(cursor)
            slot.__set__(cursor, None)
        return cursor

    # C makes a cursor for these three as well, and then calls its own functions on it.

    def execute(self, *args: Any) -> Any:
        """Runs a statement on a new cursor."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """Runs a statement for each set of parameters, on a new cursor."""
        return self.cursor().executemany(*args)

    def executescript(self, *args: Any) -> Any:
        """Runs several statements on a new cursor."""
        return self.cursor().executescript(*args)

    def commit(self) -> None:
        """Commits."""
        self.forget()
        super().commit()

    def rollback(self) -> None:
        """Rolls back."""
        self.forget()
        super().rollback()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        # As C does it, but through the two methods above, which C does not call:
        # https://github.com/python/cpython/blob/v3.13.0/Modules/_sqlite/connection.c#L2266
        if getattr(self, "autocommit", -1) is True:
            return False
        if kind is not None:
            self.rollback()
            return False
        try:
            self.commit()
        except sqlite3.Error:
            self.rollback()
            raise
        return False

    def backup(self, *args: Any, **kwargs: Any) -> None:
        """Copies the database."""
        super().backup(*args, **kwargs)

    def blobopen(self, *args: Any, **kwargs: Any) -> Any:
        """Opens a blob."""
        return super().blobopen(*args, **kwargs)

    def serialize(self, *args: Any, **kwargs: Any) -> bytes:
        """Returns the database as bytes."""
        return super().serialize(*args, **kwargs)

    def deserialize(self, *args: Any, **kwargs: Any) -> None:
        """Replaces the database."""
        super().deserialize(*args, **kwargs)

    def tell(self, told: Mapping[str, Any]) -> None:
        """Takes its state from elsewhere; what is not told stays as it is."""
        self._told = {**self.state(), **told}

    def forget(self) -> None:
        """Goes back to what SQLite says."""
        self._told = None

    def state(self) -> dict[str, Any]:
        """Returns what an app can see of the connection after a statement."""
        return {"in_transaction": self.in_transaction, "total_changes": self.total_changes}

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return super().in_transaction if self._told is None else bool(self._told["in_transaction"])

    @property
    def total_changes(self) -> int:
        """How many rows were changed since the connection was made."""
        return super().total_changes if self._told is None else int(self._told["total_changes"])

    @property
    def isolation_level(self) -> Any:
        """When a transaction begins by itself. Setting None commits, in C."""
        return super().isolation_level

    @isolation_level.setter
    def isolation_level(self, level: Any) -> None:
        slot: Any = sqlite3.Connection.__dict__["isolation_level"]
        slot.__set__(self, level)
        if level is None and self._told is not None:
            self._told = {**self._told, "in_transaction": False}


class Nowhere(str):
    """A database in memory that stands for the one that was asked for."""

    asked: str


_END = object()
_mixes: dict[tuple[type, type], type] = {}


def mixed(factory: Any, ours: type) -> Any:
    """Returns the app's class with ours beneath it."""
    if not isinstance(factory, type) or issubclass(factory, ours):
        return factory
    if issubclass(ours, factory):
        return ours
    key = (factory, ours)
    if key not in _mixes:
        attributes = {"__module__": factory.__module__, "__qualname__": factory.__qualname__}
        _mixes[key] = type(factory.__name__, (factory, ours), attributes)
    return _mixes[key]


def name_of(database: Any) -> str:
    """Returns the file's name: its folder differs between machines."""
    if isinstance(database, bytes):
        database = database.decode("utf-8", "surrogateescape")
    text = str(database)
    return text if text.startswith(("file:", ":")) else PurePath(text).name
