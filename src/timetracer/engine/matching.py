"""Finds the recorded event that answers a call: exactly, or with volatile values masked and bound; never more loosely.

Per cassette an immutable `Index` is built once; per replayed session a `Matcher` remembers what was used and which live
value stands for which recorded one. Every lookup is one dict access, whatever the size of the cassette.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from timetracer.cassette.model import Cassette, Event
from timetracer.engine.bindings import SIGNED, swap
from timetracer.engine.masking import Masked, era_of, masked
from timetracer.engine.timeline import alone
from timetracer.plugin import Plugin, Request

_CODED = re.compile(r"(?:eyJ|gA[SNJW]|H4sI|eJ)[\w+/]{13}")  # JSON, a pickle, gzip and zlib in base64
_LAZY = 3  # wildcards that something follows which might be theirs
_encoder = msgspec.json.Encoder(order="deterministic", decimal_format="string")


def question(
    lib: str, kind: str, method: str, target: str, fields: dict[str, Any], body: bytes, ignore: frozenset[str]
) -> str:
    """Returns what a call asks as canonical text: equal texts are exact matches.

    Args:
        fields: encoded.
        ignore: header, query and JSON fields that are left out.
    """
    if ignore:
        target = _without_query(target, ignore)
        fields = _without_keys(fields, ignore)
    data: Any = ""
    if body:
        data = _canonical_body(body, ignore)
    return _written([lib, kind, method, target, fields, data])


def _written(data: Any) -> str:
    """Returns data as canonical JSON text; what msgspec does not write (lone surrogates) is escaped."""
    try:
        return _encoder.encode(data).decode()
    except UnicodeEncodeError:
        return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _canonical_body(body: bytes, ignore: frozenset[str]) -> Any:
    if body[:1] in b"{[":
        try:
            parsed = msgspec.json.decode(body)
        except msgspec.DecodeError:
            pass
        else:
            return {"json": _without_keys(parsed, ignore) if ignore else parsed}
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"latin-1": body.decode("latin-1")}


def _without_query(target: str, ignore: frozenset[str]) -> str:
    parts = urlsplit(target)
    if not parts.query:
        return target
    kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k not in ignore]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def _without_keys(data: Any, ignore: frozenset[str]) -> Any:
    if isinstance(data, dict):
        return {k: _without_keys(v, ignore) for k, v in data.items() if k not in ignore}
    if isinstance(data, list):
        return [_without_keys(v, ignore) for v in data]
    return data


@dataclass(slots=True)
class Entry:
    """One recorded event as the index knows it."""

    event: Event
    text: str
    mask: Masked | None = None
    pattern: re.Pattern[str] | None = None  # where redaction replaced values: each is a wildcard
    wildcards: tuple[str, ...] = ()


class Index:
    """The events of one cassette by what they asked. Immutable, shared by every session that replays the cassette."""

    def __init__(
        self, cassette: Cassette, body_of: Callable[[Event], bytes], ignore: frozenset[str] = frozenset()
    ) -> None:
        self.ignore = ignore
        self._era = era_of(cassette)
        self.replacements = frozenset(cassette.replacements)
        self.entries: list[Entry] = []
        self.exact: dict[str, list[Entry]] = {}
        self.cut_short: dict[str, list[Entry]] = {}  # the upload was not read to its end: without its body
        self.alone = alone(cassette.events)
        self.by_mask: dict[str, list[Entry]] = {}
        self.by_signed: dict[str, list[Entry]] | None = None
        self.wild: dict[tuple[str, str, str], list[Entry]] = {}
        self._targets: dict[str, frozenset[str]] = {}
        self._body_of = body_of
        for event in cassette.events:
            self._add(event)
        self.shared = {e.text: e for e in (Entry(ev, self._text(ev)) for ev in cassette.shared.values())}

    def _text(self, event: Event) -> str:
        s = event.signature
        body = self._body_of(event) if event.request.body is not None else b""
        return question(s.lib, event.type, s.method, s.url, s.fields, body, self.ignore)

    def _add(self, event: Event) -> None:
        entry = Entry(event, self._text(event))
        self.entries.append(entry)
        sent = event.request.body
        if sent is None or sent.end == "complete":
            self.exact.setdefault(entry.text, []).append(entry)
        else:
            s = event.signature
            bodiless = question(s.lib, event.type, s.method, s.url, s.fields, b"", self.ignore)
            self.cut_short.setdefault(bodiless, []).append(entry)

    def began_with(self, entry: Entry, body: bytes) -> bool:
        """Whether what was sent before the call ended is the beginning of `body`."""
        return body.startswith(self._body_of(entry.event))

    def targets(self, lib: str) -> frozenset[str]:
        """Returns all that calls of a library were about; worked out once."""
        known = self._targets.get(lib)
        if known is None:
            signatures = (each.event.signature for each in (*self.entries, *self.shared.values()))
            known = self._targets[lib] = frozenset(s.url for s in signatures if s.lib == lib)
        return known

    def masks(self) -> dict[str, list[Entry]]:
        """Returns the entries by masked question; built when the first call has no exact match."""
        if not self.by_mask:
            by_mask: dict[str, list[Entry]] = {}
            wild: dict[tuple[str, str, str], list[Entry]] = {}
            for entry in self.entries:
                by_mask.setdefault(self.mask_of(entry).text, []).append(entry)
                if entry.pattern is not None:
                    key = (entry.event.signature.lib, entry.event.type, entry.event.signature.method)
                    wild.setdefault(key, []).append(entry)
            self.wild, self.by_mask = wild, by_mask  # whole, for other sessions look: two may both build it, alike
        return self.by_mask

    def signed(self) -> dict[str, list[Entry]]:
        """Returns the entries that hold a signed time by their question without it; built when first asked for."""
        if self.by_signed is None:
            found: dict[str, list[Entry]] = {}
            for each in self.entries:
                if SIGNED.search(each.text):
                    mask = self.masked(each.text, signed=True)
                    found.setdefault(mask.text, []).append(Entry(each.event, each.text, mask))
            self.by_signed = found
        return self.by_signed

    def masked(self, text: str, *, signed: bool = False) -> Masked:
        """Takes the volatile values out of a question: those of this cassette's time among them."""
        return masked(text, self._era, signed=signed)

    def mask_of(self, entry: Entry) -> Masked:
        """Returns an entry's question, masked; worked out once, with its wildcards."""
        if entry.mask is None:
            mask = self.masked(entry.text)
            self._find_wildcards(entry, mask)
            entry.mask = mask  # last: whoever sees it sees the wildcards, too
        return entry.mask

    def _find_wildcards(self, entry: Entry, mask: Masked) -> None:
        written = (_written(r)[1:-1] for r in self.replacements if r)
        found = sorted((r for r in written if r in mask.text), key=len, reverse=True)
        if found:
            parts = re.split("(" + "|".join(map(re.escape, found)) + ")", mask.text)
            entry.pattern, entry.wildcards = _pattern(parts)


def _pattern(parts: list[str]) -> tuple[re.Pattern[str] | None, tuple[str, ...]]:
    """Returns what matches a question with other values where redaction replaced some, and what stood there.

    Args:
        parts: text and replacements by turns. What may stand for one has its marks and no others, so that it never
            reaches over the end of a JSON text, a form's field, a query's parameter or a path's segment.

    Returns:
        No pattern where matching it could take for ever: a hostile cassette may hold any replacements.
    """
    made, groups, lazy = [re.escape(parts[0])], dict[str, int](), 0
    for replacement, after in zip(parts[1::2], parts[2::2], strict=True):
        if replacement in groups:
            made.append(f"(?:\\{groups[replacement]})")
        else:
            groups[replacement] = len(groups) + 1
            marks = {char for char in replacement if not char.isalnum()} | set("_-.~+%")
            ends = after[:1] not in marks and not after[:1].isalnum()
            lazy += not ends
            made.append(f"([\\w{re.escape(''.join(sorted(marks)))}]{'++' if ends else '+?'})")
        made.append(re.escape(after))
    return (re.compile("".join(made)) if lazy <= _LAZY else None), tuple(groups)


@dataclass(slots=True)
class _Queue:
    """Unused entries with the same question: by lane first, then in recorded order."""

    lanes: dict[str, deque[Entry]] = field(default_factory=dict)
    order: deque[Entry] = field(default_factory=deque)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> _Queue:
        queue = cls()
        for entry in entries:
            queue.lanes.setdefault(entry.event.lane, deque()).append(entry)
            queue.order.append(entry)
        return queue

    def first(self, lane: str, used: set[int], fits: Callable[[Entry], bool] | None = None) -> Entry | None:
        for candidates in (self.lanes.get(lane), self.order):
            while candidates and candidates[0].event.eid in used:
                candidates.popleft()
            if candidates and fits is None:
                return candidates[0]
            for entry in candidates or ():
                if entry.event.eid not in used and (fits is None or fits(entry)):
                    return entry
        return None


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: the event, and the step that found it (exact, masked)."""

    event: Event
    step: str


class Matcher:
    """What one replayed session has used and bound so far. Not thread-safe: its session holds a lock."""

    def __init__(self, index: Index, *, strict: bool = False, repeats: bool = False) -> None:
        self.index, self.strict, self.repeats = index, strict, repeats
        self.used: set[int] = set()
        self.live: dict[str, str] = {}  # recorded value -> live value; never changed but replaced: threads read it
        self.recorded: dict[str, str] = {}  # live value -> recorded value
        self._queues: dict[tuple[str, str], _Queue] = {}
        self._plain: re.Pattern[str] | None = None
        self._databases: dict[str, str] = {}  # by library, the live name of the one that was recorded

    def text(self, plugin: Plugin, request: Request, fields: dict[str, Any], body: bytes) -> str:
        """Returns a live call's question, with live values that are bound put back to the recorded ones."""
        target = request.target if self.strict or plugin.kind != "db" else self._database(plugin.name, request.target)
        text = question(plugin.name, request.type, request.method, target, fields, body, self.index.ignore)
        return swap(text, self.recorded) if self.recorded else text

    def _database(self, lib: str, asked: str) -> str:
        """Returns a database's recorded name: the only one of a cassette has another where a test runner made it."""
        known = self.index.targets(lib)
        if asked in known:
            self._databases[lib] = asked
        elif len(known) == 1 and self._databases.setdefault(lib, asked) == asked:
            return next(iter(known))
        return asked

    def find(self, text: str, key: tuple[str, str, str], lane: str) -> Found | None:
        """Finds and uses up the event that answers a question; None where none does."""
        found = self._exact(text, lane) or (
            None if self.strict else self._masked(text, lane) or self._wild(text, key, lane) or self._signed(text, lane)
        )
        if found is not None:
            self.used.add(found.event.eid)
        return found

    def _exact(self, text: str, lane: str) -> Found | None:
        entries = self.index.exact.get(text)
        if entries is None:
            return None
        entry = self._queue("exact", text, entries).first(lane, self.used)
        if entry is None and self.repeats:
            entry = entries[-1]
        return None if entry is None else Found(entry.event, "exact")

    def _masked(self, text: str, lane: str) -> Found | None:
        return self._agreeing("mask", self.index.masked(text), self.index.masks(), lane)

    def _signed(self, text: str, lane: str) -> Found | None:
        """However right the clock is, now and then another second is signed than the recorded one."""
        if SIGNED.search(text) is None:
            return None
        return self._agreeing("signed", self.index.masked(text, signed=True), self.index.signed(), lane)

    def _agreeing(self, step: str, mask: Masked, known: dict[str, list[Entry]], lane: str) -> Found | None:
        entries = known.get(mask.text)
        if entries is None:
            return None
        fits: Callable[[Entry], bool] = lambda e: self._agrees(e.mask.tokens if e.mask else (), mask.tokens)  # noqa: E731
        entry = self._queue(step, mask.text, entries).first(lane, self.used, fits)
        if entry is None or entry.mask is None:
            return None
        self.bind(zip(entry.mask.tokens, mask.tokens, strict=False))
        return Found(entry.event, "masked")

    def _wild(self, text: str, key: tuple[str, str, str], lane: str) -> Found | None:
        self.index.masks()
        mask = self.index.masked(text)
        for entry in self.index.wild.get(key, ()):
            if entry.event.eid in self.used or entry.pattern is None or entry.mask is None:
                continue
            found = entry.pattern.fullmatch(mask.text)
            if found and self._agrees(entry.wildcards, found.groups()) and self._agrees(entry.mask.tokens, mask.tokens):
                self.bind(zip(entry.wildcards, found.groups(), strict=True))
                self.bind(zip(entry.mask.tokens, mask.tokens, strict=False))
                return Found(entry.event, "masked")
        return None

    def _queue(self, step: str, text: str, entries: list[Entry]) -> _Queue:
        queue = self._queues.get((step, text))
        if queue is None:
            queue = self._queues[step, text] = _Queue.of(entries)
        return queue

    def _agrees(self, recorded: Iterable[str], live: Iterable[str]) -> bool:
        return all(self.live.get(r, v) == v for r, v in zip(recorded, live, strict=False))

    def bind(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Remembers which live value stands for which recorded one."""
        new = {recorded: live for recorded, live in pairs if recorded != live}
        if new:
            self.live = self.live | new
            self.recorded = self.recorded | {live: recorded for recorded, live in new.items()}

    def find_cut_short(self, bodiless: str, body: bytes, lane: str) -> Found | None:
        """Finds and uses up an event whose upload ended early; the question is without its body."""
        entries = self.index.cut_short.get(bodiless)
        if entries is None:
            return None
        queue = self._queue("cut short", bodiless, entries)
        entry = queue.first(lane, self.used, lambda e: self.index.began_with(e, body))
        if entry is None:
            return None
        self.used.add(entry.event.eid)
        return Found(entry.event, "exact")

    def find_shared(self, text: str) -> Event | None:
        """Finds what belongs to connections; it is not used up. Volatile and redacted values bind here as well."""
        shared = self.index.shared
        entry = shared.get(text)
        if entry is None and not self.strict:
            asked = self.index.masked(text)
            for each in shared.values():
                mask = each.mask or self.index.mask_of(each)
                found = each.pattern.fullmatch(asked.text) if each.pattern is not None else None
                if (mask.text == asked.text or found) and self._agrees(mask.tokens, asked.tokens):
                    self.bind(zip(mask.tokens, asked.tokens, strict=False))
                    self.bind(zip(each.wildcards, found.groups() if found else (), strict=False))
                    return each.event
        return None if entry is None else entry.event

    def alike(self, text: str, key: tuple[str, str, str]) -> list[Entry]:
        """Returns the entries that could answer a question, used or not, in recorded order."""
        found = self.index.exact.get(text)
        if found is None and not self.strict:
            mask, by_mask = self.index.masked(text), self.index.masks()
            wild = (e for e in self.index.wild.get(key, ()) if e.pattern is not None and e.pattern.fullmatch(mask.text))
            found = by_mask.get(mask.text) or list(wild)
        return found or []

    def exhausted(self, text: str) -> bool:
        """Whether the question was recorded, and every answer to it was given."""
        return text in self.index.exact

    def unused(self) -> list[Event]:
        """Returns the events that no call asked for, but for those that chance decides on."""
        return [e.event for e in self.index.entries if e.event.eid not in self.used and not e.event.optional]
