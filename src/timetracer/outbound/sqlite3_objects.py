"""Connections and cursors of sqlite3 as plain subclasses, whose methods can be patched: sqlite3's own are C types.

They pass everything on. A cursor may note its rows as they are fetched; it, and its connection, may hold *told* state:
rows, description and counts from elsewhere instead of what SQLite would say. Running a statement for real clears it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from timetracer.errors import ReplayError
from timetracer.outbound.sqlite3_names import Nowhere, name_of
from timetracer.plugin import Sink, Value

_Maker = Callable[[Any, tuple[Any, ...]], Any]


class Cursor(sqlite3.Cursor):
    """A cursor whose rows can be noted as they are fetched, or come from elsewhere."""

    _noted: Sink | None = None
    _counting = False  # whether the last row will tell how many were changed
    _given: Iterator[Value] | None = None
    _told: Mapping[str, Any] | None = None
    _maker: _Maker | None = None
    kind = "execute"  # or `executemany`, `executescript`: what was called last
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
        if args and isinstance(args[0], str):  # else sqlite3 refuses it
            self.connection.go_home()
        run(*args)
        return self

    def leave(self) -> None:
        """Ends the rows of the statement before: whatever was not fetched will never be."""
        if self._noted is not None:
            self._noted.finish("partial")
        self._noted = self._given = self._told = None

    def note(self, sink: Sink) -> None:
        """Notes each row from here on, as it is fetched."""
        self._noted, self._counting = sink, super().rowcount >= 0

    def _note_counts(self, noted: Sink) -> None:
        """Notes what a statement with RETURNING changed before the row that came with it: the last one."""
        if super().rowcount > 0:
            self._counting = False
            noted.feed({"rowcount": super().rowcount, "total_changes": self.connection.total_changes})

    def _counted(self, rows: Iterator[Value]) -> Iterator[Value]:
        for row in rows:
            if isinstance(row, dict):
                self._told = {**(self._told or {}), "rowcount": row["rowcount"]}
                self.connection.tell({"total_changes": row["total_changes"]})
            else:
                yield row

    def give(self, told: Mapping[str, Any], rows: Iterator[Value]) -> None:
        """Takes rows and counts from elsewhere.

        A statement without rows, which reads no table, makes the description genuine: `sqlite3.Row` reads it in C.
        """
        self.leave()
        columns = ", ".join('NULL AS "{}"'.format(name.replace('"', '""')) for name in told["columns"] or ())
        if columns:
            sqlite3.Cursor.execute(self, f"SELECT {columns} WHERE 0")
        self._told, self._given = told, self._counted(rows) if told["rowcount"] >= 0 else rows

    def fail(self) -> None:
        """Takes it from elsewhere that a statement failed: only the id of the row inserted last stays."""
        last = self.lastrowid
        self.leave()
        self._told, self._given = {"columns": None, "rowcount": -1, "lastrowid": last}, iter(())

    def __next__(self) -> Any:
        if self._given is not None:
            row: Any = next(self._given, _END)
        else:
            row = super().__next__() if self._noted is None else self._noted_row()
        if row is _END:
            raise StopIteration
        return row if self._maker is None else self._maker(self, row)

    def __iter__(self) -> Cursor:
        return self

    def fetchone(self) -> Any:
        """Returns the next row, or None."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Returns at most `size` rows; all of them if that is 0, as C has it."""
        size = self.arraysize if size is None else size
        if self._given is not None:
            return self._made(list(islice(self._given, size if size > 0 else None)))
        return self._made(self._noted_rows(partial(super().fetchmany, size), size))

    def fetchall(self) -> list[Any]:
        """Returns the rows that are left."""
        if self._given is not None:
            return self._made(list(self._given))
        return self._made(self._noted_rows(super().fetchall, 0))

    def close(self) -> None:
        """Closes the cursor."""
        self.leave()
        super().close()

    def __del__(self) -> None:
        if self._noted is not None:
            self._noted.finish("partial")

    def _made(self, rows: list[Any]) -> list[Any]:
        maker = self._maker
        return rows if maker is None else [maker(self, row) for row in rows]

    def _noted_row(self) -> Any:
        noted = self._noted
        assert noted is not None
        try:
            row = super().__next__()
        except StopIteration:
            noted.finish()
            return _END
        except Exception as error:
            noted.finish("error", error)
            raise
        if self._counting:
            self._note_counts(noted)
        noted.feed(row)
        return row

    def _noted_rows(self, fetch: Callable[[], list[Any]], size: int) -> list[Any]:
        noted = self._noted
        if noted is None:
            return fetch()
        try:
            rows = fetch()
        except Exception as error:
            noted.finish("error", error)
            raise
        if self._counting:
            self._note_counts(noted)
        noted.feed_all(rows)
        if size <= 0 or len(rows) < size:
            noted.finish()
        return rows

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
    _nowhere: Nowhere | None = None  # there is no database behind it
    _told: Mapping[str, Any] | None = None

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, *args, **kwargs)
        self._nowhere = database if isinstance(database, Nowhere) else None
        self.database_name = database.asked if isinstance(database, Nowhere) else name_of(database)

    def go_home(self) -> None:
        """Opens the database that was asked for, in place, where there is none behind this; forgets what was told.

        Raises:
            ReplayError: a transaction was begun, and it is not there.
            sqlite3.Error: the database cannot be opened.
        """
        self._refuse_half_way()
        self.forget()
        nowhere = self._nowhere
        if nowhere is None:
            return
        kept, attributes = [(name, getattr(self, name)) for name in _KEPT], {**self.__dict__}
        try:
            sqlite3.Connection.__init__(self, *nowhere.args, **nowhere.kwargs)
            attributes["_nowhere"] = None
        except sqlite3.Error:
            sqlite3.Connection.__init__(self, ":memory:")
            raise
        finally:
            self.__dict__.update(attributes)  # made anew, C clears all
            for name, value in kept:
                setattr(self, name, value)
        for setting in nowhere.settings:
            setting()

    def _refuse_half_way(self) -> None:
        if self.told_in_transaction:
            raise ReplayError(
                "sqlite3: this connection is in the middle of a transaction and cannot pass between live and replayed "
                "calls half-way: commit or roll back first, or record with `rewrite`",
                reason="wrong order",
            )

    def _set(self, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Sets something up; once more where the database is opened later."""
        if self._nowhere is not None:
            self._nowhere.settings.append(partial(real, *args, **kwargs))
        return real(*args, **kwargs)

    def set_pragma(self, statement: str) -> None:
        """Notes a setting that was told, for a database that is opened later."""
        if self._nowhere is not None:
            self._nowhere.settings.append(partial(self._run, statement))

    def _run(self, statement: str) -> None:
        sqlite3.Connection.cursor(self).execute(statement).close()

    def create_function(self, *args: Any, **kwargs: Any) -> None:
        """Defines a function."""
        self._set(super().create_function, *args, **kwargs)

    def create_aggregate(self, *args: Any, **kwargs: Any) -> None:
        """Defines an aggregate."""
        self._set(super().create_aggregate, *args, **kwargs)

    def create_window_function(self, *args: Any, **kwargs: Any) -> None:
        """Defines a window function."""
        self._set(super().create_window_function, *args, **kwargs)

    def create_collation(self, *args: Any, **kwargs: Any) -> None:
        """Defines a collation."""
        self._set(super().create_collation, *args, **kwargs)

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
        self._refuse_half_way()
        super().commit()

    def rollback(self) -> None:
        """Rolls back."""
        if self._told is not None:
            self.tell({"in_transaction": False})
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
        self.go_home()
        super().backup(*args, **kwargs)

    def blobopen(self, *args: Any, **kwargs: Any) -> Any:
        """Opens a blob."""
        self.go_home()
        return super().blobopen(*args, **kwargs)

    def serialize(self, *args: Any, **kwargs: Any) -> bytes:
        """Returns the database as bytes."""
        self.go_home()
        return super().serialize(*args, **kwargs)

    def deserialize(self, *args: Any, **kwargs: Any) -> None:
        """Replaces the database."""
        self.go_home()
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
    def told_in_transaction(self) -> bool:
        """Whether a transaction is open of which SQLite knows nothing."""
        return self._told is not None and bool(self._told["in_transaction"]) and not super().in_transaction

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


_END = object()
_KEPT = ("row_factory", "text_factory", "isolation_level")
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
