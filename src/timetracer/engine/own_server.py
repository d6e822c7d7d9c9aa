"""Lets what belongs to a test itself go through: calls to the server that it tests, plugins that stay live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from timetracer.engine.drivers import Core
from timetracer.engine.guard import guard
from timetracer.engine.links import Link
from timetracer.engine.recorder import PASSAGE
from timetracer.engine.sessions import Side
from timetracer.plugin import Call, Exchange, Open, Plugin, Send


def let_through(session: Any, *, urls: Iterable[str], live: Callable[[Plugin], bool]) -> None:
    """Makes a session let some calls pass, unseen.

    Args:
        urls: servers of this very process, whose own calls are what is recorded.
        live: whether a plugin stays live in replay: there is nothing to record of it.
    """
    places = frozenset(urlsplit(url).netloc for url in urls)
    sides: dict[str, Side | None] = {}
    real = session.side

    def side(plugin: Plugin) -> Side | None:
        if plugin.name not in sides:
            beneath = PASSAGE if live(plugin) else real(plugin)
            over = plugin.kind == "http" and places and beneath not in (None, PASSAGE)
            sides[plugin.name] = _Through(beneath, places) if over else beneath
        return sides[plugin.name]

    session.side = side


class _Through:
    """The side of an HTTP plugin, but for some servers."""

    def __init__(self, side: Side, places: frozenset[str]) -> None:
        self._side, self._places = side, places
        self.stand_in = side.stand_in

    def exchange(self, plugin: Plugin, role: Exchange, call: Call) -> Core | None:
        with guard(f"{plugin.name}: looking for the server that is tested"):
            request = role.describe(call)
            if request is not None and urlsplit(request.target).netloc in self._places:
                return PASSAGE.exchange(plugin, role, call)
        return self._side.exchange(plugin, role, call)

    def send(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core | None:
        return self._side.send(plugin, role, call, link)

    def open(self, plugin: Plugin, role: Open, call: Call, link: Link | None) -> Core | None:
        return self._side.open(plugin, role, call, link)

    def known(self, plugin: Plugin, role: Open, call: Call) -> Any:
        return self._side.known(plugin, role, call)
