"""Shares the cassettes out: among worker processes with the application in each, or threads that ask one server."""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from timetracer import config as settings_of
from timetracer.config import TraceConfig
from timetracer.engine.selection import name_of
from timetracer.errors import ConfigError, TimetracerError
from timetracer.runner import remote
from timetracer.runner.findings import Finding
from timetracer.runner.inbox import Inbox
from timetracer.runner.judging import Judge
from timetracer.runner.likeness import is_path
from timetracer.runner.plan import Plan
from timetracer.runner.questions import question_of
from timetracer.runner.worker import OUTCOME_SECONDS, Task, Word

_EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")
_TAIL = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How the runner is to go about it.

    Attributes:
        settings: over the environment's.
        ignored: fields left out of every comparison.
        update: whether cassettes are rewritten.
    """

    workers: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    update: bool = False

    def config(self) -> TraceConfig:
        """Returns the configuration in force."""
        return TraceConfig.from_env().with_settings(self.settings)


# ------------------------------------------------------------------------------------------------ one server


def ask_server(plan: Plan, url: str, order: Order) -> Iterator[Finding]:
    """Sends every cassette to a server that replays, and gives each finding as it comes.

    Raises:
        ReplayError: the server does not replay; nothing was sent.
    """
    driver, judge = remote.Driver(url), Judge(order.config(), ignored=order.ignored, update=order.update)
    with Inbox() as inbox:
        driver.probe(inbox)

        def one(number: int, path: Path) -> Finding:
            start = time.perf_counter()
            try:
                recorded = judge.read(path)
                answer = driver.ask(question_of(recorded, inbox.run(number)))
                outcome = inbox.take(number, OUTCOME_SECONDS if answer.status is not None else 0.0)
                finding = judge.judge(path, recorded, answer, outcome)
            except TimetracerError as error:
                finding = Finding(name_of(path), plan.titles[path], "failed", error=str(error))
            finding.duration_ms = round((time.perf_counter() - start) * 1000, 3)
            return finding

        with ThreadPoolExecutor(order.workers) as pool:
            waiting = [pool.submit(one, number, path) for number, path in enumerate(plan.cases, 1)]
            for done in as_completed(waiting):
                yield done.result()


# ------------------------------------------------------------------------------------------------ worker processes


def run_application(plan: Plan, app: str, order: Order) -> Iterator[Finding]:
    """Sends every cassette to an application in processes of our own, and gives each finding as it comes.

    Raises:
        ConfigError: the application does not start.
    """
    numbered = [(number, str(path), plan.titles[path]) for number, path in enumerate(plan.cases, 1)]
    count = max(1, min(order.workers, len(numbered)))
    with Inbox() as inbox, tempfile.TemporaryDirectory(prefix="timetracer-runner-") as logs:
        words: queue.Queue[tuple[_Worker, Word | None]] = queue.Queue()
        tasks = [_task(plan, app, order, inbox, numbered[n::count]) for n in range(count)]
        workers = [_Worker(app, task, Path(logs, f"{n}.log")) for n, task in enumerate(tasks)]
        try:
            for worker in workers:
                worker.start(words)
            yield from _listen(workers, words)
        finally:
            for worker in workers:
                worker.end()


def _task(plan: Plan, app: str, order: Order, inbox: Inbox, cases: list[tuple[int, str, str]]) -> Task:
    settings = dict(order.settings)
    plain = [text for text in order.ignored if not is_path(text)]
    if plain:
        settings["match_ignore"] = [*order.config().match_ignore, *plain]
    library = [str(path) for path in plan.library]
    return Task(app, library, cases, settings, inbox.token, list(order.ignored), order.update)


def _listen(workers: list[_Worker], words: queue.Queue[tuple[_Worker, Word | None]]) -> Iterator[Finding]:
    left = len(workers)
    while left:
        worker, word = words.get()
        if word is None:
            yield from worker.lost()
            follower = worker.follower()
            if follower is None:
                left -= 1
            else:
                workers.append(follower)
                follower.start(words)
        elif word.ready:
            worker.ready = True
        elif word.error is not None:
            raise ConfigError("--app", worker.app, f"an application that starts in replay: {word.error}")
        elif word.finding is not None:
            worker.missing.pop(0)
            yield word.finding


class _Worker:
    """One worker process, from its start to its end.

    Attributes:
        missing: the cases that it has not answered yet, in order.
        ready: whether its application has started.
    """

    def __init__(self, app: str, task: Task, log: Path) -> None:
        self.app, self._task, self._log = app, task, log
        self.missing = list(task.cases)
        self.ready = False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, words: queue.Queue[tuple[_Worker, Word | None]]) -> None:
        """Starts the process; what it says comes through `words`, and None when it has ended."""
        environ = settings_of.environment()
        environ |= {name: "none" for name in _EXPORTERS if not environ.get(name)}
        environ |= {"TIMETRACER_MODE": "replay", "TIMETRACER_CASSETTE": self._task.library[0]}
        command = [sys.executable, "-m", "timetracer.runner", self.app]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        threading.Thread(target=self._read, args=(self._process, words), daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes], words: queue.Queue[tuple[_Worker, Word | None]]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        out: IO[bytes] = process.stdout
        try:
            with process.stdin as tell:
                tell.write(msgspec.json.encode(self._task) + b"\n")
        except BrokenPipeError:
            pass  # it ended at once, and its log says why
        for line in out:
            words.put((self, msgspec.json.decode(line, type=Word)))
        process.wait()
        words.put((self, None))

    def lost(self) -> Iterator[Finding]:
        """Gives what the process ended on, if it did not come to the end of its task.

        Raises:
            ConfigError: it did not even start.
        """
        code = self._process.returncode if self._process is not None else None
        if self.missing and not self.ready:
            what = f"an application that starts in replay; it ended with {code}:\n{self._said()}"
            raise ConfigError("--app", self.app, what)
        for _, path, about in self.missing[:1]:
            error = f"the worker process ended with {code} while this was replayed:\n{self._said()}"
            yield Finding(name_of(Path(path)), about, "failed", error=error)

    def follower(self) -> _Worker | None:
        """Returns a worker for what this one did not come to; None if there is nothing left."""
        rest = self.missing[1:]
        if not rest:
            return None
        task = msgspec.structs.replace(self._task, cases=rest)
        return _Worker(self.app, task, self._log.with_name(f"{self._log.stem}x.log"))

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()

    def end(self) -> None:
        """Ends the process, if it runs."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
