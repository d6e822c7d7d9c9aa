"""Builds values from JSON data, and nothing but values: what the data names is checked before it is made."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import threading
import types
import uuid
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from timetracer.errors import CassetteCorrupt
from timetracer.values.classes import BY_STATE, BY_TEXT, IP, PLAIN, Data, Lost, find, kind_of, members


def restore(data: Data) -> Any:
    if data.__class__ is dict:
        if len(data) == 1:
            ((tag, payload),) = data.items()
            if tag.startswith("$"):
                if tag not in _DECODERS:
                    raise CassetteCorrupt(f"a value has the unknown tag {tag}")
                return _DECODERS[tag](payload)
        return _undict(data)
    if data.__class__ is list:
        return [x if x.__class__ is str else restore(x) for x in data]
    return data


def _undict(data: Data) -> dict[str, Any]:
    return {key: x if x.__class__ is str else restore(x) for key, x in data.items()}


def _unescape(data: Data) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that nobody writes
        return data.encode("ascii").decode("unicode_escape")  # type: ignore[no-any-return]


def _unmoment(cls: type[Any]) -> Callable[[Data], Any]:
    def restore(data: Data) -> Any:
        if isinstance(data, str):
            return cls.fromisoformat(data)
        text, zone, fold = data
        value = cls.fromisoformat(text).replace(fold=fold)
        if isinstance(zone, list):
            return value.replace(tzinfo=dt.timezone(dt.timedelta(microseconds=zone[0]), zone[1]))
        return value if zone is None else value.replace(tzinfo=ZoneInfo(zone))

    return restore


def _unenum(data: Data) -> Any:
    cls = find(data[0], enum.Enum)
    return cls.__members__[data[1]]


def _unflag(data: Data) -> Any:
    return find(data[0], enum.Flag)(restore(data[1]))


def _uninstance(data: Data) -> Any:
    cls = find(data[0], object)
    kind: Any = PLAIN[kind_of(cls)]
    content = restore(data[1])
    if type(content) is not kind:
        raise CassetteCorrupt(f"a {data[0]} holds a {type(content).__name__}")
    fill = _FILL.get(kind)
    new: Any = kind.__new__
    made = new(cls, content) if fill is None else new(cls)
    if fill is not None:
        fill(made, content)
    if len(data) > 2:
        vars(made).update(_undict(data[2]))
    return made


def _unobject(data: Data) -> Any:
    cls = find(data[0], object)
    kind = kind_of(cls)
    if set(data[1]) != set(BY_STATE[kind]):
        raise CassetteCorrupt(f"a {data[0]} has other attributes than expected")
    made = object.__new__(cls)
    for key, value in data[1].items():
        object.__setattr__(made, key, restore(value))
    return made


def _untext(data: Data) -> Any:
    if data[0] not in BY_TEXT:
        raise CassetteCorrupt(f"{data[0]} is not a type made from text")
    return find(data[0], object)(data[1])


class _Open(threading.local):
    """The exceptions that are being decoded on this thread; None until its arguments are known."""

    def __init__(self) -> None:
        self.errors: list[BaseException | None] = []


_open = _Open()


def _unerror(data: Data) -> BaseException:
    """Rebuilds an exception past its own `__init__`, whose signature may have little to do with its `args`."""
    cls = find(data["class"], BaseException)
    _open.errors.append(None)
    try:
        error = _shell(cls, tuple(restore(data["args"])))
        _open.errors[-1] = error
        _fill(error, data)
    finally:
        _open.errors.pop()
    return error


def _fill(error: BaseException, data: Data) -> None:
    cls: Any = type(error)
    for key, value in data.get("state", {}).items():
        member = members(cls).get(key)
        if member is not None:
            member.__set__(error, restore(value))
        else:
            vars(error)[key] = restore(value)
    if "notes" in data:
        vars(error)["__notes__"] = restore(data["notes"])
    if "cause" in data:  # null says `from None`
        error.__cause__ = restore(data["cause"])
    if "context" in data:
        error.__context__ = restore(data["context"])


def _unup(data: Data) -> BaseException:
    """Returns the exception around this place, `data` levels up."""
    error = _open.errors[::-1][data]
    if error is None or data < 0:
        raise CassetteCorrupt("an exception is its own argument")
    return error


def _shell(cls: Any, args: tuple[Any, ...]) -> BaseException:
    new = next(x for base in cls.__mro__ if isinstance(x := vars(base).get("__new__"), types.BuiltinFunctionType))
    if issubclass(cls, BaseExceptionGroup):
        return new(cls, *args)  # type: ignore[no-any-return]
    error: BaseException = new(cls)  # without arguments: OSError would pick a subclass by errno
    error.args = args
    return error


# What is empty when made: filled past the methods that the subclass overrides.
_FILL: dict[type, Callable[[Any, Any], None]] = {list: list.extend, dict: dict.update, set: set.update}

_DECODERS: dict[str, Callable[[Data], Any]] = {
    "$escaped": _undict,
    "$map": lambda data: {restore(key): restore(value) for key, value in data},
    "$int": lambda data: int(data, 0),
    "$float": float,
    "$str": _unescape,
    "$bytes": str.encode,
    "$base64": lambda data: base64.b64decode(data, validate=True),
    "$bytearray": lambda data: bytearray().join([restore(data)]),  # a number would ask for so many bytes
    "$memoryview": lambda data: memoryview(restore(data)),
    "$tuple": lambda data: tuple(map(restore, data)),
    "$set": lambda data: set(map(restore, data)),
    "$frozenset": lambda data: frozenset(map(restore, data)),
    "$ordered": lambda data: OrderedDict((restore(key), restore(value)) for key, value in data),
    "$deque": lambda data: deque(restore(data[0]), data[1]),
    "$decimal": Decimal,
    "$datetime": _unmoment(dt.datetime),
    "$date": dt.date.fromisoformat,
    "$time": _unmoment(dt.time),
    "$timedelta": lambda data: dt.timedelta(*data),
    "$uuid": uuid.UUID,
    "$complex": lambda data: complex(*map(restore, data)),
    "$range": lambda data: range(*map(restore, data)),
    "$slice": lambda data: slice(*map(restore, data)),
    **{f"${cls.__name__.lower()}": cls for cls in IP},
    "$enum": _unenum,
    "$flag": _unflag,
    "$instance": _uninstance,
    "$object": _unobject,
    "$text": _untext,
    "$error": _unerror,
    "$up": _unup,
    "$repr": lambda data: Lost(restore(data)),
}
