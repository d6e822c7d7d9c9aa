"""Keeps what stands for each secret of a cassette, and puts it wherever the secret occurs."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import msgspec

from timetracer.cassette.likenesses import like
from timetracer.cassette.secrets_rules import KEYWORDS

ANYWHERE = 8  # a secret of so many characters is replaced wherever it occurs
AT_BOUNDARIES = 4  # a shorter one between characters that are neither letters nor digits; else only where it was found
_ASKED = 4_096  # longer spellings are not listed: they would be written twice
_ONE_BY_ONE = 64  # more needles than this are looked for together
_SHORT = 4_096  # but not in so few bytes: making ready for it takes 10 ms

_ENCODED = re.compile(r"[\w.\-*~!'()%+]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~\-]+")  # written alike in URLs, HTML, Python and JSON
_WORD_LIMIT = 24
_WORDY = re.compile(r"(?:[a-z]+|[A-Z][a-z]*|[A-Z]+)(?:[_.\- ](?:[a-z]+|[A-Z][a-z]*|[A-Z]+))*[_.\-]?\d{0,4}")
_EMPTY = re.compile(r"([*•xX.\-_ #?])\1*|(?i:none|null|true|false|undefined|redacted|\[redacted\]|\[filtered\])|")
_NAMING = re.compile("|".join(map(re.escape, KEYWORDS)))

Replace = Callable[[str], str]


def is_empty(text: str) -> bool:
    """Tells whether a text in a secret's place is none: empty, `null`, or masked already (`****`)."""
    return _EMPTY.fullmatch(text) is not None


class Replacements:
    """The secrets of one cassette and what stands for each: one replacement a secret, distinct for distinct ones.

    Args:
        listed: what an earlier pass put in; it is left as it is.
        make: gives what stands for a secret, instead of a text of its shape (sealing).
    """

    def __init__(self, listed: Iterable[str] = (), make: Replace | None = None) -> None:
        self.listed = list(listed)
        self.made: dict[str, str] = {}
        self.forms: dict[str, str] = {}  # other spellings of secrets, as found
        self._asked: list[str] = []  # what stands for those that calls ask with
        self._known = set(self.listed)
        self._text = "\0".join(self.listed)
        self._make = make
        self._pairs: dict[bytes, bytes] = {}  # for `within`, of so many secrets
        self._paired = 0
        self._together: re.Pattern[bytes] | None = None

    def put(self, secret: str) -> str:
        """Returns what stands for `secret`, which is a secret from now on."""
        made = self.made.get(secret)
        if made is not None:
            return made
        if (
            secret in self._known
            or len(secret) < 2
            or is_empty(secret)
            or (len(secret) >= AT_BOUNDARIES and secret in self._text)
        ):
            return secret
        if self._make is not None:
            made = secret if secret.startswith("ttsealed:") else self._make(secret)
        else:
            made = like(secret)
            for _ in range(40):
                if self._is_new(made, secret):
                    break
                made = like(secret)
        if made != secret:
            self.made[secret] = made
            self._known.add(made)
        return made

    def _is_new(self, made: str, secret: str) -> bool:
        """Tells whether a text may stand for a secret: it is no other's, and no second pass finds a name in it."""
        if made == secret or made in self._known or made in self.made:
            return False
        after = made.lower()
        if _NAMING.search(after) is None:  # nearly always: a tenth of the time
            return True
        before = secret.lower()
        return not any(keyword in after and keyword not in before for keyword in KEYWORDS)

    def put_encoded(self, raw: str) -> str:
        """Returns what stands for a percent-encoded secret, encoded as it was."""
        plain = unquote_plus(raw)
        if plain == raw or raw in self.made or "\ufffd" in plain or not _ENCODED.fullmatch(raw):
            return self.put(raw)
        made = self.put(plain)
        if made == plain:
            return raw
        encoded = self.form(raw, "" if self._make is not None else _encode_alike(raw, plain, made), asked=True)
        if "+" in raw and "%" not in raw:  # as likely not encoded at all
            self.put(raw)
        return encoded

    def form(self, raw: str, made: str, *, asked: bool = False) -> str:
        """Takes another spelling of a secret, and its replacement spelled alike; returns what stands for it.

        Args:
            asked: it may be part of a question, so that replay has to know it for a replacement.
        """
        if raw == made or raw.startswith("ttsealed:"):
            return raw
        if raw not in self.forms:
            self.forms[raw] = made if self._make is None else self._make(raw)
            if asked and len(made) <= _ASKED:
                self._asked.append(self.forms[raw])
                self._known.add(self.forms[raw])
        return self.forms[raw]

    def found(self) -> list[str]:
        """Returns all replacements in each spelling that is used, those of earlier passes first."""
        return list(dict.fromkeys((*self.listed, *self.made.values(), *self._asked)))

    def everywhere(self, document: bytes, seen: Callable[[], str]) -> bytes:
        """Returns the JSON document with every secret replaced wherever it may be taken for itself.

        Words are left where they also are structure: a password `admin` is replaced where it was found, but the path
        `/admin/` and a key `admin` stay. See `_reach`.

        Args:
            document: the cassette as JSON, secrets replaced already where they were found.
            seen: gives every text and name of the document once: much shorter, so that it tells fast what to look for.
        """
        if not self.made and not self.forms:
            return document
        texts = seen()
        needles: dict[bytes, bytes] = {}
        bounded: dict[bytes, bytes] = {}
        for secret, made in self.made.items():
            spellings = [write for write in _writers(secret) if _occurs(write(secret), texts)]
            reach = _reach(secret, document) if spellings else None
            if reach is not None:
                (needles if reach else bounded).update(self._spellings(secret, made, spellings, reach))
        for raw, made in self.forms.items():
            if len(raw) >= ANYWHERE and raw in texts:
                needles.setdefault(_escaped(raw), _escaped(made))
        if bounded:
            document = _replace_bounded(document, bounded)
        if len(needles) > _ONE_BY_ONE:
            return _replace_together(document, needles)
        for needle in sorted(needles, key=len, reverse=True):
            document = document.replace(needle, needles[needle])
        return document

    def within(self, data: bytes) -> bytes:
        """Returns bytes that are no JSON document (a decoded blob, a side file) with the long secrets replaced."""
        if len(data) < ANYWHERE:
            return data
        if self._paired != len(self.made):  # once for all bodies: for each, it took the square of their number
            self._pair()
        if len(self._pairs) > _ONE_BY_ONE and len(data) > _SHORT:
            self._together = self._together or _any_of(self._pairs)
            return self._together.sub(lambda found: self._pairs[found.group()], data)
        for needle, made in self._pairs.items():
            data = data.replace(needle, made)
        return data

    def _pair(self) -> None:
        pairs = {
            write(secret).encode("utf-8", "surrogatepass"): write(made).encode("utf-8", "surrogatepass")
            for secret, made in self.made.items()
            if len(secret) >= ANYWHERE
            and not _SURROGATE.search(secret)
            and not (_WORDY.fullmatch(secret) and len(secret) <= _WORD_LIMIT)
            for write in reversed(_writers(secret))
        }
        self._pairs = {needle: pairs[needle] for needle in sorted(pairs, key=len, reverse=True)}
        self._together = None
        self._paired = len(self.made)

    def leave(self, texts: Iterable[str]) -> None:
        """Forgets texts that name the cassette's own parts."""
        for text in texts if self.made else ():
            if self.made.pop(text, None) is not None:
                self._paired = -1

    def holds(self, text: str) -> bool:
        """Tells whether a text is one of the secrets."""
        return text in self.made

    def _spellings(self, secret: str, made: str, writers: list[Replace], anywhere: bool) -> dict[bytes, bytes]:
        """Returns how a secret may be written in the document, each with its replacement written alike."""
        pairs: dict[bytes, bytes] = {}
        for write in writers if anywhere else writers[:1]:
            spelled = write(secret)
            if spelled == secret and write is not _json:
                continue
            stands = self._make(spelled) if self._make is not None else write(made)
            pairs.setdefault(_escaped(spelled), _escaped(stands))
        return pairs


def _escaped(text: str) -> bytes:
    try:
        return msgspec.json.encode(text)[1:-1]
    except UnicodeEncodeError:  # lone surrogates, as `format` writes them
        plain = json.dumps(text, ensure_ascii=False)[1:-1]
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", plain).encode()


def _occurs(text: str, texts: str) -> bool:
    """Whether a text stands among others: as it was or, in bodies that nobody had to look into, escaped."""
    if text in texts:
        return True
    escaped = text if text.isalnum() else _escaped(text).decode("utf-8", "surrogatepass")
    return escaped != text and escaped in texts


def _json(text: str) -> str:
    return text


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


def _base64_url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _lower_quote(text: str) -> str:
    return re.sub("%..", lambda found: found.group().lower(), quote(text, safe=""))


_WRITERS: tuple[Replace, ...] = (
    _json,
    _base64,
    _base64_url,
    quote,
    quote_plus,
    _lower_quote,
    lambda text: quote(text, safe=""),
    lambda text: quote(text, safe="~()*!.'"),  # JavaScript's encodeURIComponent
    html.escape,
    lambda text: repr(text)[1:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: _escaped(text).decode(),  # JSON within JSON
)


def _writers(secret: str) -> tuple[Replace, ...]:
    """Returns how a secret is looked for: each spelling that differs from those before it."""
    if len(secret) < ANYWHERE or _SURROGATE.search(secret):
        return _WRITERS[:1]
    if secret.isascii() and secret.isalnum():
        return _WRITERS[:2]
    return _WRITERS[:3] if _UNRESERVED.fullmatch(secret) else _WRITERS


def _encode_alike(raw: str, plain: str, made: str) -> str:
    units = re.findall(r"(?:%[0-9A-Fa-f]{2})+|[^%]|%", raw)
    out, at = [], 0
    for unit in units:
        size = len(unquote(unit)) if unit != "+" else 1
        part = made[at : at + size]
        out.append(unit if part == plain[at : at + size] else quote(part, safe="!$*"))
        at += size
    return "".join(out)


def _reach(secret: str, document: bytes) -> bool | None:
    """Tells where a secret is replaced: anywhere (True), between other characters (False), where it was found (None).

    Short digits would hit years, ports and ids. A word is one only on its own, and not at all where the document uses
    it as a key, a path segment or a dotted or spaced name: then it is no more secret there than any word.
    """
    if len(secret) < AT_BOUNDARIES:
        return None
    number = secret.replace(".", "").replace("-", "").isdigit()
    if number and len(secret) < ANYWHERE:
        return None
    if _WORDY.fullmatch(secret) and len(secret) <= _WORD_LIMIT:
        word = re.escape(_escaped(secret))
        key = rb'"(?:[^"\\\s]*[._\-/: ])?' + word + rb'(?:[._\-/: ][^"\\]*)?"\s*:'
        used = re.search(key + rb"|/" + word + rb'[/?"#]', document)
        return None if used or secret in _STRUCTURE else False
    if number:
        return len(secret) >= 16
    return len(secret) >= ANYWHERE


_OWN_WORDS = (  # what a cassette says in words of its own
    "complete|partial|error|compact|spaced|text|base64|http.client|http.server|db.query|cache.command|aws.call|exact"
    "|task.publish|task.run|POST|PATCH|DELETE|HEAD|OPTIONS|SELECT|INSERT|UPDATE|UNSET|INTERNAL|CLIENT|SERVER|PRODUCER"
    "|CONSUMER|masked"
)
_STRUCTURE = frozenset(_OWN_WORDS.split("|"))


def _replace_bounded(document: bytes, needles: dict[bytes, bytes]) -> bytes:
    """Replaces between characters that are no letters or digits; an escape (`\\n`) before it is such a character."""
    for needle, made in needles.items():
        if needle in document:
            pattern = (
                rb"(?:(?<![\w.\-])|(?<=\\[nrt])|(?<=[.\-](?<![\d\w][.\-])))" + re.escape(needle) + rb"(?![\w\-]|\.\d)"
            )
            document = re.sub(pattern, lambda found, made=made: made, document)  # type: ignore[misc]
    return document


def _replace_together(document: bytes, needles: dict[bytes, bytes]) -> bytes:
    """Replaces many needles in one pass, over a tree of their beginnings."""
    return _any_of(needles).sub(lambda found: needles[found.group()], document)


def _any_of(needles: Iterable[bytes]) -> re.Pattern[bytes]:
    return re.compile(_tree(sorted(needles, key=len, reverse=True), 0))


def _tree(needles: list[bytes], depth: int) -> bytes:
    if len(needles) <= 3 or depth > 40 or any(len(needle) <= depth for needle in needles):
        return b"|".join(re.escape(needle[depth:]) for needle in needles)
    groups: dict[bytes, list[bytes]] = {}
    for needle in needles:
        groups.setdefault(needle[depth : depth + 1], []).append(needle)
    return b"|".join(re.escape(head) + b"(?:" + _tree(group, depth + 1) + b")" for head, group in groups.items())
