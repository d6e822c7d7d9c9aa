"""Tells whether the installed release of a library is among those that its plugin was tested with."""

from __future__ import annotations

import operator
import platform
import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest

import msgspec

from timetracer.plugin import Plugin

# Not `packaging`: without OTel's launcher nothing else imports it, and it costs more than all of our own start.
_REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*(?:\[[^]]*\])?([^;]*)")
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*v?(\d+(?:\.\d+)*)\Z")
_NUMBERS = re.compile(r"v?(\d+(?:\.\d+)*)")
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


class Release(msgspec.Struct, frozen=True):
    """What is installed of a plugin's library.

    Attributes:
        library: as it is distributed; `python` for a module of the standard library, empty where the plugin says none.
        number: the installed release; empty where it is not known.
        tested: it lies inside the plugin's range, or nobody can tell.
    """

    library: str
    number: str
    tested: bool

    def __str__(self) -> str:
        return f"{self.library} {self.number or '(its version is not known)'}"


def release_of(plugin: Plugin) -> Release:
    """Looks at the library that a plugin is about."""
    found = _REQUIREMENT.match(plugin.library)
    if found is None:
        return Release(plugin.library, "", True)
    name, clauses = found[1], found[2]
    number = _installed(name)
    return Release(name, number, all(_holds(clause.strip(), number) for clause in clauses.split(",")))


def _installed(name: str) -> str:
    if name == "python":
        return platform.python_version()
    module = sys.modules.get(name.replace("-", "_"))
    said = vars(module).get("__version__") if module is not None else None  # where it is made on demand, it may warn
    if isinstance(said, str):
        return said
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _holds(clause: str, number: str) -> bool:
    """Whether a release fulfils one clause of a requirement; what is not understood is not held against it."""
    wanted, installed = _CLAUSE.match(clause), _NUMBERS.match(number)
    if wanted is None or installed is None:
        return True
    pairs = zip_longest(_parts(installed[1]), _parts(wanted[2]), fillvalue=0)
    first, second = next((pair for pair in pairs if pair[0] != pair[1]), (0, 0))
    return _OPERATORS[wanted[1]](first, second)


def _parts(number: str) -> list[int]:
    return [int(part) for part in number.split(".")]
