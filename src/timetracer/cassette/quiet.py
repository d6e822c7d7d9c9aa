"""Tells by its raw bytes that a body holds nothing to redact, so that nobody decodes, walks and prints it.

What the walk of `secret_positions` would act on is looked for by plain searches, which find too much rather than too
little; where one finds something, the string around it is judged as the walk would. A body in doubt is walked.
1 KB of JSON: 15 us, where decoding, walking and printing take 45.
"""

from __future__ import annotations

import re

import msgspec

from timetracer.cassette.encoded_parts import is_opaque
from timetracer.cassette.secrets_rules import KEYWORDS, PLAIN, Names, may_hold_a_card

_FOLDED = bytes(34 if chr(byte) in "0123456789_-.=\\" else byte for byte in range(256)).lower()
"""Digits and what joins or ends words become quotes, so that one search finds `pin"`, `pin_2`, `pin=` and `PIN2`."""
_CARDS = (b'"' * 13, b'"""" """" """"', b'"""" """""" "')
_TOKENS = bytes(
    97 if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "_-.+/=") else 0 for byte in range(256)
)
_LONG = b"a" * 10
"""What is secret by its shape has at least so many such characters in a row."""
# Both of these search for a character that few texts have, then for what stands around it: at half the cost of a search
# for each word.
_SHAPED = re.compile(
    rb"J(?<=eyJ)|3(?<=W3)si|_(?:(?<=gh[pousr]_)|(?<=npm_)|(?<=_live_)|(?<=_test_)|(?<=whsec_)|(?<=pat_)|(?<=hf_)|(?<=shp.._))"
    rb"|A(?:(?<=[KS]IA)|(?<=gA)[SNJW])|4(?<=H4)sI|y(?=a29)|z(?<=AIz)|x(?:ox|app-)|-(?:(?<=-----)BEGIN|(?<=sk-)|(?<=glpat-)|(?<=pypi-))|G(?<=SG)\."
)
"""Matches in whatever is secret by its shape, card numbers aside, or is JSON in base64."""
_NAMING = (
    rb"k(?:ey|(?<=cook)ie|(?<=tok)en|(?<=websock)et)|h(?<=auth)|w(?:(?<=pw)d|(?<=jw)t)"
    rb"|v(?:(?<=cv)[vc]|(?:(?<=activ)at|(?<=inv)it)[a-z\"]{0,20}/)|g(?:(?<=sig)(?:nat|\")|(?<=mag)ic[a-z\"]{0,20}/)"
    rb"|c(?:(?<=sec)(?:ur|ret)|ode|ard|redential|(?<=csc)|(?<=hmac)|(?<=rec)over[a-z\"]{0,20}/)"
    rb"|p(?:ass|[ai]n[^a-z]|innumber|(?<=otp))|f(?:(?<=srf)|(?:(?<=conf)irm|(?<=verif))[a-z\"]{0,20}/)"
    rb"|s(?:essi|id[^a-z]|sn|aml|(?<=ass)ertion|(?:(?<=res)et|(?<=uns)ubscribe|(?<=hooks))[a-z\"]{0,20}/)"
)
"""Matches in every name that is secret whatever the settings, and in what paths say before a token."""
_USERINFO = re.compile(rb":(?:\\?/){2}[^/\s]*@")
_TELLING = re.compile(rb"[=@]|: |:'|</|--|',|&#|quot;|/[^\s/]{16}")
"""As `secret_positions` has it; no quote is in the strings judged here."""
_TAG = re.compile(rb'"\$\w+"\s*:')  # what typed values are written with: it may hold anything
_NAMED_BESIDE = (b'"params"', b'"rows"', b'"sql"', b'"db.')
"""What these hold is named by SQL and by columns beside them."""
_SYNTAX = msgspec.json.Decoder(msgspec.Raw).decode


class Quiet:
    """Judges bodies by the names that count as secret."""

    def __init__(self, names: Names) -> None:
        self._names = names
        more = (re.escape(word.encode().translate(_FOLDED)) for word in names.keywords if word not in KEYWORDS)
        self._naming = re.compile(b"|".join((_NAMING, *more)))

    def __call__(self, data: bytes) -> bool:
        """Whether bytes hold no secret of their own, as far as it can be told without decoding them."""
        if b"\\u" in data or is_opaque(data) or _may_be_shaped(data):
            return False
        folded = data.translate(_FOLDED)
        if any(card in folded for card in _CARDS) and may_hold_a_card(data):
            return False
        if b"@" in data and _USERINFO.search(data):
            return False
        if b'"$' in data and _TAG.search(data):
            return False
        return self._naming.search(folded) is None or (_is_json(data) and self._names_none(data, folded))

    def _names_none(self, data: bytes, folded: bytes) -> bool:
        """Whether words of secret names stand in JSON only where they name nothing: in running text, in other names."""
        done, beside = 0, b'alue"' in data or b"grant_type" in data  # what may be named by a string beside it
        for found in self._naming.finditer(folded):
            at = found.start()
            if at < done:
                continue
            start, end = data.rfind(b'"', 0, at) + 1, data.find(b'"', at)
            if b"\\" in data[max(0, start - 2) : end]:  # an escaped quote, perhaps: where the string begins is open
                return False
            string = data[start:end]
            key = data[end + 1 : end + 20].lstrip()[:1] == b":"
            first = data[max(0, start - 20) : start - 1].rstrip()[-1:] == b"["  # of a list: it may name the next
            if _TELLING.search(string):  # in a key as well: JSON of an uncommon layout is read as text
                return False
            if (key or first or beside) and (self._names[string.decode()] != PLAIN or (beside and string == b"code")):
                return False
            done = end
        return True


def _may_be_shaped(data: bytes) -> bool:
    return _LONG in data.translate(_TOKENS) and _SHAPED.search(data) is not None


def _is_json(data: bytes) -> bool:
    if data[:1] not in (b"{", b"[") or any(name in data for name in _NAMED_BESIDE):
        return False
    try:
        _SYNTAX(data)
        data.decode()
    except (ValueError, RecursionError):
        return False
    return True
