"""What each role means: for a call of a patched function the core to run, or None to run the real function as it is."""

from __future__ import annotations

from collections.abc import Callable

from timetracer.engine import links
from timetracer.engine.drivers import REAL, Core
from timetracer.engine.links import Link, known_link, link_of, settle
from timetracer.engine.sessions import SESSIONS, Side, kept
from timetracer.errors import Exhausted, ReplayError
from timetracer.plugin import Call, Close, Exchange, Open, Plugin, Poll, Receive, Send


def exchange(plugin: Plugin, role: Exchange, call: Call) -> Core | None:
    """One function asks and is answered."""
    side = SESSIONS.side(plugin)
    return None if side is None else side.exchange(plugin, role, call)


def send(plugin: Plugin, role: Send, call: Call) -> Core | None:
    """A request on a link: the link first comes to the world of the session that uses it."""
    side = SESSIONS.side(plugin)
    if side is None:
        _go_live(plugin, role, call)
        return None
    connection = role.link(call)
    link = link_of(connection)
    if link.quiet:
        return None
    if link.belongs is not side:
        _settle(plugin, call, connection, link, side)
    return side.send(plugin, role, call, link)


def _go_live(plugin: Plugin, role: Send | Open, call: Call) -> None:
    """Brings a connection that a session used to the world outside; most have no link, or need nothing."""
    if not links.any_links or role.link is None:
        return
    connection = role.link(call)
    link = known_link(connection)
    if link is not None and not link.quiet and (link.stand_in or link.belongs is not None):
        _settle(plugin, call, connection, link, None)


def _settle(plugin: Plugin, call: Call, connection: object, link: Link, side: Side | None) -> None:
    stand_in = side is not None and side.stand_in
    if link.stand_in != stand_in:
        role = links.opening(plugin)
        known = side.known(plugin, role, call) if side is not None and role is not None and stand_in else None
        try:
            settle(plugin, call, connection, link, stand_in=stand_in, known=known)
        except ReplayError as error:  # it is half-way through something
            raise kept(error) from error.__cause__
    link.belongs = side  # not before: a connection that could not leave is asked to again


def receive(plugin: Plugin, role: Receive, call: Call) -> Core | None:
    """An answer on a link: whoever asked takes it."""
    link = known_link(role.link(call)) if links.any_links else None
    if link is None or link.quiet:
        return None
    asked = link.stream or (link.pending[0] if link.pending else None)
    if asked is not None:
        return asked.receive(plugin, role, call, link)  # type: ignore[no-any-return]
    if link.stand_in and role.decode is not None:
        text = f"{plugin.name}: an answer is awaited on a connection that nothing was asked on"
        raise kept(Exhausted(text, reason="already consumed"))
    return None


def poll(plugin: Plugin, role: Poll, call: Call) -> Core | None:
    """Whether an answer waits on a link."""
    link = known_link(role.link(call)) if links.any_links else None
    if link is None or link.quiet:
        return None
    if link.stream is not None:
        return link.stream.poll(plugin, role, call, link)  # type: ignore[no-any-return]
    return _polling(plugin, role, call, link) if link.stand_in else None


def open_(plugin: Plugin, role: Open, call: Call) -> Core | None:
    """A connection is made, readied or checked."""
    side = SESSIONS.side(plugin)
    if side is None:
        _go_live(plugin, role, call)
        return None
    if role.link is None:
        return side.open(plugin, role, call, None)
    connection = role.link(call)
    link = link_of(connection)
    if link.belongs is not side:
        _settle(plugin, call, connection, link, side)
    return side.open(plugin, role, call, link)


def close(plugin: Plugin, role: Close, call: Call) -> Core | None:
    """A link ends."""
    link = known_link(role.link(call)) if links.any_links else None
    return None if link is None else _closing(link)


def _closing(link: Link) -> Core:
    for asked in (link.stream, *link.pending):
        if asked is not None:
            asked.close()
    link.reset()
    return (yield REAL)


def _polling(plugin: Plugin, role: Poll, call: Call, link: Link) -> Core:
    """Looks at a stand-in; one that was closed is opened first, and may subscribe again while it is."""
    role.opens(call)
    if link.stream is not None:
        return (yield from link.stream.poll(plugin, role, call, link))
    return bool(link.pending)


CORES: dict[type, Callable[..., Core | None]] = {
    Exchange: exchange,
    Send: send,
    Receive: receive,
    Poll: poll,
    Open: open_,
    Close: close,
}
