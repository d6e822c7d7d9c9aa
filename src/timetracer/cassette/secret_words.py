"""Finds where words of secret names stand in bytes: in one pass where the extra `fast` is installed, else with `re`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

try:  # has no wheels for musl, so it is never needed: 0.3 to 1 us a KB of JSON, where `re` takes 6 to 12
    from ahocorasick_rs import BytesAhoCorasick, MatchKind
except ImportError:
    BytesAhoCorasick = None  # type: ignore[assignment, misc]

Find: TypeAlias = Callable[[bytes], list[tuple[int, int, int]]]

_WORDS = (
    "(k)ey coo(k)ie to(k)en websoc(k)et a(uth) p(w)d j(w)t c(v)v c(v)c se(c)ur se(c)ret (c)ode (c)ard (c)redential "
    "cs(c) hma(c) (p)ass (p)innumber ot(p) sr(f) se(ss)i (ss)n a(ss)ertion sa(ml) si(g)nat "
    'si(g)" (p)in. (p)an. (sid). '
    "acti(v)at/ in(v)it/ ma(g)ic/ re(c)over/ con(f)irm/ veri(f)/ (rese)t/ (unsub)scribe/ hoo(k)s/"
)
"""One is in every name that is secret whatever the settings, or is what a path says before a token.

In parentheses what few texts have: `re` looks for that, at a tenth of what a search for each word takes.
"""
_TAILS = {"": b"", '"': b'(?=")', ".": b"(?=[^a-z])", "/": b'(?=[a-z"]{0,20}/)'}
"""What has to follow a word. In folded bytes, a quote is also what joins or ends words."""
_WORD = re.compile(r"([a-z]*)\(([a-z]+)\)([a-z]*)([^a-z\s]?)")


class SecretWords:
    """Words that are looked for together in folded bytes (see `quiet`).

    Args:
        more: words, folded, that have to be found besides.
    """

    def __init__(self, more: Iterable[bytes] = ()) -> None:
        groups: dict[str, list[bytes]] = {}
        sure, unsure = list(more), list[bytes]()
        self._searches = [re.compile(re.escape(word)) for word in sure]
        for before, rare, after, tail in _WORD.findall(_WORDS):
            word = (before + rare + after).encode()
            (unsure if tail else sure).append(word)
            look = b"(?<=" + word + b")" if before else b""
            groups.setdefault(rare, []).append(after.encode() + look + _TAILS[tail])
        for rare, each in groups.items():
            self._searches.append(re.compile(rare.encode() + b"(?:" + b"|".join(each) + b")"))
        self._sure, self._reach = len(sure), max(map(len, sure)) + 22
        self._any = re.compile(b"|".join(search.pattern for search in self._searches))
        self._find = finder([*sure, *unsure])

    def places(self, folded: bytes) -> list[int]:
        """Returns places within words, in order: one at least of each text between quotes that holds words."""
        if self._find is None:
            return sorted(found.start() for search in self._searches for found in search.finditer(folded))
        places = []
        for index, start, end in self._find(folded):
            if index < self._sure:
                places.append(start)
            elif found := self._any.search(folded, start, end + self._reach):  # perhaps a word that overlaps this one
                places.append(found.start())
        return sorted(places)


def finder(words: Sequence[bytes]) -> Find | None:
    """Returns what finds any of many words, each with its number, start and end; None without the extra.

    Of words that overlap it finds the first, and of those that begin together the one that is listed first.
    """
    if BytesAhoCorasick is None:
        return None
    # Any other kind of match is looked for a byte at a time, at ten times the cost.
    return BytesAhoCorasick(words, matchkind=MatchKind.LeftmostFirst).find_matches_as_indexes
