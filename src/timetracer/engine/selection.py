"""Chooses the cassette that answers an inbound call: by its caller's span, then by what it asked."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from timetracer.cassette.model import Body, Cassette, Draw, Event
from timetracer.engine.cards import Card, Choice
from timetracer.engine.guard import say_once
from timetracer.engine.masking import masked
from timetracer.engine.matching import Index
from timetracer.plugin import Inbound, Plugin


def card(
    name: str, cassette: Cassette, raw: Callable[[Body], list[bytes]], ignore: frozenset[str] = frozenset()
) -> Card:
    """Makes a cassette ready to answer.

    Args:
        name: path or URL, for messages.
        raw: returns the chunks of one of its bodies.
    """

    def body_of(event: Event) -> bytes:
        sent = event.request.body
        return b"" if sent is None else b"".join(raw(sent))

    return Card(name, cassette, Index(cassette, body_of, ignore), raw)


class Library:
    """The cassettes that a process replays, indexed by what came in. Immutable after it is built.

    Args:
        looked_in: the file, folder or URL they are from, for messages.
    """

    def __init__(self, cards: Iterable[Card], looked_in: str) -> None:
        self.cards = sorted(cards, key=lambda each: each.cassette.trace.start)  # of equal ones the first is served
        self.looked_in = looked_in
        self._by_caller: dict[tuple[int, int], list[Card]] = {}
        self._by_target: dict[tuple[str, str, str], list[Card]] = {}
        self._by_masked: dict[tuple[str, str, str], list[Card]] = {}
        self.processes: list[Card] = []
        self.shared: dict[str, list[Event]] = {}
        self.shared_answers: dict[str, Event] = {}
        for each in self.cards:
            self._add(each)

    def _add(self, each: Card) -> None:
        trace, inbound = each.cassette.trace, each.cassette.inbound
        for event in each.cassette.shared.values():
            self.shared.setdefault(event.signature.lib, []).append(event)
        for text, entry in each.index.shared.items():
            self.shared_answers.setdefault(text, entry.event)
        if inbound is None:
            self.processes.append(each)
            return
        for caller in filter(None, (trace.parent_id, trace.root_id)):  # the runner names the root itself
            self._by_caller.setdefault((int(trace.trace_id, 16), int(caller, 16)), []).append(each)
        self._by_target.setdefault((inbound.type, inbound.method, inbound.target), []).append(each)
        self._by_masked.setdefault((inbound.type, inbound.method, masked(inbound.target).text), []).append(each)

    @property
    def single(self) -> bool:
        """Whether there is one cassette of an inbound call at most."""
        return len(self.cards) - len(self.processes) <= 1 and len(self.cards) <= 1

    def choose(self, inbound: Inbound, trace_id: int, parent_id: int) -> Choice:
        """Returns the cassettes that may answer what came in.

        Args:
            trace_id: of the trace that the caller began; 0 if it sent none.
            parent_id: the caller's span; 0 if it sent none.
        """
        key = (inbound.type, inbound.method, inbound.target)
        same_call = [c for c in self._by_caller.get((trace_id, parent_id), ()) if self._asks(c, inbound)]
        if same_call:
            return Choice(same_call, self.looked_in)
        found = (
            self._by_target.get(key)
            or self._by_masked.get((inbound.type, inbound.method, masked(inbound.target).text))
            or []
        )
        of_trace = [c for c in found if trace_id and int(c.cassette.trace.trace_id, 16) == trace_id]
        found = found if of_trace else _alike(found, inbound)
        if len(found) > 1 and not of_trace and self._differ(found):
            say_once(
                f"choice {key}",
                "%d cassettes answer %s %s differently; without the trace id the first is served",
                len(found),
                inbound.method,
                inbound.target.split("?")[0],
            )
        return Choice(of_trace or found, self.looked_in)

    @staticmethod
    def _asks(each: Card, inbound: Inbound) -> bool:
        kept = each.cassette.inbound
        return kept is not None and (kept.type, kept.method) == (inbound.type, inbound.method)

    @staticmethod
    def _differ(found: list[Card]) -> bool:
        """Whether cassettes of requests with equal bodies answered differently."""
        answers: dict[bytes, set[tuple[int | None, bytes]]] = {}
        for each in found:
            inbound = each.cassette.inbound
            if inbound is not None:
                sent = b"".join(each.raw(inbound.request.body)) if inbound.request.body is not None else b""
                got = b"".join(each.raw(inbound.result.body)) if inbound.result.body is not None else b""
                answers.setdefault(sent, set()).add((inbound.result.status, got))
        return any(len(v) > 1 for v in answers.values())

    def known(self, plugin: Plugin) -> list[Event]:
        """Returns what any cassette knows of the plugin's connections."""
        return self.shared.get(plugin.name, [])


def _alike(found: list[Card], inbound: Inbound) -> list[Card]:
    """Returns those that came with the same credentials, and of these those that asked for the same representation.

    A page asked for with and without a session, or by two users, is asked for in the same words. Redacted credentials
    are never the same, but which cookies there were still tells.
    """
    of_user = _with_same(_credentials, found, inbound) or _with_same(_credential_names, found, inbound) or found
    told = {name for each in of_user for name in _varies_by(each)}
    return _with_same(partial(_representation, told), of_user, inbound) or of_user


def _with_same(
    significant: Callable[[Iterable[tuple[str, str]]], list[Any]], found: list[Card], inbound: Inbound
) -> list[Card]:
    if len(found) < 2:
        return found
    asked = significant(inbound.headers)
    return [c for c in found if c.cassette.inbound and significant(c.cassette.inbound.request.headers) == asked]


def _varies_by(each: Card) -> list[str]:
    """Returns the headers that the answer says it depends on."""
    headers = each.cassette.inbound.result.headers if each.cassette.inbound is not None else ()
    told = [value.lower().split(",") for name, value in headers if name.lower() == "vary"]
    return [name.strip() for names in told for name in names if name.strip() != "cookie"]


def _representation(told: Container[str], headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns what chooses between the answers of a resource: JSON or HTML, a range of it, whether it is new.

    Upstream: https://www.rfc-editor.org/rfc/rfc9110#name-content-negotiation, #name-conditional-requests, and
    https://fetch.spec.whatwg.org/#http-requests for what a browser asks ahead.

    Args:
        told: further headers that an answer depends on.
    """
    known = ("accept", "access-control-request-", "if-", "range")
    given = [(name.lower(), value) for name, value in headers]
    return sorted(pair for pair in given if pair[0] in told or pair[0].startswith(known))


def _credentials(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers if name.lower() in ("authorization", "cookie"))


def _credential_names(headers: Iterable[tuple[str, str]]) -> list[str]:
    names = [name for name, _ in _credentials(headers)]
    cookies = [cookie for name, value in _credentials(headers) if name == "cookie" for cookie in value.split(";")]
    return names + sorted(cookie.partition("=")[0].strip() for cookie in cookies)


def joined(cards: list[Card], ignore: frozenset[str] = frozenset()) -> Card | None:
    """Returns what several processes recorded outside any inbound call as one card, oldest first; None for no card."""
    if len(cards) < 2:
        return cards[0] if cards else None
    cards = sorted(cards, key=lambda each: each.cassette.trace.start)
    events = [event for each in cards for event in each.cassette.events]
    whole = Cassette(
        trace=cards[0].cassette.trace,
        events=[msgspec.structs.replace(event, eid=number) for number, event in enumerate(events)],
        shared={f"{n}-{key}": event for n, each in enumerate(cards) for key, event in each.cassette.shared.items()},
        draws=_drawn(cards),
        replacements=sorted({text for each in cards for text in each.cassette.replacements}),
    )
    return card(f"{cards[0].name} and {len(cards) - 1} more", whole, cards[0].raw, ignore)


def _drawn(cards: list[Card]) -> list[Draw]:
    """Returns what was drawn, source by source; one process may have several cassettes, one after the other."""
    found: dict[tuple[str, str], Draw] = {}
    for draw in (draw for each in cards for draw in each.cassette.draws):
        found.setdefault((draw.lane, draw.source), Draw(draw.lane, draw.source)).values.extend(draw.values)
    return list(found.values())


def name_of(path: Path) -> str:
    """Returns how messages name a cassette: relative to the working folder where it lies beneath it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
