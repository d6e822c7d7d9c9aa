"""One server process of the tests: started, waited for, paused, and ended by its pid whatever becomes of the tests."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from random import SystemRandom
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

START_SECONDS = 30.0
STOP_SECONDS = 5.0


class ServerProcess:
    """Owns one process: its command, its log, its life."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        ready: Callable[[], bool],
        folder: Path,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        account: pwd.struct_passwd | None = None,
        stop_signal: Signals = SIGTERM,
    ) -> None:
        """Describe the process; `start` starts it.

        Args:
            name: what messages call it.
            command: program and arguments.
            ready: tells whether it answers; an OSError means not yet.
            folder: where its log goes, and its working directory unless `directory` is given.
            directory: its working directory.
            environment: variables added to ours; ours come without TIMETRACER_* and OTEL_*, which are the tests' own.
            account: runs the process as somebody else (only root can).
            stop_signal: what asks it to end.
        """
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [*_dies_with_us(stop_signal), *command]
        self._ready = ready
        self._directory = directory or folder
        self._account = account
        self._stop_signal = stop_signal
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("TIMETRACER_", "OTEL_"))}
        self._environment = ours | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; asking a stopped server for it is an error."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and wait until it answers. Nothing happens if it runs."""
        if self.running:
            return
        self._reap()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._directory,
                env=self._environment, start_new_session=True,
                user=self._account.pw_uid if self._account else None,
                group=self._account.pw_gid if self._account else None,
                extra_groups=[] if self._account else None,
            )  # fmt: skip
        _running[self] = os.getpid()
        try:
            wait_until(self._answers, START_SECONDS, f"{self.name} to answer")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask the process to end, make it end, and reap it. Nothing happens if it does not run."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            # A paused process acts on no signal but this.
            self._process.send_signal(SIGCONT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.send_signal(SIGKILL)
                self._process.wait()
        self._reap()

    def pause(self) -> None:
        os.kill(self.pid, SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, SIGCONT)

    def _answers(self) -> bool:
        if not self.running:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} ended before it answered; its log ends:\n{tail}")
        return self._ready()

    def _reap(self) -> None:
        self._process = None
        _running.pop(self, None)


def wait_until(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `done` says yes; an OSError counts as no. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if done():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


_PORTS = range(12_000, 32_768)
"""Below those that kernels give to outgoing connections: a server that was stopped finds its own port free again."""


def free_ports(count: int) -> list[int]:
    """Find distinct free loopback ports: all are held at once before any is let go."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port, holder = SystemRandom().choice(_PORTS), held.enter_context(socket.socket())
            with suppress(OSError):
                holder.bind(("127.0.0.1", port))
                ports.append(port)
        return ports


def _dies_with_us(signal: Signals) -> list[str]:
    # The kernel ends the server when the tests are killed and have no chance to. setpriv belongs to every Debian; it
    # sets this as its last step before exec, so neither a change of account nor a preexec_fn comes in between.
    setpriv = shutil.which("setpriv", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    return [setpriv, "--pdeathsig", signal.name.removeprefix("SIG"), "--"] if setpriv else []


_running: dict[ServerProcess, int] = {}


@atexit.register
def _stop_what_still_runs() -> None:
    for process, owner in list(_running.items()):
        # A forked child inherits this list, but not the processes.
        if owner == os.getpid():
            process.stop()
