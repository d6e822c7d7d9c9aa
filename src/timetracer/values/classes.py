"""Says which classes a value may name, finds them by that name, and sees what they are made of."""

from __future__ import annotations

import importlib
import ipaddress
import sys
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from timetracer.errors import CassetteCorrupt, UnsupportedError

Data: TypeAlias = Any
"""JSON data: None, bool, int of 64 bits, finite float, str without lone surrogates, list, dict with such str keys."""

BY_STATE: Mapping[str, tuple[str, ...]] = {
    "asyncpg.types:BitString": ("_bytes", "_bitlength"),
    "asyncpg.types:Range": ("_lower", "_upper", "_lower_inc", "_upper_inc", "_empty"),
    "psycopg.types.json:_JsonWrapper": ("obj", "dumps"),
    "psycopg.types.multirange:Multirange": ("_ranges",),
    "psycopg.types.range:Range": ("_lower", "_upper", "_bounds"),
    "psycopg2._json:Json": ("adapted", "_dumps"),
    "psycopg2._range:Range": ("_lower", "_upper", "_bounds"),
}
"""Client types that are their attributes: named, so that no client library is imported here. Subclasses count."""

BY_TEXT = frozenset({"asyncpg.pgproto.pgproto:UUID", "bson.objectid:ObjectId"})
"""Client types that are their `str`."""

PLAIN: Mapping[str, type] = {
    f"builtins:{cls.__name__}": cls for cls in (str, int, float, bytes, list, tuple, dict, set, frozenset)
}
"""The builtins whose subclasses can be restored."""

IP = [getattr(ipaddress, f"IPv{v}{what}") for v in (4, 6) for what in ("Address", "Network", "Interface")]


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


def name_of(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def class_name(cls: type) -> str:
    """Returns the name to find `cls` by."""
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is not cls:
        raise UnsupportedError(f"a {name_of(cls)} cannot be recorded: no import finds the class by that name")
    return name_of(cls)


_IMPORTED = frozenset(
    [
        *("aiohttp", "anyio", "asyncio", "asyncpg", "botocore", "brotli", "bson", "concurrent", "django", "h11", "h2"),
        *("hpack", "http", "httpcore", "httpx", "multidict", "psycopg", "psycopg2", "psycopg_pool", "pymongo", "redis"),
        *("requests", "socket", "sqlite3", "ssl", "timetracer", "urllib", "urllib3", "websockets", "wsproto", "yarl"),
    ]
)
"""Packages whose modules a cassette may have imported: the client libraries, which load some of theirs late. All else
has to be loaded already, by the app that is replayed: to import a module is to run it."""


def find(name: str, kind: type) -> Any:
    """Finds a class by name, and sees that it is of the kind that its tag allows."""
    module, _, path = name.partition(":")
    try:
        found: Any = sys.modules.get(module) or _import(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError, SyntaxError, RuntimeError, OSError) as error:
        raise CassetteCorrupt(f"the class {name} cannot be imported here: {error}") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise CassetteCorrupt(f"{name} is not a {kind.__name__}")
    return found


def _import(module: str) -> Any:
    package, _, rest = module.partition(".")
    if package not in _IMPORTED or "__main__" in rest:
        raise ImportError(f"{package} is not loaded, and a cassette has nothing imported but client libraries")
    return importlib.import_module(module)


@lru_cache(512)
def kind_of(cls: type) -> str:
    """Names what restores an instance: a registered client type, the builtin beneath the class, or "" for nothing."""
    names = [f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__]
    for name in names:
        if name in BY_STATE or (name in BY_TEXT and name == names[0]):
            return name
    plain = next((name for name in names if name in PLAIN), "")
    slots = any(isinstance(x, types.MemberDescriptorType) for base in cls.__mro__ for x in vars(base).values())
    if not plain or slots:
        return ""
    new: Any = PLAIN[plain].__new__
    try:
        new(cls)  # refused for classes with C state of their own: defaultdict, numpy.float64
    except TypeError:
        return ""
    return plain


@lru_cache(512)
def members(cls: type) -> dict[str, Any]:
    """Returns what a class keeps outside `__dict__`: slots, and the fields of builtin exceptions (errno, filename)."""
    return {
        key: member
        for base in reversed(cls.__mro__)
        if base not in (BaseExceptionGroup, AttributeError)  # read-only; and `obj`, which is whatever the app touched
        for key, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType) and not key.startswith("__")
    }
