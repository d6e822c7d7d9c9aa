"""The exception tree: every error that timetracer raises on purpose, and what each one means.

    TimetracerError
    ├── ConfigError                  a setting has a value that is not allowed
    ├── MissingDependencyError       an optional package is needed (also an ImportError)
    ├── UnsupportedError             a value, call or setup that cannot be recorded or replayed
    ├── CassetteError                a cassette cannot be used
    │   ├── CassetteNotFound         there is no such file or folder
    │   ├── CassetteVersionError     written in a newer format than this version reads
    │   ├── CassetteCorrupt          broken, truncated, too large or too deep
    │   └── CassetteLocked           encrypted or sealed, and the key is missing or wrong
    └── ReplayError                  a replayed program asked for what no cassette can answer
        ├── NoMatch                  no recorded call equals this one
        │   └── Exhausted            it was recorded, and every recorded answer was already given
        └── NetworkBlocked           a connection was attempted where none may be made

A `ReplayError` derives from no client library's error: clients retry those.
"""

from __future__ import annotations

from typing import Any


class TimetracerError(Exception):
    """Base of every error that timetracer raises on purpose."""


class ConfigError(TimetracerError):
    """A setting has a value that is not allowed.

    Args:
        name: the variable, field or option as the user typed it.
        value: the value that was given.
        allowed: what is allowed, in words.
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(name, value, allowed)
        self.name, self.value, self.allowed = name, value, allowed

    def __str__(self) -> str:
        return f"{self.name}={self.value!r} is not allowed: {self.allowed}"


class MissingDependencyError(TimetracerError, ImportError):
    """An optional package is needed for what was asked.

    Args:
        what: the feature, as the user knows it.
        extra: the extra of `timetracer` that installs the package.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra package: pip install 'timetracer[{extra}]'")
        self.what, self.extra = what, extra


class UnsupportedError(TimetracerError):
    """A value, call or setup that cannot be recorded or replayed exactly."""


class CassetteError(TimetracerError):
    """A cassette cannot be used."""


class CassetteNotFound(CassetteError):
    """There is no such cassette."""


class CassetteVersionError(CassetteError):
    """The cassette was written in a newer format than this version reads."""


class CassetteCorrupt(CassetteError):
    """The cassette is broken, truncated, too large or too deep."""


class CassetteLocked(CassetteError):
    """The cassette is encrypted or sealed, and the key is missing or wrong."""


class ReplayError(TimetracerError):
    """A replayed program asked for what no cassette can answer.

    `reason` is one of `no cassette`, `no match`, `already consumed`, `wrong order`, `ambiguous`, `decode error`,
    `plugin not installed`, `network blocked`.
    """

    def __init__(self, message: str, *, reason: str = "no match", **details: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details


class NoMatch(ReplayError):
    """No recorded call equals this one."""


class Exhausted(NoMatch):
    """The call was recorded, and every recorded answer was already given."""


class NetworkBlocked(ReplayError):
    """A connection was attempted in replay, where none may be made."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message, reason="network blocked", **details)
