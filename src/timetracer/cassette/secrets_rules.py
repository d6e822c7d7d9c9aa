"""Decides what is a secret: by the name it goes by, in whole words, or by its own shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

PLAIN, SECRET, COOKIE, CREDENTIALS, BUNDLE, OPAQUE = range(6)
SHAPED = 15  # the name itself is a secret by its shape
"""What a name says of its value: nothing; secret; cookies; a scheme and credentials; a mapping of secrets; secret where
it is made for machines (a `signature` may also be that of a function)."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


def _split(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CACHED = 5_000
_WORDS = _split(
    "password passwords passwd pwd passphrase passcode secret secrets token tokens authorization credential "
    "credentials csrf csrftoken csrfmiddlewaretoken xsrf xsrftoken cvv cvc csc ssn otp totp apikey apikeys "
    "accesskey privatekey secretkey clientsecret sessionid sessionkey sessiontoken jsessionid phpsessid jwt "
    "authtoken accesstoken refreshtoken mfacode cardnumber creditcard sessiondata idtoken signingkey"
)
_PHRASES = tuple(
    tuple(phrase.split("_"))
    for phrase in sorted(
        _split(
            "api_key api_keys access_key private_key signing_key encryption_key auth_key master_key license_key "
            "session_id session_key session_data session_hash card_number card_no card_num credit_card security_code "
            "pin_code pin_number connect_sid social_security account_key shared_key amz_signature recovery_code "
            "backup_code code_verifier saml_response subscription_key functions_key"
        )
    )
)
_HEADS = frozenset(phrase[0] for phrase in _PHRASES)
_LAST = _split("session pin cookie cookies sid otp pan")  # secret where the name ends with it
_NEUTRAL = _split(  # a name that ends so tells about a secret, and is none
    "count counts type types name names expires expiry expiration expire expired at in ttl timeout length len size "
    "limit max min usage url uri endpoint policy required enabled disabled age date time version algorithm alg index "
    "status state valid label hint help method format cost budget used remaining id ids class path field fields header "
    "headers validators validator hashers hasher strength error errors message scope scopes per s ms seconds days "
    "supported"
)
_CREDENTIAL_HEADERS = {("x", "auth"), ("authentication",), ("x", "authentication")}
_OPAQUE = _split("signature sig hmac assertion auth")
_NEUTRAL_IDS = {
    ("id", "token", "hint"),
    ("session", "id"),
    ("access", "key", "id"),
    ("key", "id"),
    ("sid",),
    ("session", "ids"),
}
_QUESTION = _split("has is needs need use uses with require requires required allow verify show hide no")
_COUNTED = _split(  # `tokens` of a language model, and page cursors
    "max min total num n count prompt completion input output cached cache reasoning audio text used page next "
    "previous prev continuation sync cursor pagination accepted rejected prediction"
)
_PASS = _split("db database user smtp mail email redis ftp admin root login auth http proxy")


def words(name: str) -> tuple[str, ...]:
    """Splits a name at `_`, `-`, `.` and between camelCase words; lower case."""
    return tuple(word.lower() for word in _WORD.findall(name))


class Names(dict[str, int]):
    """What each name says of its value; a name is judged once."""

    def __init__(self, fields: Iterable[str] = (), keep: Iterable[str] = ()) -> None:
        super().__init__()
        self._fields = tuple(filter(None, map(words, fields)))
        self.uncached: set[str] = set()  # names seen that are not kept: names may be data, as user ids are
        self.keywords = (*KEYWORDS, *(max(field, key=len) for field in self._fields))  # one is in every secret name
        self._keep = frozenset(map(words, keep))
        self._text, self._told = "", 0

    def __missing__(self, name: str) -> int:
        if len(name) > 200 or name.isdigit():
            self.uncached.add(name)
            return PLAIN
        kind = SHAPED if len(name) > 12 and any(shaped(name)) else self._judge(name)
        if len(self) < _CACHED:
            self[name] = kind
        else:
            self.uncached.add(name)
        return kind

    def text(self) -> str:
        """Returns every name that is kept, joined once for as many as there are: it may be thousands."""
        if self._told != (count := len(self)):  # counted before: another thread may add one
            self._text, self._told = "\n".join(self), count
        return self._text

    def _judge(self, name: str) -> int:
        parts = words(name)
        if not parts or parts in self._keep:
            return PLAIN
        if any(_within(field, parts) for field in self._fields):
            return SECRET
        while len(parts) > 1 and parts[-1].isdigit():
            parts = parts[:-1]
        last = parts[-1]
        if last in ("cookie", "cookies") or "".join(parts) == "secwebsocketprotocol":
            return COOKIE
        if last == "authorization" or parts in _CREDENTIAL_HEADERS:
            return CREDENTIALS
        if not self._secret(parts):
            opaque = last in _OPAQUE or parts[-2:] == ("device", "code") or "hmac" in parts[:-1]
            return OPAQUE if opaque and parts[0] not in _QUESTION else PLAIN
        return BUNDLE if last in ("secrets", "credentials", "passwords", "tokens") else SECRET

    @staticmethod
    def _secret(parts: tuple[str, ...]) -> bool:
        last = parts[-1]
        if last in _NEUTRAL and not any(parts[-len(ids) :] == ids for ids in _NEUTRAL_IDS):
            return False
        if parts[0] in _QUESTION and len(parts) > 1:
            return False
        if last in ("token", "tokens") and len(parts) > 1 and not _COUNTED.isdisjoint(parts[:-1]):
            return False
        if last == "pass":
            return len(parts) == 1 or parts[-2] in _PASS
        if not _WORDS.isdisjoint(parts) or last in _LAST:
            return True
        return not _HEADS.isdisjoint(parts) and any(_within(phrase, parts) for phrase in _PHRASES)


def _within(phrase: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    size = len(phrase)
    return any(parts[i : i + size] == phrase for i in range(len(parts) - size + 1))


# ------------------------------------------------------------------------------------------------- by shape

# One search over all texts for a character that few have, then what must stand before it: several times
# as fast as the alternatives written out.
_HINT = re.compile(
    rb"J(?<=eyJ)"
    rb"|_(?:(?<=gh[pousr]_)|(?<=[srpw][kh]_)|(?<=whsec_)|(?<=github_pat_)|(?<=npm_)|(?<=\bhf_)|(?<=shp.._))"
    rb"|-(?:(?<=-----)|(?<=xox[abeoprs]-)|(?<=\bsk-)|(?<=xapp-)|(?<=glpat-)|(?<=pypi-))"
    rb"|A(?:(?<=AKIA)|(?<=ASIA))|G(?<=\bSG)|z(?<=AIz)|y(?=a29\.)"
)
_BACK = 12  # no prefix is longer
_SHAPES = re.compile(
    rb"(?P<pem>-----BEGIN(?: |%20|\+)(?:[A-Z0-9]+(?: |%20|\+))*PRIVATE(?: |%20|\+)KEY-----.+?"
    rb"-----END(?: |%20|\+)(?:[A-Z0-9]+(?: |%20|\+))*PRIVATE(?: |%20|\+)KEY-----)"
    rb"|(?<![A-Za-z0-9_\-])(?:"
    rb"(?P<jwt>eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]{2,}\.[A-Za-z0-9_\-]*)"
    rb"|(?P<prefixed>(?:gh[pousr]_|github_pat_|npm_)[A-Za-z0-9_]{20,}|[srp]k_(?:live|test)_[A-Za-z0-9]{8,}"
    rb"|whsec_[A-Za-z0-9+/=]{16,}|A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])|AIza[A-Za-z0-9_\-]{35}|xox[abeoprs]-[A-Za-z0-9\-]{10,}"
    rb"|xapp-[A-Za-z0-9\-]{10,}|glpat-[A-Za-z0-9_\-]{16,}|sk-[A-Za-z0-9_\-]{20,}"
    rb"|SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}|pypi-[A-Za-z0-9_\-]{16,}"
    rb"|ya29\.[A-Za-z0-9_\-]{16,}|hf_[A-Za-z0-9]{30,}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}))",
    re.DOTALL,
)
PREFIX = re.compile(
    r"gh[pousr]_|github_pat_|npm_|[srp]k_(?:live|test)_|whsec_|A[KS]IA(?=[A-Z0-9]{16}$)|AIza|xox[abeoprs]-|xapp-|glpat-"
    r"|sk-(?:proj-|ant-)?|SG\.|pypi-|ya29\.|hf_|shp(?:at|ca|pa|ss)_"
)
_DIGITS = bytes(48 if 48 <= byte < 58 else byte for byte in range(256))
_CARD_HINTS = (b"0" * 13, b"0000 0000 0000", b"0000-0000-0000", b"0000 000000 0", b"0000-000000-0")
_FEWEST = b"0" * 11
"""What is left of the shortest hint without what parts its digits."""
_CARD = re.compile(rb"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w]|\.\d)")
_BRANDS = re.compile(r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3[068]\d{12}|6\d{15,18}|35\d{14}")


def shaped(text: str) -> Iterator[str]:
    """Yields what is secret in a text by its shape: tokens, private keys, card numbers."""
    document = text.encode("utf-8", "surrogatepass")
    done = 0
    for hint in _HINT.finditer(document):
        for start in range(max(done, hint.end() - _BACK), hint.end()):
            if found := _SHAPES.match(document, start):
                yield found.group().decode("utf-8", "surrogatepass")
                done = found.end()
                break
    if _FEWEST in document.translate(_DIGITS, b" -"):  # else none of the others: one search for five
        digits = document.translate(_DIGITS)
        for pattern in _CARD_HINTS:
            yield from _cards(document, digits, pattern)


def may_hold_a_card(document: bytes) -> bool:
    """Whether JSON may hold a card number; where an escape may stand before one, as many digits in a row are enough."""
    digits = document.translate(_DIGITS)
    return any(
        pattern in digits and (b"\\" in document or any(_cards(document, digits, pattern))) for pattern in _CARD_HINTS
    )


def _cards(document: bytes, digits: bytes, pattern: bytes) -> Iterator[str]:
    at = digits.find(pattern)
    while at >= 0:
        found = _CARD.match(document, at)
        if found and is_card(re.sub(r"\D", "", found.group().decode())):
            yield found.group().decode()
        at = digits.find(pattern, found.end() if found else at + len(pattern))


def is_card(digits: str) -> bool:
    """Tells whether a text of digits is a card number: a brand's prefix and length, and a Luhn check digit."""
    return _BRANDS.fullmatch(digits) is not None and luhn(digits[:-1]) == digits[-1]


def luhn(digits: str) -> str:
    """Returns the check digit that makes a card number of `digits`."""
    total = 0
    for index, char in enumerate(reversed(digits)):
        value = int(char) * (1 if index % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


# one is in each secret name
KEYWORDS = tuple(
    sorted(
        _split(
            "pass pwd secret token sessi srf key auth credential cvv cvc otp ssn card signat sig= hmac assertion "
            "verifier saml device sid pin pan jwt mfacode security recovery backup csc social"
        )
    )
)
