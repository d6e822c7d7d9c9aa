"""The recorder: lets every call run for real and notes what it asked and how it was answered.

On the caller's path it only keeps references; encoding, redaction and writing happen on the writer's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from timetracer.engine.bodies import Copy, CopyingStream
from timetracer.engine.drivers import REAL, Core
from timetracer.engine.guard import guard, swallowed
from timetracer.engine.links import Link, link_of
from timetracer.engine.sessions import silenced
from timetracer.engine.takes import Take, Tape
from timetracer.plugin import Call, Exchange, Open, Plugin, Request, Send, Upload, Value


class Recorder:
    """The side of a plugin whose calls are recorded."""

    stand_in = False

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def begin(self, plugin: Plugin, describe: Callable[[Call], Request | None], call: Call) -> Take | None:
        """Describes a call and starts its event; None where it is not the plugin's, or describing it failed."""
        try:
            request = describe(call)
            if request is None:
                return None
            tape = self.tape
            take = Take(tape, plugin, request)
            if isinstance(request.body, Upload):
                take.upload = Copy(tape.body_limit, tape.budget)
                request.body.replace(CopyingStream(request.body.source, take.upload))
            if request.shared:
                tape.share(take)
            else:
                tape.add(take)
            return take
        except BaseException as error:
            if not swallowed(f"{plugin.name}: describing a call", error):
                raise
            return None

    def exchange(self, plugin: Plugin, role: Exchange, call: Call) -> Core:
        """Runs the real function, with the layers beneath it silent, and has its answer encoded."""
        take = self.begin(plugin, role.describe, call)
        if take is None:
            return (yield REAL)
        self.tape.hold()
        try:
            with silenced(plugin.owns):
                result = yield REAL
        except BaseException as error:
            take.failed(call, error)
            raise
        else:
            take.finished()
            try:
                return role.encode(call, result, take)
            except BaseException as error:
                if not swallowed(f"{plugin.name}: keeping an answer", error):
                    raise
                take.incomplete = f"the answer could not be kept: {type(error).__name__}"
                return result
        finally:
            self.tape.release()

    def send(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core:
        """Runs the real function and expects the answers on the link."""
        for known in link.opened.values():
            self.tape.share(known)
        take = self.begin(plugin, role.describe, call)
        if take is None:
            return (yield from self._waiting(plugin, role, call, link))
        asked = take.request
        if asked.shared and not asked.courtesy:  # in a replay another session may be the one that opens a connection
            link.opened[f"{asked.method} {asked.target} {asked.fields}"] = take
        if role.answer is not None:
            return (yield from self._send_whole(take, call, link))
        if take.stream or link.stream is not None:
            link.stream = link.stream or take
        elif take.left:
            self.tape.hold()
            link.pending.append(take)
        link.sending += 1
        try:
            if asyncio._get_running_loop() is None:
                return (yield REAL)
            with silenced(frozenset()):  # tasks that the client makes to write are in no lane: a stand-in makes none
                return (yield REAL)
        except BaseException as error:
            take.failed(call, error)
            if take in link.pending:
                link.pending.remove(take)
                self.tape.release()
            raise
        finally:
            link.sending -= 1

    def _waiting(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core:
        """Runs what asks nothing itself. With a peer it may wait for what was asked, and be left before that comes."""
        try:
            return (yield REAL)
        except BaseException as error:
            if role.feed is not None and not isinstance(error, Exception):
                with guard(f"{plugin.name}: keeping an error"):
                    for take in [*link.pending]:
                        kept = plugin.encode_error(call, error)
                        if kept is not None:
                            take.came(kept, link)
            raise

    def _send_whole(self, take: Take, call: Call, link: Link) -> Core:
        """The same where the answer has a body of its own. Nobody may ever ask for it: it is waited for as bodies are.

        Sending may fail, and an answer may be there all the same.
        """
        take.whole = True
        self.tape.body_opened()
        link.pending.append(take)
        link.sending += 1
        self.tape.hold()
        try:
            return (yield REAL)
        except BaseException as error:
            take.failed(call, error)
            raise
        finally:
            link.sending -= 1
            self.tape.release()

    def open(self, plugin: Plugin, role: Open, call: Call, link: Link | None) -> Core:
        """Runs the real function with all beneath it silent; keeps how it failed, or what is known of the peer."""
        if link is not None:
            link.quiet += 1
        request = None
        with guard(f"{plugin.name}: describing a connection"):
            request = role.describe(call)
        take = None if request is None else Take(self.tape, plugin, request)
        try:
            with silenced(plugin.owns | {plugin.name}):
                result = yield REAL
        except BaseException as error:
            if take is not None:
                take.failed(call, error)
                if link is None or not (link.sending or link.quiet > 1):  # else the call around this one says so
                    self.tape.add(take)
            raise
        finally:
            if link is not None:
                link.quiet -= 1
        if take is not None:
            take.finished()
            with guard(f"{plugin.name}: keeping a connection's settings"):
                take.reply(role.encode(call, result))
                self.tape.share(take)
                (link or link_of(result)).opened = {"": take}
        return result

    def known(self, plugin: Plugin, role: Open, call: Call) -> Value:
        """Nothing needs to be known of a real connection."""
        return None


class Passage:
    """The side of a plugin that stays live in a replay: nothing is kept, and what it owns stays silent beneath it."""

    stand_in = False

    def exchange(self, plugin: Plugin, role: Exchange, call: Call) -> Core:
        """Runs the real function."""
        with silenced(plugin.owns | {LIVE}):
            return (yield REAL)

    def send(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core:
        """Runs the real function."""
        with silenced(frozenset({LIVE})):
            return (yield REAL)

    def open(self, plugin: Plugin, role: Open, call: Call, link: Link | None) -> Core:
        """Runs the real function."""
        with silenced(plugin.owns | {plugin.name, LIVE}):
            return (yield REAL)

    def known(self, plugin: Plugin, role: Open, call: Call) -> Value:
        """Nothing needs to be known of a real connection."""
        return None


LIVE = "timetracer:live"
"""Stands among the silent names while a live plugin's call is under way: the fence lets it connect."""
PASSAGE = Passage()
