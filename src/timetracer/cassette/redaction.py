"""Keeps secrets out of cassettes: finds the values that are secret, and puts replacements, or sealed tokens, in place.

A value that is secret anywhere is replaced wherever it occurs. It is classed once, by the name it goes by
(`secrets_rules`, `secret_positions`) or by its shape, and gets one replacement a cassette, of its shape and length.
Replacements are random, so that they tell nothing; they are listed in the cassette, so that a second pass knows them.

How far a secret reaches: 8 characters or more, everywhere; 4 to 7, only between characters that are neither letters nor
digits; shorter ones and short numbers, only where they were found. Words (`admin`, `password123`) also need to stand
alone, and stay wherever the document uses them as a key or in a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import count
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec

from timetracer import values
from timetracer.cassette import blobs
from timetracer.cassette.bodies import pack_own, packed
from timetracer.cassette.encoded_parts import opened
from timetracer.cassette.encryption import seal_text, seal_value
from timetracer.cassette.model import NO_JSON, Cassette, Draw, Event
from timetracer.cassette.quiet import Quiet
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secret_positions import Positions
from timetracer.cassette.secrets_rules import Names
from timetracer.cassette.shown_draws import shown
from timetracer.errors import ConfigError

Copied = TypeVar("Copied", Cassette, dict[str, Event])
Mode = Literal["redact", "seal", "keep"]

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    Cassette: msgspec.json.Decoder(Cassette),
    dict: msgspec.json.Decoder(dict[str, Event]),
}
_HARMLESS_ASKERS = ("by django.utils.text",)
"""How long the name of a gzip file is that hides the length of a page.

Upstream: `_get_random_filename` (https://github.com/django/django/blob/5.2/django/utils/text.py).
"""
_SECRET_SOURCES = ("secrets", "SystemRandom", "urandom", "getrandom")


class Redactor:
    """Writes cassettes without their secrets.

    Args:
        mode: `redact` replaces secrets for good; `seal` seals them in place; `keep` leaves them.
        fields: further names of secret values, in whole words (`shoe size` finds `shoeSize`).
        keep: names whose values are left alone.
        key: 32 bytes, for `seal`.
    """

    def __init__(
        self, mode: Mode = "redact", *, fields: Iterable[str] = (), keep: Iterable[str] = (), key: bytes | None = None
    ) -> None:
        if mode == "seal" and key is None:
            raise ConfigError("TIMETRACER_SECRETS", mode, "seal needs TIMETRACER_ENCRYPTION_KEY or _KEY_FILE")
        self._mode = mode
        self._key = key
        self._names = Names(fields, keep)
        self._quiet = Quiet(self._names)

    def harmless(self, data: bytes) -> bool:
        """Whether a body holds no secret of its own: quickly told, and with every doubt a no."""
        return self._mode == "keep" or self._quiet(data)

    def dump(self, cassette: Cassette, dump: Callable[[Cassette], bytes], *, owned: bool = False) -> bytes:
        """Returns the document of a cassette, redacted. The cassette itself stays as it is, unless it is `owned`.

        Args:
            cassette: finished, its values encoded and its bodies packed.
            dump: writes a cassette as JSON whose strings are escaped as msgspec does.
            owned: nobody else uses the cassette or its encoded values, so that they may change: saves a copy. `shared`
                is copied all the same.
        """
        return self.redact(cassette, owned=owned).write(dump)

    def shown(self, events: Sequence[Event]) -> Sequence[Event]:
        """Returns copies of events for people to read: a numbered mark stands for each secret."""
        if self._mode == "keep":
            return events
        numbers = count(1)
        found = Replacements((), lambda text: f"<secret {next(numbers)}>")
        copy = _copied(packed(Cassette(events=list(events))))
        positions = Positions(self._names, self._quiet.named, found, lambda value: "<secret>")
        positions.cassette(copy)
        positions.blobs()
        return _copied(copy, lambda document: found.everywhere(document, positions.texts)).events

    def redact(self, cassette: Cassette, *, owned: bool = False) -> Redacted:
        """Returns the cassette with the replacements in it, ready to be written."""
        if self._mode == "keep":
            return Redacted(cassette, None)
        if owned:  # a body still in raw bytes would be written without a look at it
            copy = cassette
            pack_own(copy)
            copy.shared = _copied(copy.shared) if copy.shared else {}
        else:
            copy = _copied(packed(cassette))
        key = self._key if self._mode == "seal" else None
        if key is None:
            found = Replacements(copy.replacements)
            positions = Positions(self._names, self._quiet.named, found)
        else:
            found = Replacements(copy.replacements, lambda text: seal_text(_ENCODER.encode(text)[1:-1], key))
            positions = Positions(
                self._names, self._quiet.named, found, lambda value: seal_value(_ENCODER.encode(value), key)
            )
        positions.cassette(copy)
        positions.blobs()
        drawn, copy.draws = copy.draws, [_draw(draw, found, key) for draw in copy.draws]
        withheld = [(kept, draw.values) for draw, kept in zip(drawn, copy.draws, strict=True) if not kept.values]
        if key is None:
            copy.replacements = found.found()
        trace = copy.trace
        found.leave(x for x in (trace.trace_id, trace.root_id, trace.parent_id, *(s.span_id for s in copy.spans)) if x)
        return Redacted(
            copy,
            found,
            positions.texts,
            self._names,
            harmless=self._quiet,
            withheld=withheld,
            seal=None if key is None else lambda data: seal_text(data, key).encode(),
        )


class Redacted:
    """A cassette whose secrets are replaced where they were found, and what it takes to replace them everywhere.

    Attributes:
        cassette: a copy, unless nothing was to be done.
    """

    __slots__ = ("_found", "_harmless", "_names", "_seal", "_texts", "_withheld", "cassette")

    def __init__(
        self,
        cassette: Cassette,
        found: Replacements | None,
        texts: Callable[[], str] = str,
        names: Names | None = None,
        *,
        harmless: Callable[[bytes], bool] | None = None,
        withheld: Sequence[tuple[Draw, list[Any]]] = (),
        seal: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.cassette = cassette
        self._found = found
        self._texts = texts
        self._names = names
        self._harmless = harmless
        self._withheld = [(draw, drawn) for draw, drawn in withheld if drawn]
        self._seal = seal

    def write(self, dump: Callable[[Cassette], bytes]) -> bytes:
        """Returns the document with every secret replaced wherever it occurs."""
        return self.document(self.cassette, dump)

    def document(self, cassette: Cassette, dump: Callable[[Cassette], bytes]) -> bytes:
        """Returns the document of this very cassette, in which may be set by now where its bodies are.

        With it goes drawn entropy that was withheld, as far as the document shows what was made of it.
        """
        document = self.everywhere(dump(cassette))
        for draw, drawn in self._withheld:
            draw.values = shown(drawn, document)
        return self.everywhere(dump(cassette)) if any(draw.values for draw, _ in self._withheld) else document

    def everywhere(self, document: bytes) -> bytes:
        """Returns a document of this very cassette with every secret replaced wherever it occurs."""
        return document if self._found is None else self._found.everywhere(document, self._texts)

    def body(self, data: bytes, *, harmless: bool = False) -> bytes:
        """Returns the bytes of a side file without secrets: this cassette's, and those that it holds itself.

        Args:
            harmless: it holds none itself.
        """
        made = self._body(data, harmless)
        in_place = self._seal is None or made == data or b"ttsealed:v1:" in data
        return made if in_place or self._seal is None else self._seal(data)

    def _body(self, data: bytes, harmless: bool = False) -> bytes:
        if self._found is None or self._names is None:
            return data
        plain, pack = (data, bytes) if harmless else opened(data)
        made = self._found.within(plain if harmless else blobs.redacted(plain, self._names, self._found))
        if self._seal is None:
            self.cassette.replacements = self._found.found()
        return data if made == plain else pack(made)

    def seal(self, text: str) -> str:
        """Returns what stands for a text, where secrets are sealed: a token for all of it."""
        return text if self._found is None else self._found.form(text, "")

    def text(self, text: str) -> str:
        """Returns a text (a log record, a span attribute) with this cassette's secrets replaced."""
        data = text.encode("utf-8", "surrogatepass")
        harmless = self._harmless is not None and self._harmless(data)  # most are: a third of the time
        return self._body(data, harmless).decode("utf-8", "surrogatepass")


def _copied(value: Copied, change: Callable[[bytes], bytes] = bytes) -> Copied:
    try:
        made: Copied = _DECODERS[type(value)].decode(change(_ENCODER.encode(value)))
    except (UnicodeEncodeError, msgspec.DecodeError):  # lone surrogates, beyond what values.py escapes
        return deepcopy(value, {id(NO_JSON): NO_JSON})  # is told by what it is, not by what it holds
    return made


def _draw(draw: Draw, found: Replacements, key: bytes | None) -> Draw:
    """Returns what may be kept of drawn entropy: what was drawn for secrets would let a reader make them again."""
    if not draw.values:
        return draw
    if key is not None:
        whole: Any = seal_value(_ENCODER.encode(draw.values)[1:-1], key)
        return draw if isinstance(draw.values[0], dict) and "$sealed" in draw.values[0] else _drew(draw, [whole])
    if "uuid" in draw.source.lower():
        kept = [None if any(map(found.holds, _uuids(value))) else value for value in draw.values]
        while kept and kept[-1] is None:
            kept.pop()
        return draw if kept == draw.values else _drew(draw, kept)
    secret = any(source in draw.source for source in _SECRET_SOURCES) and not draw.source.endswith(_HARMLESS_ASKERS)
    return _drew(draw, []) if secret else draw


def _drew(draw: Draw, values: list[Any]) -> Draw:
    return Draw(lane=draw.lane, source=draw.source, values=values)


def _uuids(value: Any) -> Iterator[str]:
    """Yields how a UUID made of drawn bytes is written: as they are (`uuid1`), and with a version (`uuid4`)."""
    drawn = values.decode(value)
    raw = drawn.bytes if isinstance(drawn, UUID) else drawn
    if isinstance(raw, bytes) and len(raw) == 16:
        for made in (UUID(bytes=raw), UUID(bytes=raw, version=4)):
            yield from (str(made), made.hex)
