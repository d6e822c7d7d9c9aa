"""When a recorded value and a replayed one count as the same: equal, ignored, redacted, or read from the clock."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_INDEX = re.compile(r"\[\d+\]")
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?")
_EPOCH = re.compile(r"[12]\d{9}\.\d{1,9}")  # what `time.time()` gives; a whole number may be an id
_HTTP_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d[ -]\w{3}[ -]\d{4} \d\d:\d\d:\d\d GMT")


class Likeness:
    """What counts as the same in one cassette.

    Args:
        ignored: names of headers, query parameters or JSON fields, and JSON paths (`$.items[*].id`, `items[0].id`).
        replacements: what redaction put in place of secrets. The app may have made another value of it.
        seconds: how far a time may be off: a replay's clock runs from the recorded start, at its own speed.
    """

    def __init__(self, ignored: Iterable[str] = (), replacements: Iterable[str] = (), seconds: float = 1.0) -> None:
        given = [text.strip() for text in ignored]
        self._paths = {_rooted(text) for text in given if is_path(text)}
        self._names = {text.lower() for text in given if not is_path(text)}
        self._replacements = sorted(filter(None, replacements), key=len, reverse=True)
        self._seconds = seconds

    def ignores_name(self, name: str) -> bool:
        """Whether a header, a query parameter or a JSON field of this name is left out."""
        return name.lower() in self._names

    def ignores_path(self, path: str) -> bool:
        """Whether a JSON path is left out."""
        return bool(self._paths) and not self._paths.isdisjoint((path, _INDEX.sub("[*]", path)))

    def alike(self, recorded: str, replayed: str) -> bool:
        """Whether two texts count as the same."""
        return (
            recorded == replayed
            or self._same_but_for_secrets(recorded, replayed)
            or self._same_time(recorded, replayed)
        )

    def _same_but_for_secrets(self, recorded: str, replayed: str) -> bool:
        found = [text for text in self._replacements if text in recorded]
        if not found:
            return False
        parts = re.split("(" + "|".join(map(re.escape, found)) + ")", recorded)
        pattern = "".join(".+?" if n % 2 else re.escape(part) for n, part in enumerate(parts))
        return re.fullmatch(pattern, replayed, re.S) is not None

    def _same_time(self, recorded: str, replayed: str) -> bool:
        then, now = _time(recorded), _time(replayed)
        return then is not None and now is not None and abs((then - now).total_seconds()) <= self._seconds


def is_path(text: str) -> bool:
    """Whether an ignored field is a JSON path, not a name."""
    return text.startswith("$") or "." in text or "[" in text


def _rooted(path: str) -> str:
    if path.startswith("$"):
        return path
    return f"${path}" if path.startswith("[") else f"$.{path}"


def _time(text: str) -> datetime | None:
    try:
        if _ISO.fullmatch(text):
            found = datetime.fromisoformat(text)
        elif _HTTP_DATE.fullmatch(text):
            found = parsedate_to_datetime(text.replace("-", " "))
        elif _EPOCH.fullmatch(text):
            found = datetime.fromtimestamp(float(text), UTC)
        else:
            return None
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
