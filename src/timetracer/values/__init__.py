"""Turns typed Python values into JSON data and back, exactly: type, order, exception class.

Plain JSON stays plain. Anything else is a *tag*, a dict whose only key starts with `$`: `{"$decimal": "1.10"}`. A dict
that looks like a tag is escaped. What cannot come back as it was is refused when it is encoded.

Decoding builds only the classes named below, plus four kinds that a value names by `module:qualname`: exceptions, enum
members, subclasses of builtins, and registered client types. Their own code is not run, and no module is imported but
those of client libraries: others have to be loaded already.
"""

from __future__ import annotations

from typing import Any

from timetracer.errors import CassetteCorrupt, UnsupportedError
from timetracer.values.classes import Data, Lost, name_of
from timetracer.values.decoding import restore
from timetracer.values.encoding import Later, convert

__all__ = ["Data", "Later", "Lost", "decode", "encode", "is_error"]


def encode(value: Any) -> Data:
    """Returns `value` as JSON data that `decode` restores.

    Raises:
        UnsupportedError: the value, or one inside it, would not come back as it is.
    """
    try:
        return convert(value)
    except RecursionError:
        raise UnsupportedError(f"a {name_of(type(value))} nests too deep, or contains itself") from None


def decode(data: Data) -> Any:
    """Returns the value that `data` was encoded from.

    Raises:
        CassetteCorrupt: the data is broken, or names a class that is not there.
    """
    try:
        return restore(data)
    except RecursionError:
        raise CassetteCorrupt("a value nests too deep") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, ImportError, OSError) as error:
        raise CassetteCorrupt(f"a value cannot be restored: {type(error).__name__}: {error}") from error


def is_error(data: Data) -> bool:
    """Tells whether `data` is an encoded exception."""
    return type(data) is dict and len(data) == 1 and "$error" in data
