"""The process as a whole: turns timetracer on and off, and composes settings, engine, plugins and telemetry."""

from __future__ import annotations

import atexit
import logging
import os
import random
import signal
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from timetracer.config import TraceConfig
from timetracer.engine import entropy, lanes, threads
from timetracer.engine.admission import RecordingAdmission
from timetracer.engine.guard import guard
from timetracer.engine.importing import when_imported
from timetracer.engine.recording import Recording, Terms
from timetracer.engine.sessions import SESSIONS
from timetracer.runtime import libraries
from timetracer.runtime.pipeline import Pipeline, get_ready, read_library
from timetracer.runtime.secrets import Secrets

if TYPE_CHECKING:  # what only a replay needs is imported where it starts: a process that records starts 15 ms sooner
    from timetracer.engine.cards import Card
    from timetracer.engine.fence import Fence
    from timetracer.engine.playing import Playing, Rules
    from timetracer.engine.selection import Library

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
"""At exit and at SIGTERM, cassettes on their way get so long."""

_ids = random.SystemRandom()


class Started(msgspec.Struct):
    """What is running in this process."""

    config: TraceConfig
    pipeline: Pipeline
    library: Library | None = None
    process: Recording | Playing | None = None
    fence: Fence | None = None
    pinned: bool = False


_started: Started | None = None
_lock = threading.RLock()
_hooks_in_place = False


def started() -> Started | None:
    """Returns what is running, or None."""
    return _started


def armed() -> bool:
    """Whether start-up came to its end: in replay no app code may run before that."""
    return _started is not None


def start(config: TraceConfig | None = None, *, library: Library | None = None) -> None:
    """Turns timetracer on for this process; with another configuration, turns it over.

    Args:
        config: None for what the environment says.
        library: the cassettes to replay, in place of those that `config` names. Who gives them has the last word:
            until `stop`, an application's own settings start nothing else.

    Raises:
        ConfigError: a setting is not allowed.
        CassetteError: in replay, a cassette cannot be read.
    """
    global _started
    if _started is not None and _started.pinned:
        return
    config = TraceConfig.from_env() if config is None else config
    with _lock:
        if _started is not None:
            stop()
        logging.getLogger("timetracer").setLevel(config.log_level.upper())
        pipeline = Pipeline(config)
        state = Started(config, pipeline, library, pinned=library is not None)
        if config.mode == "record":
            _start_recording(state)
        elif config.mode == "replay":
            _start_replay(state)
        _started = state
        _put_hooks_in_place()


def stop() -> None:
    """Turns timetracer off: what is recorded so far is written, every wrapper is inert."""
    global _started
    with _lock:
        state, _started = _started, None
        if state is None:
            return
        admission = SESSIONS.admission
        SESSIONS.arm(admission=None, process=None, orphan=None)
        if state.fence is not None:
            state.fence.lower()
        with guard("closing open cassettes"):
            if isinstance(admission, RecordingAdmission):
                admission.close()
            if state.process is not None:
                state.process.close_now()
        with guard("writing the last cassettes"):
            writer = state.pipeline.writer
            if not writer.close(FLUSH_SECONDS):
                logger.warning("%d cassettes were still to be written after %g s", writer.left, FLUSH_SECONDS)


def flush(timeout: float = FLUSH_SECONDS) -> bool:
    """Writes the cassettes that are complete; False if that took longer than `timeout` seconds."""
    state = _started
    return True if state is None else state.pipeline.writer.flush(timeout)


# ------------------------------------------------------------------------------------------------ recording


def terms_of(config: TraceConfig, pipeline: Pipeline) -> Terms:
    """Returns what holds for recordings under a configuration."""
    return Terms(
        captures=lambda plugin: config.should_capture_plugin(plugin.name, plugin.kind),
        budget=pipeline.writer,
        body_limit=config.max_body_kb * 1024,
        completed=pipeline.take,
        spans=SESSIONS.by_span,
        service=config.service,
        environment=config.environment,
        recorder=_recorder(),
        errors_only=config.errors_only,
        store_request_body=config.store_req_body,
        store_response_body=config.store_res_body,
    )


def _recorder() -> str:
    from timetracer import __version__

    return f"timetracer {__version__}"


def _start_recording(state: Started) -> None:
    config = state.config
    prepare(config)
    terms = terms_of(config, state.pipeline)
    state.process = process_session(terms)
    admission = RecordingAdmission(terms, wanted=config.should_trace, sampled=config.should_sample)
    SESSIONS.arm(admission=admission, process=state.process, orphan=None)


def process_session(terms: Terms) -> Recording:
    """Returns the session of calls that belong to no inbound call. Full, it makes room for the next one."""
    session = Recording(terms, trace_id=_ids.getrandbits(128), root_id=_ids.getrandbits(64), turn_over=_turn_over)
    session.hold()  # spans come and go in it; it ends with the process
    return session


def _turn_over(full: Recording) -> None:
    state = _started
    if state is not None and state.process is full:
        state.process = SESSIONS.process = process_session(full.terms)
        full.close_now()


# ------------------------------------------------------------------------------------------------ replay


def rules_of(config: TraceConfig, known: Library | None, **more: Any) -> Rules:
    """Returns what holds for replays under a configuration."""
    from timetracer.engine.playing import Rules

    return Rules(
        mocks=lambda plugin: config.should_mock_plugin(plugin.name, plugin.kind),
        spans=SESSIONS.by_span,
        shared=known.known if known is not None else lambda plugin: [],
        shared_answer=known.shared_answers.get if known is not None else lambda text: None,
        strict=config.strict_replay,
        repeats=config.allow_repeats,
        recorded_pace=config.stream_timing == "recorded",
        hide=lambda events: Secrets(config).shown(events),
        **more,
    )


def _start_replay(state: Started) -> None:
    from timetracer.engine.cards import Choice
    from timetracer.engine.fence import raise_fence
    from timetracer.engine.playing import Playing
    from timetracer.engine.replay_admission import ReplayAdmission
    from timetracer.runtime import django_checks, outcomes

    config = state.config
    if state.library is None:
        state.library = read_library(config.replay_from, config)
    libraries.require(state.library.cards)
    prepare(config)
    django_checks.install()
    turn_clock()
    rules = rules_of(config, state.library, completed=outcomes.deliver)
    state.process = Playing(
        rules, Choice(_process_cards(state.library, frozenset(config.match_ignore)), state.library.looked_in)
    )
    state.process.hold()
    SESSIONS.arm(admission=ReplayAdmission(rules, state.library), process=state.process, orphan=None)
    state.fence = raise_fence(everywhere=True)


def turn_clock() -> None:
    """Gives each replayed session its own time."""
    from timetracer.engine import clock  # only here: time-machine imports pytest where that is installed

    clock.install()


def _process_cards(library: Library, ignore: frozenset[str]) -> list[Card]:
    """Returns what answers calls outside any inbound call: the processes' cassettes, or the only one there is."""
    from timetracer.engine.selection import joined

    whole = joined(library.processes, ignore)
    return [whole] if whole is not None else library.cards if library.single else []


# ------------------------------------------------------------------------------------------------ both


def prepare(config: TraceConfig) -> None:
    """Puts in place what both modes need: plugins, entropy, lanes, telemetry. Nothing of it acts outside a session."""
    import asyncio

    from timetracer import telemetry

    libraries.install_present(config)
    entropy.install()
    lanes.install(asyncio.BaseEventLoop, SESSIONS.rankable)
    when_imported("uvloop", "lanes", _rank_on_uvloop)
    threads.install()
    telemetry.attach(config)
    telemetry.install_metrics()


def _rank_on_uvloop() -> None:
    import uvloop  # it is imported now; uvicorn takes it by itself where it is installed

    lanes.install(uvloop.Loop, SESSIONS.rankable)


def settle() -> None:
    """Looks over the patches once every instrumentor is in place; what is not where it was is said."""
    faults = libraries.broken()
    if faults:
        listed = ", ".join(target for targets in faults.values() for target in targets)
        logger.warning(
            "these functions are not where they were, and are not captured: %s (see timetracer doctor)", listed
        )


def _put_hooks_in_place() -> None:
    global _hooks_in_place
    if _hooks_in_place:
        return
    _hooks_in_place = True
    SESSIONS.at_end = _conclude
    atexit.register(stop)
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
    # Its own import takes 1.5 ms: nobody has a child of it before.
    when_imported("multiprocessing.util", "children", _follow_children)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
        # CPython forgets what a child was sent before it had come to itself (`_PySignal_AfterFork`): with the default
        # handler it would have ended. https://github.com/python/cpython/blob/3.13/Modules/signalmodule.c
        os.register_at_fork(before=_hold_sigterm, after_in_parent=_let_sigterm_come, after_in_child=_let_sigterm_come)


_masks: dict[int, Any] = {}


def _hold_sigterm() -> None:
    _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_sigterm_come() -> None:
    before = _masks.pop(threading.get_ident(), None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _conclude() -> None:
    """Writes what there is so far; what this process does hereafter begins a cassette of its own."""
    state = _started
    if state is not None and isinstance(state.process, Recording):
        _turn_over(state.process)
    flush()


def _follow_children() -> None:
    """Lets a forked child of multiprocessing write its cassette: it ends with `os._exit` and never comes to atexit."""
    from multiprocessing import util

    util.register_after_fork(stop, lambda _: util.Finalize(None, stop, exitpriority=0))


def _terminate(number: int, frame: Any) -> None:
    """Writes what is complete, then lets SIGTERM do what it does by default; a second one is not to cut that short."""
    signal.signal(number, signal.SIG_IGN)
    stop()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _before_fork() -> None:
    if isinstance(SESSIONS.admission, RecordingAdmission):
        with guard("getting ready for a fork"):
            get_ready()


def _after_fork() -> None:
    """A forked child begins a process cassette of its own; the parent's is the parent's."""
    global _lock
    _lock = threading.RLock()
    SESSIONS.after_fork()
    if isinstance(SESSIONS.admission, RecordingAdmission):
        SESSIONS.admission.after_fork()
    state = _started
    if state is not None and isinstance(state.process, Recording):
        state.process = SESSIONS.process = process_session(state.process.terms)
