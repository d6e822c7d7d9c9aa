"""Turns values into JSON data: by their exact type where it is known, else by what the class is made of."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from reprlib import Repr
from typing import Any
from zoneinfo import ZoneInfo

from timetracer.errors import UnsupportedError
from timetracer.values.classes import BY_STATE, BY_TEXT, IP, PLAIN, Data, Lost, class_name, kind_of, members, name_of

_CHAIN = 16  # exceptions followed along `cause` and `context`


class Later:
    """Stands for a value that is made when it is encoded, on the writer's thread: `Later(lambda: costly(result))`.

    Args:
        make: returns the value. What it reads must not change until then, and it is called once, perhaps never.
    """

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


class _Open(threading.local):
    """The exceptions that are being encoded on this thread, and whether the arguments of each are done."""

    def __init__(self) -> None:
        self.errors: list[tuple[BaseException, bool]] = []


_open = _Open()
_SHOWN = Repr()
_SHOWN.maxother = _SHOWN.maxstring = 200


def convert(value: Any) -> Data:
    encoder = _ENCODERS.get(type(value))
    return encoder(value) if encoder is not None else _other(value)


def _same(value: Any) -> Data:
    return value


def _int(value: int) -> Data:
    if -0x8000_0000_0000_0000 <= value <= 0xFFFF_FFFF_FFFF_FFFF:
        return value
    # Python refuses to print or parse thousands of decimal digits, but any number of hexadecimal ones.
    return {"$int": str(value) if value.bit_length() < 1024 else hex(value)}


def _float(value: float) -> Data:
    if value - value == 0.0 and (value or repr(value) == "0.0"):
        return value
    return {"$float": repr(value)}


def _str(value: str) -> Data:
    # The codec, unlike JSON's own escapes, never joins two lone surrogates into one character.
    return value if value.isascii() or _clean(value) else {"$str": value.encode("unicode_escape").decode("ascii")}


def _clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _list(value: list[Any]) -> Data:
    return [x if x.__class__ is str and x.isascii() else convert(x) for x in value]


_CONSTANT = frozenset((bool, type(None)))


def _dict(value: dict[Any, Any]) -> Data:
    data = {}
    for key, item in value.items():
        if type(key) is not str or not (key.isascii() or _clean(key)):
            return {"$map": _pairs(value)}
        cls = item.__class__
        data[key] = item if cls in _CONSTANT or (cls is str and item.isascii()) else convert(item)
    return {"$escaped": data} if len(data) == 1 and next(iter(data)).startswith("$") else data


def _pairs(value: Mapping[Any, Any]) -> list[Data]:
    return [[convert(key), convert(item)] for key, item in value.items()]


def _bytes(value: bytes) -> Data:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"$base64": base64.b64encode(value).decode()}
    if text.isprintable() or text.translate(_LINES).isprintable():
        return {"$bytes": text}
    return {"$base64": base64.b64encode(value).decode()}


_LINES = dict.fromkeys(map(ord, "\r\n\t"))


def _memoryview(value: memoryview) -> Data:
    if value.format != "B" or value.ndim != 1:
        raise UnsupportedError(f"a memoryview of {value.ndim} dimensions, format {value.format!r} cannot be recorded")
    inner = _bytes(value.tobytes())
    return {"$memoryview": inner if value.readonly else {"$bytearray": inner}}


def _moment(value: dt.datetime | dt.time) -> Data:
    """Returns ISO text where it says all, else `[text without zone, zone, fold]`."""
    zone = value.tzinfo
    if zone is None or (type(zone) is dt.timezone and len(zone.__getinitargs__()) == 1):  # type: ignore[attr-defined]
        return [value.isoformat(), None, value.fold] if value.fold else value.isoformat()
    if type(zone) is dt.timezone:
        offset, name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [value.replace(tzinfo=None).isoformat(), [offset / dt.timedelta(microseconds=1), name], value.fold]
    if type(zone) is ZoneInfo and zone.key:
        return [value.replace(tzinfo=None).isoformat(), zone.key, value.fold]
    raise UnsupportedError(f"a time in a {name_of(type(zone))} cannot be recorded: use zoneinfo or datetime.timezone")


def _tagged(tag: str, convert: Callable[[Any], Data]) -> Callable[[Any], Data]:
    return lambda value: {tag: convert(value)}


def _set(value: Any) -> Data:
    return sorted((convert(x) for x in value), key=repr)  # hash order differs from run to run; diffs should not


def _other(value: Any) -> Data:
    """Encodes what has no encoder of its own: exceptions, enum members, registered types, subclasses of builtins."""
    cls: Any = type(value)
    if isinstance(value, BaseException):
        return _error(value, _CHAIN)
    if isinstance(value, enum.Enum):
        if cls.__members__.get(value.name) is value:
            return {"$enum": [class_name(cls), value.name]}
        return {"$flag": [class_name(cls), convert(value.value)]}
    if cls is Lost:
        return {"$repr": _str(value.text)}
    kind = kind_of(cls)
    if kind in BY_TEXT:
        return {"$text": [class_name(cls), str(value)]}
    if kind in BY_STATE:
        if extra := set(getattr(value, "__dict__", ())) - set(BY_STATE[kind]):
            raise UnsupportedError(f"a {name_of(cls)} with attributes of its own ({min(extra)}) cannot be recorded")
        return {"$object": [class_name(cls), {key: convert(getattr(value, key)) for key in BY_STATE[kind]}]}
    plain: Any = PLAIN.get(kind)
    if plain is None:
        raise UnsupportedError(f"a {name_of(cls)} cannot be recorded")
    # Past whatever the subclass overrides.
    content = _CONTENT[plain](value) if plain in _CONTENT else plain(plain.__iter__(value))
    data: list[Data] = [class_name(cls), _ENCODERS[plain](content)]
    state = getattr(value, "__dict__", None)
    return {"$instance": [*data, _dict(state)] if state else data}


def _error(error: BaseException, chain: int) -> Data:
    """Encodes an exception. What its arguments and attributes cannot restore is kept as text, and seen as `$repr`."""
    for depth, (outer, has_args) in enumerate(reversed(_open.errors)):
        if outer is error:  # Django's ValidationError lists itself
            if not has_args:
                raise UnsupportedError(f"a {name_of(type(error))} that is its own argument cannot be recorded")
            return {"$up": depth}
    _open.errors.append((error, False))
    try:
        return {"$error": _parts(error, chain)}
    finally:
        _open.errors.pop()


def _parts(error: BaseException, chain: int) -> dict[str, Data]:
    cls: Any = type(error)
    exact = isinstance(error, BaseExceptionGroup)  # cannot be built without its exceptions
    data: dict[str, Data] = {"class": class_name(cls), "args": [convert(x) if exact else _lossy(x) for x in error.args]}
    _open.errors[-1] = (error, True)
    state = {key: value for key, member in members(cls).items() if (value := _read(member, error)) is not None}
    state |= vars(error)
    notes = state.pop("__notes__", None)
    if state:
        data["state"] = {key: _lossy(value) for key, value in state.items()}
    if error.__suppress_context__:
        data["cause"] = None if error.__cause__ is None or not chain else _error(error.__cause__, chain - 1)
    elif error.__context__ is not None and chain:
        data["context"] = _error(error.__context__, chain - 1)
    if notes:
        data["notes"] = _lossy(notes)
    return data


def _lossy(value: Any) -> Data:
    try:
        return convert(value)
    except UnsupportedError:
        return {"$repr": _str(_SHOWN.repr(value))}


def _read(member: Any, error: BaseException) -> Any:
    try:
        return member.__get__(error)
    except AttributeError:
        return None  # a slot never set


_CONTENT: Mapping[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__pos__,
    dict: dict.copy,
}

_ENCODERS: dict[type, Callable[[Any], Data]] = {
    type(None): _same,
    bool: _same,
    int: _int,
    float: _float,
    str: _str,
    list: _list,
    dict: _dict,
    bytes: _bytes,
    bytearray: _tagged("$bytearray", lambda value: _bytes(bytes(value))),
    memoryview: _memoryview,
    Later: lambda value: convert(value.make()),
    tuple: _tagged("$tuple", _list),
    set: _tagged("$set", _set),
    frozenset: _tagged("$frozenset", _set),
    OrderedDict: _tagged("$ordered", _pairs),
    deque: _tagged("$deque", lambda value: [_list(value), value.maxlen]),
    Decimal: _tagged("$decimal", str),
    dt.datetime: _tagged("$datetime", _moment),
    dt.date: _tagged("$date", dt.date.isoformat),
    dt.time: _tagged("$time", _moment),
    dt.timedelta: _tagged("$timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    uuid.UUID: _tagged("$uuid", str),
    complex: _tagged("$complex", lambda value: [_float(value.real), _float(value.imag)]),
    range: _tagged("$range", lambda value: _list([value.start, value.stop, value.step])),
    slice: _tagged("$slice", lambda value: _list([value.start, value.stop, value.step])),
    **{cls: _tagged(f"${cls.__name__.lower()}", str) for cls in IP},
}
