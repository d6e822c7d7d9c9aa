"""One worker process: an application that replays in this very process, asked one cassette after the other.

It is told its task in one line on standard input, and answers with a line for each cassette on what was standard
output; whatever the application prints goes to standard error.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from timetracer.config import TraceConfig
from timetracer.engine.selection import Library, name_of
from timetracer.errors import TimetracerError
from timetracer.runner.findings import Finding
from timetracer.runner.inbox import Inbox
from timetracer.runner.judging import Judge
from timetracer.runner.questions import question_of
from timetracer.runtime import process
from timetracer.runtime.pipeline import read_card

OUTCOME_SECONDS = 5.0
"""After its answer a request gets so long for what it does in the background."""

CASE_SECONDS = 60.0
"""A replay gets so long in all. Nothing that it waits for is far away."""


class Task(msgspec.Struct):
    """What a worker is to do.

    Attributes:
        library: every cassette that can answer.
        cases: those to send, each with its number in the run and how reports call it.
        settings: over the environment's.
        token: of the run.
    """

    app: str
    library: list[str]
    cases: list[tuple[int, str, str]]
    settings: dict[str, Any]
    token: str
    ignored: list[str] = []
    update: bool = False


class Word(msgspec.Struct, omit_defaults=True):
    """One line that a worker says: that it is ready, that it cannot start, or what became of a cassette."""

    ready: bool = False
    error: str | None = None
    finding: Finding | None = None


def main() -> None:
    """Does one task, and exits."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    try:
        work(task, out)
    except TimetracerError as error:
        _say(out, Word(error=str(error)))
        sys.exit(2)


def _say(out: BinaryIO, word: Word) -> None:
    data = memoryview(msgspec.json.encode(word) + b"\n")
    while data:
        data = data[out.write(data) :]


def work(task: Task, out: BinaryIO) -> None:
    """Starts the replay, then OpenTelemetry, then the application; and sends what there is to send.

    Raises:
        TimetracerError: something of it does not start.
    """
    config = TraceConfig.from_env().with_settings(task.settings).with_settings({"mode": "replay"})
    paths = [Path(path) for path in task.library]
    cards = {path: read_card(path, config) for path in paths}
    process.start(config, library=Library(cards.values(), name_of(paths[0].parent)))
    _instrument()
    from timetracer.runner.applications import driver_of

    driver = driver_of(task.app)
    driver.open()
    _say(out, Word(ready=True))
    inbox = Inbox(task.token)
    judge = Judge(config, ignored=task.ignored, update=task.update)
    for number, name, about in task.cases:
        path = Path(name)
        recorded = cards[path].cassette
        start = time.perf_counter()
        faulthandler.dump_traceback_later(
            CASE_SECONDS, exit=True
        )  # a replay that hangs ends its process, and says where
        try:
            answer = driver.ask(question_of(recorded, inbox.run(number)))
            outcome = inbox.take(number, OUTCOME_SECONDS)
            finding = judge.judge(path, recorded, answer, outcome)
        except TimetracerError as error:
            finding = Finding(name_of(path), about, "failed", error=str(error))
        faulthandler.cancel_dump_traceback_later()
        finding.duration_ms = round((time.perf_counter() - start) * 1000, 3)
        _say(out, Word(finding=finding))
    driver.close()


def _instrument() -> None:
    """Puts every instrumentor in place, as `opentelemetry-instrument` does.

    Upstream: `opentelemetry.instrumentation.auto_instrumentation.initialize`.
    """
    from opentelemetry.instrumentation.auto_instrumentation import initialize

    initialize(swallow_exceptions=False)
