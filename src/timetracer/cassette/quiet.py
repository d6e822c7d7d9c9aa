"""Tells by the raw bytes of a body what is secret in it, so that hardly any is decoded, walked and printed.

What the walk of `secret_positions` would act on is looked for by plain searches, which find too much rather than too
little; where one finds something, the string around it is judged as the walk would. A body in doubt is walked.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from timetracer.cassette.encoded_parts import is_opaque
from timetracer.cassette.secret_words import SecretWords, finder
from timetracer.cassette.secrets_rules import KEYWORDS, OPAQUE, PLAIN, Names, may_hold_a_card

Named: TypeAlias = tuple[int, int, int]
"""Where a string starts and ends that stands after a secret name, and what kind of secret the name says."""

_FOLDED = bytes(34 if chr(byte) in "0123456789_-.=\\" else byte for byte in range(256)).lower()
"""Digits and what joins or ends words become quotes, so that one search finds `pin"`, `pin_2`, `pin=` and `PIN2`."""
_CARDS = (b'"' * 13, b'"""" """"')
_TOKENS = bytes(
    97 if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "_-.+/=") else 0 for byte in range(256)
)
_LONG = b"a" * 10
"""What is secret by its shape has at least so many such characters in a row."""
# Searches for a character that few texts have, then for what stands around it: at half the cost of a search for each.
_SHAPED = re.compile(
    rb"J(?<=eyJ)|3(?<=W3)si|_(?:(?<=gh[pousr]_)|(?<=npm_)|(?<=_live_)|(?<=_test_)|(?<=whsec_)|(?<=pat_)|(?<=hf_)|(?<=shp.._))"
    rb"|A(?:(?<=[KS]IA)|(?<=gA)[SNJW])|4(?<=H4)sI|y(?=a29)|z(?<=AIz)|x(?:ox|app-)|-(?:(?<=-----)BEGIN|(?<=sk-)|(?<=glpat-)|(?<=pypi-))|G(?<=SG)\."
)
"""Matches in whatever is secret by its shape, card numbers aside, or is JSON in base64."""
_MARKS = (
    b"eyJ W3si ghp_ gho_ ghu_ ghs_ ghr_ npm_ _live_ _test_ whsec_ pat_ hf_ shp KIA SIA gAS gAN gAJ gAW H4sI ya29 AIz "
    b"xox xapp- -----BEGIN sk- glpat- pypi- SG."
).split()
"""One is in whatever `_SHAPED` matches."""
_USERINFO = re.compile(rb":(?:\\?/){2}[^/\s]*@")
_TELLING = re.compile(rb"[=@]|: |:'|</|--|',|&#|quot;|/[^\s/]{16}")
"""As `secret_positions` has it; no quote is in the strings judged here."""
_TAG = re.compile(rb'"\$\w+"\s*:')  # what typed values are written with: it may hold anything
_BESIDE = (b'"params"', b'"rows"', b'"sql"', b'"db.', b'alue"', b"grant_type")
"""What these hold, or what is beside them, may be named by SQL, by columns, by a string."""
_SYNTAX = msgspec.json.Decoder(msgspec.Raw).decode
_AFTER = re.compile(rb'\s*:\s*(?:"(?P<string>[^"\\]*)"|(?:null|true|false)\b)')  # what a name is that may be secret


class Quiet:
    """Judges bodies by the names that count as secret."""

    def __init__(self, names: Names) -> None:
        self._names = names
        more = [word for word in names.keywords if word not in KEYWORDS]
        self._words = SecretWords(word.encode().translate(_FOLDED) for word in more)
        self._foreign = not all(map(str.isascii, more))  # only letters of ASCII are folded
        self._marked = finder(_MARKS)
        self._beside = finder([word.strip(b'"') for word in _BESIDE])  # at quotes it would stop all the time

    def __call__(self, data: bytes) -> bool:
        """Whether bytes hold no secret of their own, as far as it can be told without decoding them."""
        return self.named(data) == []

    def named(self, data: bytes) -> list[Named] | None:
        """Returns where strings stand after secret names in JSON, if nothing else in the bytes is secret; else None."""
        if (b"\\" in data and b"\\u" in data) or is_opaque(data) or (self._foreign and not data.isascii()):
            return None
        folded = data.translate(_FOLDED)
        named: list[Named] | None = []
        if places := self._words.places(folded):
            named = self._strings(data, places) if _is_json(data) else None
            if named is None:
                return None
            if named:
                data = b"".join(outside(data, named))
                folded = data.translate(_FOLDED)
        return None if self._is_in_doubt(data, folded) else named

    def _strings(self, data: bytes, places: list[int]) -> list[Named] | None:
        """Returns the strings after secret names; None where words stand in any other place that tells of a secret."""
        beside = self._named_beside(data)
        if not beside <= {b'alue"', b"grant_type"}:
            return None
        named: list[Named] = []
        done, seen = 0, set[bytes]()  # most strings come again and again
        for at in places:
            if at < done:
                continue
            start, end = data.rfind(b'"', 0, at) + 1, data.find(b'"', at)
            done = end
            spelled = data[max(0, start - 3) : end + 2]
            if spelled in seen:
                continue
            string = data[start:end]
            # After an escaped quote, perhaps, or telling by itself; a key as well: as text, JSON has other layouts.
            if b"\\" in spelled or _TELLING.search(string):
                return None
            key = data[end + 1 : end + 20].lstrip()[:1] == b":"
            first = data[max(0, start - 20) : start - 1].rstrip()[-1:] == b"["  # of a list: it may name the next
            kind = self._names[string.decode()] if key or first or beside else PLAIN
            if kind == PLAIN and not (beside and string == b"code"):
                if spelled[-1:] == b":" or (spelled[:2].strip() and spelled[-1:].strip()):
                    seen.add(spelled)  # as it shows whether it is a key, or the first of a list
                continue
            value = _AFTER.match(data, end + 1) if key and PLAIN < kind <= OPAQUE else None
            if value is None:
                return None
            if value["string"] is not None:
                named.append((*value.span("string"), kind))
                done = end if beside else value.end()
        return named

    def _named_beside(self, data: bytes) -> set[bytes]:
        """Returns what is in JSON that makes names tell of other values than their own."""
        find = self._beside
        hinted = _BESIDE if find is None else {_BESIDE[index] for index, _, _ in find(data)}
        return {word for word in hinted if word in data}

    def _is_in_doubt(self, data: bytes, folded: bytes) -> bool:
        """Whether something may be secret that no name tells of."""
        if (self._marked is None or self._marked(data)) and _LONG in data.translate(_TOKENS) and _SHAPED.search(data):
            return True
        if any(card in folded for card in _CARDS) and may_hold_a_card(data):
            return True
        if b"@" in data and _USERINFO.search(data):
            return True
        return b"$" in data and _TAG.search(data) is not None


def outside(data: bytes, named: list[Named]) -> list[bytes]:
    """Returns what is left of bytes without the strings in them, in pieces."""
    ends = [0, *(end for _, end, _ in named)]
    starts = [*(start for start, _, _ in named), len(data)]
    return [data[end:start] for end, start in zip(ends, starts, strict=True)]


def _is_json(data: bytes) -> bool:
    if data[:1] not in (b"{", b"["):
        return False
    try:
        _SYNTAX(data)
        data.decode()
    except (ValueError, RecursionError):
        return False
    return True
