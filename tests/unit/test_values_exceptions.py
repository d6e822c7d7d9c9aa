"""Exceptions are values: class, arguments, attributes, chain and notes come back."""

from __future__ import annotations

import json
import socket
import sqlite3
from typing import Any

import httpx
import pytest
import redis.exceptions
import requests
from django.core.exceptions import ValidationError

from timetracer.errors import CassetteCorrupt, UnsupportedError
from timetracer.values import Lost, decode, encode, is_error


class Odd(Exception):
    """An exception whose arguments are not those of its constructor."""

    def __init__(self, *, code: int, where: str) -> None:
        super().__init__(f"{where}: {code}")
        self.code = code


class Slotted(Exception):
    """An exception with a slot."""

    __slots__ = ("detail",)
    detail: int


def there_and_back(value: Any) -> Any:
    """Takes a value through JSON text."""
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Gives an error a cause, as `raise ... from` does."""
    error.__cause__ = cause
    error.__suppress_context__ = cause is not None
    return error


def filled_slot() -> Slotted:
    """Makes an error whose slot is set."""
    error = Slotted("x")
    error.detail = 5
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 1, b"y"),
        KeyError("k"),
        Odd(code=5, where="here"),
        filled_slot(),
        OSError(2, "No such file", "a.txt"),
        OSError("no number"),
        ConnectionRefusedError(111, "Connection refused"),
        socket.gaierror(-2, "Name or service not known"),
        TimeoutError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ImportError("no", name="mod", path="p"),
        StopIteration(3),
        SystemExit(2),
        SyntaxError("bad", ("f.py", 1, 2, "x =", 1, 3)),
        ExceptionGroup("several", [ValueError(1), OSError(2, "x")]),
        sqlite3.IntegrityError("UNIQUE constraint failed"),
        json.JSONDecodeError("Expecting value", "doc", 0),
        httpx.ConnectTimeout("slow"),
        redis.exceptions.ResponseError("WRONGTYPE"),
        requests.exceptions.ReadTimeout("slow"),
    ],
    ids=repr,
)
def test_an_exception_comes_back(error: Exception) -> None:
    """Class, arguments, attributes and text survive, whatever the constructor's signature."""
    made = there_and_back(error)
    assert type(made) is type(error)
    assert (str(made), repr(made)) == (str(error), repr(error))
    for name in (
        "args",
        "errno",
        "strerror",
        "filename",
        "name",
        "path",
        "code",
        "value",
        "detail",
        "start",
        "object",
        "pos",
        "lineno",
    ):
        if name != "args" or not isinstance(error, ExceptionGroup):
            assert getattr(made, name, None) == getattr(error, name, None)
    if not isinstance(error, ExceptionGroup):
        assert vars(made) == vars(error)


def test_an_exception_keeps_its_chain_and_notes() -> None:
    """Cause, context, `from None` and notes are those of the original."""
    error = raised(ValueError("a"), KeyError("b"))
    error.add_note("seen")
    made = there_and_back(error)
    assert repr(made.__cause__) == "KeyError('b')"
    assert (made.__suppress_context__, made.__notes__) == (True, ["seen"])
    silent = ValueError()
    silent.__suppress_context__ = True
    assert there_and_back(silent).__suppress_context__
    follow_up = ValueError()
    follow_up.__context__ = OSError(1, "x")
    assert type(there_and_back(follow_up).__context__) is PermissionError


def test_an_exception_says_what_it_lost() -> None:
    """What cannot be recorded of an exception shows in the data, and prints as it did."""
    made = there_and_back(ValueError("x", print))
    assert made.args == ("x", Lost("<built-in function print>"))
    assert repr(made) == "ValueError('x', <built-in function print>)"
    assert encode(made) == encode(ValueError("x", print))
    assert encode(ValueError(print))["$error"]["args"] == [{"$repr": "<built-in function print>"}]


def test_an_exception_that_refers_to_itself_comes_back() -> None:
    """Django's ValidationError lists itself; a chain may lead back to where it began."""
    made = there_and_back(ValidationError("bad", code="c"))
    assert made.error_list == [made]
    assert (made.messages, made.code) == (["bad"], "c")
    fields = there_and_back(ValidationError({"name": ["too long", "odd"]}))
    assert fields.message_dict == {"name": ["too long", "odd"]}
    first, second = ValueError(1), KeyError(2)
    first.__context__, second.__context__ = second, first
    loop = there_and_back(first)
    assert loop.__context__.__context__ is loop
    own = ValueError()
    own.args = (own,)
    assert isinstance(there_and_back(own).args[0], Lost)


@pytest.mark.parametrize("level", [0, -1, "x"])
def test_a_reference_to_no_exception_is_corrupt(level: object) -> None:
    """A reference upwards needs an exception there."""
    with pytest.raises(CassetteCorrupt):
        decode({"$up": level})
    with pytest.raises(CassetteCorrupt):
        decode({"$error": {"class": "builtins:ValueError", "args": [{"$up": level}]}})


def test_an_exception_of_a_local_class_is_refused() -> None:
    """A class that no import finds cannot be restored."""

    class Local(Exception):
        pass

    with pytest.raises(UnsupportedError, match="no import finds"):
        encode(Local())


def test_an_encoded_exception_is_known() -> None:
    """`is_error` tells encoded exceptions from everything else."""
    assert is_error(encode(ValueError()))
    assert not any(map(is_error, [None, [], {}, {"$error": 1, "b": 2}, encode({"$error": {}})]))
