"""Turns typed Python values into JSON data and back, exactly: type, order, exception class.

Plain JSON stays plain. Anything else is a *tag*, a dict whose only key starts with `$`: `{"$decimal": "1.10"}`. A dict
that looks like a tag is escaped. What cannot come back as it was is refused when it is encoded.

Decoding builds only the classes named below, plus four kinds that a value names by `module:qualname`: exceptions, enum
members, subclasses of builtins, and registered client types. Their modules are imported; their own code is not run.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import importlib
import ipaddress
import sys
import types
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from reprlib import Repr
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from timetracer.errors import CassetteCorrupt, UnsupportedError

Data: TypeAlias = Any
"""JSON data: None, bool, int of 64 bits, finite float, str without lone surrogates, list, dict with such str keys."""

_CHAIN = 16  # exceptions followed along `cause` and `context`
_SHOWN = Repr()
_SHOWN.maxother = _SHOWN.maxstring = 200

_BY_STATE: Mapping[str, tuple[str, ...]] = {
    "asyncpg.types:BitString": ("_bytes", "_bitlength"),
    "asyncpg.types:Range": ("_lower", "_upper", "_lower_inc", "_upper_inc", "_empty"),
    "psycopg.types.json:_JsonWrapper": ("obj", "dumps"),
    "psycopg.types.multirange:Multirange": ("_ranges",),
    "psycopg.types.range:Range": ("_lower", "_upper", "_bounds"),
    "psycopg2._json:Json": ("adapted", "_dumps"),
    "psycopg2._range:Range": ("_lower", "_upper", "_bounds"),
}
"""Client types that are their attributes: named, so that no client library is imported here. Subclasses count."""

_BY_TEXT = frozenset({"asyncpg.pgproto.pgproto:UUID", "bson.objectid:ObjectId"})
"""Client types that are their `str`."""


class Lost:
    """Stands where an attribute or argument of an exception could not be recorded; prints as that did."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lost) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def encode(value: Any) -> Data:
    """Returns `value` as JSON data that `decode` restores.

    Raises:
        UnsupportedError: the value, or one inside it, would not come back as it is.
    """
    try:
        return _encode(value)
    except RecursionError:
        raise UnsupportedError(f"a {_name(type(value))} nests too deep, or contains itself") from None


def decode(data: Data) -> Any:
    """Returns the value that `data` was encoded from.

    Raises:
        CassetteCorrupt: the data is broken, or names a class that cannot be imported here.
    """
    try:
        return _decode(data)
    except RecursionError:
        raise CassetteCorrupt("a value nests too deep") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, ImportError) as error:
        raise CassetteCorrupt(f"a value cannot be restored: {type(error).__name__}: {error}") from error


def is_error(data: Data) -> bool:
    """Tells whether `data` is an encoded exception."""
    return type(data) is dict and len(data) == 1 and "$error" in data


# --------------------------------------------------------------------------------------------------------- encoding


def _encode(value: Any) -> Data:
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
    return [x if x.__class__ is str and x.isascii() else _encode(x) for x in value]


def _dict(value: dict[Any, Any]) -> Data:
    data = {}
    for key, item in value.items():
        if type(key) is not str or not (key.isascii() or _clean(key)):
            return {"$map": _pairs(value)}
        data[key] = item if item.__class__ is str and item.isascii() else _encode(item)
    return {"$escaped": data} if len(data) == 1 and next(iter(data)).startswith("$") else data


def _pairs(value: Mapping[Any, Any]) -> list[Data]:
    return [[_encode(key), _encode(item)] for key, item in value.items()]


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
    raise UnsupportedError(f"a time in a {_name(type(zone))} cannot be recorded: use zoneinfo or datetime.timezone")


def _tagged(tag: str, convert: Callable[[Any], Data]) -> Callable[[Any], Data]:
    return lambda value: {tag: convert(value)}


def _set(value: Any) -> Data:
    return sorted((_encode(x) for x in value), key=repr)  # hash order differs from run to run; diffs should not


def _other(value: Any) -> Data:
    """Encodes what has no encoder of its own: exceptions, enum members, registered types, subclasses of builtins."""
    cls: Any = type(value)
    if isinstance(value, BaseException):
        return _error(value, _CHAIN)
    if isinstance(value, enum.Enum):
        if cls.__members__.get(value.name) is value:
            return {"$enum": [_class(cls), value.name]}
        return {"$flag": [_class(cls), _encode(value.value)]}
    if cls is Lost:
        return {"$repr": _str(value.text)}
    kind = _kind(cls)
    if kind in _BY_TEXT:
        return {"$text": [_class(cls), str(value)]}
    if kind in _BY_STATE:
        return {"$object": [_class(cls), {key: _encode(getattr(value, key)) for key in _BY_STATE[kind]}]}
    plain: Any = _PLAIN.get(kind)
    if plain is None:
        raise UnsupportedError(f"a {_name(cls)} cannot be recorded")
    # Past whatever the subclass overrides.
    content = _CONTENT[plain](value) if plain in _CONTENT else plain(plain.__iter__(value))
    data: list[Data] = [_class(cls), _ENCODERS[plain](content)]
    state = getattr(value, "__dict__", None)
    return {"$instance": [*data, _dict(state)] if state else data}


@lru_cache(512)
def _kind(cls: type) -> str:
    """Names what restores an instance: a registered client type, the builtin beneath the class, or "" for nothing."""
    names = [f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__]
    for name in names:
        if name in _BY_TEXT or name in _BY_STATE:
            return name
    plain = next((name for name in names if name in _PLAIN), "")
    slots = any(isinstance(x, types.MemberDescriptorType) for base in cls.__mro__ for x in vars(base).values())
    if not plain or slots:
        return ""
    try:
        _new(plain)(cls)  # refused for classes with C state of their own: defaultdict, numpy.float64
    except TypeError:
        return ""
    return plain


def _new(plain: str) -> Any:
    return _PLAIN[plain].__new__


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(cls: type) -> str:
    """Returns the name to find `cls` by."""
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is not cls:
        raise UnsupportedError(f"a {_name(cls)} cannot be recorded: no import finds the class by that name")
    return _name(cls)


def _error(error: BaseException, chain: int) -> Data:
    """Encodes an exception. What its arguments and attributes cannot restore is kept as text, and seen as `$repr`."""
    cls: Any = type(error)
    exact = isinstance(error, BaseExceptionGroup)  # cannot be built without its exceptions
    data: dict[str, Data] = {"class": _class(cls), "args": [_encode(x) if exact else _lossy(x) for x in error.args]}
    state = {key: value for key, member in _members(cls).items() if (value := _read(member, error)) is not None}
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
    return {"$error": data}


def _lossy(value: Any) -> Data:
    try:
        return _encode(value)
    except UnsupportedError:
        return {"$repr": _str(_SHOWN.repr(value))}


@lru_cache(512)
def _members(cls: type) -> dict[str, Any]:
    """Returns what a class keeps outside `__dict__`: slots, and the fields of builtin exceptions (errno, filename)."""
    return {
        key: member
        for base in reversed(cls.__mro__)
        if base not in (BaseExceptionGroup, AttributeError)  # read-only; and `obj`, which is whatever the app touched
        for key, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType) and not key.startswith("__")
    }


def _read(member: Any, error: BaseException) -> Any:
    try:
        return member.__get__(error)
    except AttributeError:
        return None  # a slot never set


# --------------------------------------------------------------------------------------------------------- decoding


def _decode(data: Data) -> Any:
    if data.__class__ is dict:
        if len(data) == 1:
            ((tag, payload),) = data.items()
            if tag.startswith("$"):
                if tag not in _DECODERS:
                    raise CassetteCorrupt(f"a value has the unknown tag {tag}")
                return _DECODERS[tag](payload)
        return _undict(data)
    if data.__class__ is list:
        return [x if x.__class__ is str else _decode(x) for x in data]
    return data


def _undict(data: Data) -> dict[str, Any]:
    return {key: x if x.__class__ is str else _decode(x) for key, x in data.items()}


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


def _find(name: str, kind: type) -> Any:
    """Imports a class by name, and sees that it is of the kind that its tag allows."""
    module, _, path = name.partition(":")
    try:
        found: Any = sys.modules.get(module) or importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise CassetteCorrupt(f"the class {name} cannot be imported here: {error}") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise CassetteCorrupt(f"{name} is not a {kind.__name__}")
    return found


def _unenum(data: Data) -> Any:
    cls = _find(data[0], enum.Enum)
    return cls.__members__[data[1]]


def _unflag(data: Data) -> Any:
    return _find(data[0], enum.Flag)(_decode(data[1]))


def _uninstance(data: Data) -> Any:
    cls = _find(data[0], object)
    kind: Any = _PLAIN[_kind(cls)]
    content = _decode(data[1])
    if type(content) is not kind:
        raise CassetteCorrupt(f"a {data[0]} holds a {type(content).__name__}")
    made: Any = kind.__new__(cls) if kind in (list, dict, set) else kind.__new__(cls, content)
    if kind in (list, dict, set):
        (kind.extend if kind is list else kind.update)(made, content)
    if len(data) > 2:
        vars(made).update(_undict(data[2]))
    return made


def _unobject(data: Data) -> Any:
    cls = _find(data[0], object)
    kind = _kind(cls)
    if set(data[1]) != set(_BY_STATE[kind]):
        raise CassetteCorrupt(f"a {data[0]} has other attributes than expected")
    made = object.__new__(cls)
    for key, value in data[1].items():
        object.__setattr__(made, key, _decode(value))
    return made


def _untext(data: Data) -> Any:
    if data[0] not in _BY_TEXT:
        raise CassetteCorrupt(f"{data[0]} is not a type made from text")
    return _find(data[0], object)(data[1])


def _unerror(data: Data) -> BaseException:
    """Rebuilds an exception past its own `__init__`, whose signature may have little to do with its `args`."""
    cls = _find(data["class"], BaseException)
    args = tuple(_decode(data["args"]))
    error = _shell(cls, args)
    for key, value in data.get("state", {}).items():
        member = _members(cls).get(key)
        if member is not None:
            member.__set__(error, _decode(value))
        else:
            vars(error)[key] = _decode(value)
    if "notes" in data:
        vars(error)["__notes__"] = _decode(data["notes"])
    if "cause" in data:  # null says `from None`
        error.__cause__ = _decode(data["cause"])
    if "context" in data:
        error.__context__ = _decode(data["context"])
    return error


def _shell(cls: Any, args: tuple[Any, ...]) -> BaseException:
    new = next(x for base in cls.__mro__ if isinstance(x := vars(base).get("__new__"), types.BuiltinFunctionType))
    if issubclass(cls, BaseExceptionGroup):
        return new(cls, *args)  # type: ignore[no-any-return]
    error: BaseException = new(cls)  # without arguments: OSError would pick a subclass by errno
    error.args = args
    return error


_PLAIN: Mapping[str, type] = {
    f"builtins:{cls.__name__}": cls for cls in (str, int, float, bytes, list, tuple, dict, set, frozenset)
}
_CONTENT: Mapping[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__pos__,
    dict: dict.copy,
}
_IP = [getattr(ipaddress, f"IPv{v}{what}") for v in (4, 6) for what in ("Address", "Network", "Interface")]

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
    **{cls: _tagged(f"${cls.__name__.lower()}", str) for cls in _IP},
}

_DECODERS: dict[str, Callable[[Data], Any]] = {
    "$escaped": _undict,
    "$map": lambda data: {_decode(key): _decode(value) for key, value in data},
    "$int": lambda data: int(data, 0),
    "$float": float,
    "$str": lambda data: data.encode("ascii").decode("unicode_escape"),
    "$bytes": str.encode,
    "$base64": lambda data: base64.b64decode(data, validate=True),
    "$bytearray": lambda data: bytearray(_decode(data)),
    "$memoryview": lambda data: memoryview(_decode(data)),
    "$tuple": lambda data: tuple(map(_decode, data)),
    "$set": lambda data: set(map(_decode, data)),
    "$frozenset": lambda data: frozenset(map(_decode, data)),
    "$ordered": lambda data: OrderedDict((_decode(key), _decode(value)) for key, value in data),
    "$deque": lambda data: deque(_decode(data[0]), data[1]),
    "$decimal": Decimal,
    "$datetime": _unmoment(dt.datetime),
    "$date": dt.date.fromisoformat,
    "$time": _unmoment(dt.time),
    "$timedelta": lambda data: dt.timedelta(*data),
    "$uuid": uuid.UUID,
    "$complex": lambda data: complex(*map(_decode, data)),
    "$range": lambda data: range(*map(_decode, data)),
    "$slice": lambda data: slice(*map(_decode, data)),
    **{f"${cls.__name__.lower()}": cls for cls in _IP},
    "$enum": _unenum,
    "$flag": _unflag,
    "$instance": _uninstance,
    "$object": _unobject,
    "$text": _untext,
    "$error": _unerror,
    "$repr": lambda data: Lost(_decode(data)),
}
