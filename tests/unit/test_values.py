"""Typed values come back exactly from JSON, and what would not is refused."""

from __future__ import annotations

import datetime as dt
import enum
import http
import ipaddress
import json
import math
import re
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg.types.json
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.multirange import Int4Multirange
from psycopg.types.range import Int4Range, Range

from timetracer.errors import CassetteCorrupt, UnsupportedError
from timetracer.values import decode, encode

Point = namedtuple("Point", "x y")


class Colour(enum.StrEnum):
    RED = "red"


class Access(enum.IntFlag):
    READ = 1
    WRITE = 2


class Names(list):  # type: ignore[type-arg]
    """A list with an attribute of its own."""


class Loud(str):
    """A str that overrides how it prints."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def there_and_back(value: Any) -> Any:
    """Takes a value through JSON text."""
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


def same(a: Any, b: Any) -> bool:
    """Compares by type as well, all the way down; NaN equals itself and -0.0 differs from 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (float, complex, Decimal)):
        return repr(a) == repr(b)
    if isinstance(a, (list, tuple, deque)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, dt.datetime):
        return a == b and repr(a) == repr(b)
    return bool(a == b)


PARIS = ZoneInfo("Europe/Paris")
VALUES = [
    None,
    True,
    0,
    2**63,
    -(2**80),
    10**5000,
    1.5,
    -0.0,
    math.inf,
    math.nan,
    "text é \U0001f600",
    "\udc80 \ud83d\ude00 \\n",
    {"\udcff": 1},
    b"printable\r\n",
    b"\x00\xff",
    b"",
    bytearray(b"abc"),
    Decimal("1.10"),
    Decimal("NaN"),
    Decimal("-Infinity"),
    dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=PARIS),
    dt.datetime(2024, 1, 1, 12, 0, 0, 5),
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC")),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30))),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")),
    dt.date(2024, 2, 29),
    dt.time(1, 2, 3, 4, tzinfo=dt.UTC),
    dt.time(1, 2, fold=1),
    dt.timedelta(days=-1, microseconds=1),
    uuid.UUID(int=5),
    ipaddress.ip_address("10.0.0.1"),
    ipaddress.ip_address("fe80::1%eth0"),
    ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_network("2001:db8::/32"),
    ipaddress.ip_interface("10.0.0.1/8"),
    ipaddress.ip_interface("::1/64"),
    (1, (2, [3])),
    {1, "a", (2,)},
    frozenset({b"x"}),
    {1: "a", None: "b", (1, 2): "c"},
    OrderedDict([("b", 1), ("a", 2)]),
    deque([1, 2], 5),
    Counter("aab"),
    complex(1, -0.0),
    range(1, 10, 3),
    slice(None, 2),
    http.HTTPStatus.NOT_FOUND,
    Colour.RED,
    Access.READ | Access.WRITE,
    re.RegexFlag.IGNORECASE,
    Point(1, Decimal("2")),
    Loud("quiet"),
    Range(1, 5, "[]"),
    Range(empty=True),
    Int4Range(1, None),
    Int4Multirange([Range(1, 2)]),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{str(encode(value))[:40]}")
def test_a_typed_value_comes_back_exactly(value: object) -> None:
    """Type and content survive JSON text."""
    assert same(there_and_back(value), value)


def test_a_memoryview_comes_back_readonly_or_not() -> None:
    """A view keeps its bytes and whether it may be written to."""
    assert (there_and_back(memoryview(b"ab")), there_and_back(memoryview(b"ab")).readonly) == (b"ab", True)
    assert not there_and_back(memoryview(bytearray(b"ab"))).readonly
    with pytest.raises(UnsupportedError, match="format 'H'"):
        encode(memoryview(b"abcd").cast("H"))


def test_a_client_wrapper_comes_back_without_its_library_being_known() -> None:
    """psycopg's Jsonb is restored by name from its attributes."""
    made = there_and_back(psycopg.types.json.Jsonb({"a": Decimal(1)}))
    assert type(made) is psycopg.types.json.Jsonb
    assert (made.obj, made.dumps) == ({"a": Decimal(1)}, None)


def test_a_subclass_keeps_its_attributes() -> None:
    """A list subclass comes back with its items and its `__dict__`."""
    names = Names(["a"])
    names.source = (1, 2)  # type: ignore[attr-defined]
    made = there_and_back(names)
    assert (type(made), list(made), made.source) == (Names, ["a"], (1, 2))


@pytest.mark.parametrize(
    "value", [{"$decimal": "1"}, {"$": 1}, {"$escaped": {"$x": 1}}, {"$oid": {"$error": []}}, [{"$set": {"a": 1}}]]
)
def test_data_that_looks_like_a_tag_is_escaped(value: object) -> None:
    """An app's own dict with a single `$` key is not taken for a tag."""
    assert same(there_and_back(value), value)


def test_plain_json_stays_plain() -> None:
    """What JSON can say is not tagged, and bytes that are text can be read."""
    plain = {"a": [1, 2.5, None, True, "x", {"b": {}}], "$a": 1, "$b": 2}
    assert encode(plain) == plain
    assert encode(b"GET /\r\n") == {"$bytes": "GET /\r\n"}
    assert encode(b"\x1b[0m") == {"$base64": "G1swbQ=="}


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs", "Ll"]))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.just(PARIS))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.ip_addresses()
    | st.complex_numbers()
)
KEYS = st.text(max_size=5) | st.sampled_from(["$", "$decimal", "$map", "$error", "$escaped"]) | st.integers()


@given(
    st.recursive(
        ATOMS,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(KEYS, inner, max_size=3)
            | st.builds(deque, st.lists(inner, max_size=3))
        ),
        max_leaves=15,
    )
)
def test_any_value_comes_back_exactly(value: object) -> None:
    """Nested values of every kind survive JSON text with their types."""
    assert same(there_and_back(value), value)


class Pytz(dt.tzinfo):
    """A time zone of a library."""

    def utcoffset(self, when: dt.datetime | None, /) -> dt.timedelta:
        return dt.timedelta(0)

    def dst(self, when: dt.datetime | None, /) -> None:
        return None

    def tzname(self, when: dt.datetime | None, /) -> str:
        return "LMT"


def a_class_of_its_own() -> object:
    """Makes an instance of a class that no import finds."""

    class Local(list):  # type: ignore[type-arg]
        pass

    return Local()


@pytest.mark.parametrize(
    "value",
    [
        object(),
        defaultdict(int),
        int,
        print,
        a_class_of_its_own(),
        dt.datetime(2024, 1, 1, tzinfo=Pytz()),
        [{"a": {1: object()}}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_is_refused(value: object) -> None:
    """Nothing is guessed or turned into text."""
    with pytest.raises(UnsupportedError, match="cannot be recorded"):
        encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    """A cycle ends in UnsupportedError."""
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(UnsupportedError, match="contains itself"):
        encode(cycle)


@pytest.mark.parametrize(
    "data",
    [
        {"$nonsense": 1},
        {"$decimal": "x"},
        {"$decimal": []},
        {"$base64": "!"},
        {"$base64": 5},
        {"$int": "1e5"},
        {"$str": "\\x"},
        {"$datetime": ["2024-01-01T00:00:00", "No/Where", 0]},
        {"$datetime": "2024"},
        {"$timedelta": [10**10, 0, 0]},
        {"$set": [[1]]},
        {"$map": [[1]]},
        {"$escaped": []},
        {"$enum": ["http:HTTPStatus", "NONE"]},
        {"$enum": ["builtins:int", "x"]},
        {"$instance": ["subprocess:Popen", ["ls"]]},
        {"$instance": ["collections:Counter", [1]]},
        {"$object": ["subprocess:Popen", {}]},
        {"$object": ["psycopg.types.range:Range", {"_lower": 1}]},
        {"$text": ["builtins:eval", "1"]},
        {"$error": {"class": "builtins:eval", "args": ["1"]}},
        {"$error": {"class": "no.such.module:Error", "args": []}},
        {"$error": {"class": "builtins:ExceptionGroup", "args": []}},
        {"$error": {"class": "builtins:ValueError", "args": [], "cause": 5}},
        {"$error": {"args": []}},
        {"$error": 5},
    ],
    ids=lambda value: type(value).__name__,
)
def test_broken_data_is_corrupt(data: object) -> None:
    """Whatever a cassette holds, decoding gives a value or CassetteCorrupt, and calls nothing that the data names."""
    with pytest.raises(CassetteCorrupt):
        decode(data)


def test_data_too_deep_is_corrupt() -> None:
    """Depth ends in CassetteCorrupt, not in RecursionError."""
    data: Any = 1
    for _ in range(100_000):
        data = [data]
    with pytest.raises(CassetteCorrupt, match="deep"):
        decode(data)


@pytest.mark.parametrize("package", ["", "package."])
def test_what_is_decoded_has_no_module_imported(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cassette names classes; it does not have an app's modules run."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "package" if package else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "trap_for_decoding.py").write_text("raise SystemExit(9)")
    name = f"{package}trap_for_decoding:Error"
    for data in ({"$error": {"class": name, "args": []}}, {"$instance": [name, ""]}, {"$enum": [name, "A"]}):
        with pytest.raises(CassetteCorrupt, match="not loaded"):
            decode(data)


@pytest.mark.parametrize(
    "data",
    [
        {"$bytearray": 10**12},
        {"$datetime": ["2020-01-01T00:00:00", "America", 0]},
        {"$datetime": ["2020-01-01T00:00:00", "../../../etc/passwd", 0]},
        {"$instance": ["subprocess:Popen", ["id"]]},
        {"$error": {"class": "os:system", "args": ["id"]}},
    ],
)
def test_hostile_data_is_broken_data(data: Any) -> None:
    """Nothing is called, allocated or opened for it."""
    with pytest.raises(CassetteCorrupt):
        decode(data)
