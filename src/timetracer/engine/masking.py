"""Takes out of a question what is made anew in each run: what a plugin named, ids and times by their shape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from timetracer.cassette.model import Cassette
from timetracer.engine.bindings import CONTROL, SIGNED, TOKEN, TOKEN_IN_JSON
from timetracer.engine.packed import laid_open

_VOLATILE = re.compile(r'\{"\$volatile":\["((?:[^"\\]|\\.)*)",((?:[^"\\\]]|"(?:[^"\\]|\\.)*"|\\.)*)\]\}')
_EPOCH = re.compile(
    rf"(?=[12])(?:(?<![\w.\-])|{CONTROL})" r"([12]\d{9}(?:\.\d{1,9})?|[12]\d{12}|[12]\d{15}|[12]\d{18})(?![\w.\-])"
)
"""A time as a number: seconds since 1970 and their fraction, or whole milli-, micro- or nanoseconds."""
_DAY = 86_400

Era = tuple[float, float]
"""Within these seconds a number that could be a time is one."""


@dataclass(frozen=True, slots=True)
class Masked:
    """A question with its volatile values taken out; `tokens` are those that are bound, in order."""

    text: str
    tokens: tuple[str, ...]


def era_of(cassette: Cassette) -> Era | None:
    """Returns the day before and the day after a recording: a replayed session's clock tells times in between."""
    trace = cassette.trace
    if not trace.start:
        return None
    start = datetime.fromisoformat(trace.start).timestamp()
    return start - _DAY, start + (trace.duration_ms or 0.0) / 1000 + _DAY


def masked(text: str, era: Era | None = None, *, signed: bool = False) -> Masked:
    """Takes the volatile values out of a question: those a plugin named, then ids and times by their shape.

    Args:
        era: when numbers are times as well: an id looks like one, but not like one of these days.
        signed: also times that are signed, with their signatures.
    """
    tokens: list[str] = SIGNED.findall(text) if signed else []
    if signed:
        text = SIGNED.sub("\0signed\0", text)
    named = [(m[1], m[2]) for m in _VOLATILE.finditer(text)]
    if named:
        text = _VOLATILE.sub(lambda m: f'"*{m[1]}*"', text)
        for family, value in named:
            plain = value.strip('"')
            tokens.append(plain)
            if len(plain) >= 6:
                text = text.replace(plain, f"*{family}*")

    def take(found: re.Match[str]) -> str:
        if found.lastgroup == "time":
            return "\0time\0"
        tokens.append(found[0])
        return "\0id\0"

    text = (TOKEN_IN_JSON if "\\" in text else TOKEN).sub(take, laid_open(text))
    return Masked(text if era is None else _EPOCH.sub(lambda m: _unless_now(m[0], era), text), tuple(tokens))


def _unless_now(number: str, era: Era) -> str:
    whole = number.partition(".")[0]
    seconds = float(number) / 10.0 ** (len(whole) - 10)
    return "\0time\0" if era[0] <= seconds <= era[1] else number
