"""Connections (links): what each still expects, and whether it is wholly live or wholly a stand-in."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any, Protocol

from timetracer.plugin import Call, Open, Plugin, Value

_ATTRIBUTE = "_timetracer_link"


class Conversation(Protocol):
    """One request on a link, with the answers it expects: recorded or played back, the link does not care."""

    stream: bool  # open until the link closes

    @property
    def done(self) -> bool:
        """Whether every expected answer was taken."""


class Link:
    """What the engine knows of one connection.

    Attributes:
        belongs: the side that used it last; while that stays, so does its world.
        stand_in: no server is behind it.
        used: a call was answered on it, so leaving it would lose what it holds (a WATCH, a transaction).
        quiet: depth of openings and checks under way, whose traffic is not captured.
        sending: depth of sends under way, which open the link first where it is closed.
        pending: requests whose answers have yet to come, oldest first.
        stream: the subscription on this link, if it has one.
        opened: the events that made it what it is, its opening first, by question: each cassette that uses it has them.
    """

    __slots__ = ("__weakref__", "belongs", "opened", "pending", "quiet", "sending", "stand_in", "stream", "used")

    def __init__(self) -> None:
        self.belongs: Any = None
        self.stand_in = False
        self.quiet = 0
        self.sending = 0
        self.opened: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Forgets what was expected: the connection ended or was left."""
        self.used = False
        self.pending: deque[Any] = deque()
        self.stream: Any = None

    def __del__(self) -> None:
        """The connection is gone, closed or not: nobody takes what it still expected."""
        for asked in (self.stream, *self.pending):
            if asked is not None:
                asked.close()


_unslotted: weakref.WeakKeyDictionary[object, Link] = weakref.WeakKeyDictionary()
any_links = False
"""Whether this process ever had a link: until then, a call outside any session has nothing to look up."""


def link_of(connection: object) -> Link:
    """Returns the link of a connection, made at first use."""
    global any_links
    try:
        return connection.__dict__[_ATTRIBUTE]  # type: ignore[no-any-return]
    except (AttributeError, KeyError):
        any_links = True
    link = Link()
    try:
        object.__setattr__(connection, _ATTRIBUTE, link)
    except AttributeError:
        return _unslotted.setdefault(connection, link)
    return link


def known_link(connection: object) -> Link | None:
    """Returns the link of a connection, if it has one."""
    try:
        return connection.__dict__.get(_ATTRIBUTE)
    except AttributeError:
        return _unslotted.get(connection)


def opening(plugin: Plugin) -> Open | None:
    """Returns the role of `plugin` that can leave and reopen its connections."""
    for patch in plugin.patches:
        if isinstance(patch.role, Open) and patch.role.leave is not None:
            return patch.role
    return None


def settle(plugin: Plugin, call: Call, connection: object, link: Link, *, stand_in: bool, known: Value = None) -> None:
    """Moves a connection to the world it is used in now, live or stand-in, leaving the other one."""
    if link.stand_in == stand_in:
        return
    role = opening(plugin)
    if role is None or role.leave is None:
        link.stand_in = stand_in
        return
    role.leave(connection)
    link.reset()
    link.stand_in = stand_in
    if stand_in:
        role.stand_in(Call(connection, call.args, call.kwargs), _no_real, known)


def _no_real(*args: Any, **kwargs: Any) -> None:
    """Stands for the real opening where a connection is readied in place: nothing is run."""
