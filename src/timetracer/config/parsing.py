"""How one value of a setting is read, from text or already typed, and which plugin names there are."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import unquote

from timetracer.config import unconfigured

logger = logging.getLogger(__name__)
unconfigured.install()  # here, where the first line of all may come from

Parser: TypeAlias = Callable[[object], object]
"""Reads one value; raises ValueError with what is allowed, in words."""

PLUGIN_KINDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("httpx", "httpx2", "requests", "aiohttp", "urllib3", "http_client"), "http"),
        **dict.fromkeys(("sqlalchemy", "psycopg", "psycopg2", "sqlite3", "asyncpg", "pymysql", "aiomysql"), "db"),
        **dict.fromkeys(("pymongo", "motor"), "mongo"),
        "redis": "redis",
        "pymemcache": "cache",
        "botocore": "aws",
        "celery": "celery",
    }
)
"""Every plugin name that users may type, and its kind."""

SYNONYMS: Mapping[str, str] = MappingProxyType({"boto3": "botocore"})


def text(raw: object) -> str | None:
    if raw is None or isinstance(raw, str):
        return raw.strip() or None if raw else None
    if isinstance(raw, os.PathLike):
        return str(os.fspath(raw))
    raise ValueError("text")


def choice(*allowed: str) -> Parser:
    def parse(raw: object) -> str:
        if isinstance(raw, str) and raw.strip().lower() in allowed:
            return raw.strip().lower()
        raise ValueError(f"one of {', '.join(allowed)}")

    return parse


def flag(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    match str(raw).strip().lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
    raise ValueError("true or false")


def stored(raw: object) -> bool:
    """Reads a flag, and the three policies that timetracer 1.x had in its place."""
    old = str(raw).strip().lower()
    if old not in ("always", "on_error", "never"):
        return flag(raw)
    stored = old != "never"
    hint = "; TIMETRACER_ERRORS_ONLY=true keeps failed calls only" if old == "on_error" else ""
    say(f"Body policy {old!r} is of timetracer 1.x and now means {str(stored).lower()}{hint}")
    return stored


def at_least(minimum: int) -> Parser:
    def parse(raw: object) -> int:
        try:
            number = int(raw) if isinstance(raw, str | int) and not isinstance(raw, bool) else None
        except ValueError:
            number = None
        if number is None or number < minimum:
            raise ValueError(f"a whole number, {minimum} or more")
        return number

    return parse


def share(raw: object) -> float:
    try:
        number = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise ValueError("a number from 0.0 to 1.0")
    return number


def words(raw: object) -> tuple[str, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if isinstance(parts, Iterable):
        words = tuple(parts)
        if all(isinstance(word, str) for word in words):
            return tuple(word.strip() for word in words if word.strip())
    raise ValueError("words separated by commas, or a list of them")


def plugins(raw: object) -> tuple[str, ...]:
    names = tuple(SYNONYMS.get(word.lower(), word.lower()) for word in words(raw))
    if len(names) > 1 and {"all", "none"} & set(names):
        raise ValueError("all or none alone, or names and kinds of plugins")
    return names


PLUGIN_GROUP = "timetracer_plugin"


def check_plugins(words: tuple[str, ...], known_plugins: Mapping[str, str]) -> None:
    kinds = {**PLUGIN_KINDS, **known_plugins}
    allowed = {"all", "none", *kinds, *kinds.values()}
    if not allowed.issuperset(words):  # only then is it worth looking who else registered plugins
        kinds |= {found.name: "other" for found in entry_points(group=PLUGIN_GROUP) if found.name not in kinds}
        allowed |= kinds.keys()
    for word in words:
        if word not in allowed:
            raise ValueError(
                f"there is no plugin {word!r}{suggest(word, allowed)}; use all, none, "
                f"kinds ({', '.join(sorted(set(kinds.values())))}) or names ({', '.join(sorted(kinds))})"
            )


def suggest(name: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


@lru_cache(maxsize=256)
def say(message: str) -> None:
    """Logs a warning once per process."""
    logger.warning(message)


def resource_attributes(text: str) -> dict[str, str]:
    """Reads OTEL_RESOURCE_ATTRIBUTES as the SDK does; what is malformed there is left to its own complaint."""
    pairs = (item.split("=", 1) for item in text.split(",") if "=" in item)
    return {key.strip(): unquote(value.strip()) for key, value in pairs}
