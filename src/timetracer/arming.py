"""Arms every Python process of the environment before its first line of app code, or ends it with the reason.

OpenTelemetry's launcher swallows errors of start-up and then runs the app as if nothing were, so a replay would talk to
live servers. The `.pth` file of this package therefore calls `arm` in every interpreter that has TIMETRACER_MODE set:

    site: .pth files (`arm`)  ->  sitecustomize (the launcher's start-up)  ->  app code (here it is decided)

Imported by every such interpreter, so at import it takes nothing but `os` and `sys`.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any

_APP_CODE = frozenset(
    {
        "cpython.run_command",
        "cpython.run_file",
        "cpython.run_interactivehook",
        "cpython.run_module",
        "cpython.run_startup",
        "cpython.run_stdin",
    }
)
"""Raised by CPython right before it runs what it was started for (https://docs.python.org/3/library/audit_events.html)."""

_WATCHED = _APP_CODE | {"import", "socket.connect"}
"""Of the 15,000 events of a start; to ask `_Watch` about all of them took 8 ms."""

_LAUNCHER = "opentelemetry.instrumentation.auto_instrumentation"
_TOOL_MODULES = frozenset({"ensurepip", "pip", "timetracer", "timetracer.cli", "timetracer.runner", "venv"})
_TOOL_SCRIPTS = ("opentelemetry-bootstrap", "opentelemetry-instrument", "pip", "timetracer")
_TOOL_FILES = ("/pip/__pip-runner__.py", "/pyproject_hooks/_in_process/_in_process.py")
_TRACKER = "from multiprocessing.resource_tracker import main"

USAGE, BAD_CASSETTE = 2, 3
"""Exit codes, those of the command line."""


class _Watch:
    """Sees the launcher start and fail, and app code about to run.

    Args:
        mode: TIMETRACER_MODE in lower case; whatever is not `record` fails closed.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.waiting = True
        self.launched = False
        self.reason: BaseException | None = None

    def see(self, event: str, args: tuple[Any, ...]) -> None:
        """Takes an audit event that came before app code ran."""
        if event == "import":
            if args[0] == _LAUNCHER and not self.launched:
                self.launched = True
                self._listen()
        elif event in _APP_CODE:
            self.waiting = False
            if not _is_tool(event, args):
                self._arm()
        elif event == "socket.connect" and not self.launched:
            # No event announces app code where Python is embedded (uWSGI, mod_wsgi).
            self.waiting = False
            self._arm()

    def _listen(self) -> None:
        """Learns why the launcher failed: it logs the exception and tells nobody else."""
        with _LastWord(self):
            import logging

            from timetracer.telemetry.distro import set_protocol_default

            for name in (_LAUNCHER, f"{_LAUNCHER}._load"):
                logging.getLogger(name).addFilter(self._noted)
            set_protocol_default()  # here, for another distribution may come before ours

    def _noted(self, record: Any) -> bool:
        if not record.exc_info:
            return True
        if self.reason is None:
            self.reason = record.exc_info[1]
        # Else the process ends with the reason: no traceback before it.
        return self.mode == "record" or (_armed() and not _is_ours(record.exc_info[1]))

    def _arm(self) -> None:
        with _LastWord(self):
            armed = _armed()
            if armed and self.reason is None:
                return
            if self.reason is not None and not armed and self.mode != "record":
                raise self.reason
            if self.reason is not None and not _is_ours(self.reason):
                _say(f"OpenTelemetry did not start in full, so there may be no spans: {_told(self.reason)}")
            from timetracer import runtime

            if not armed:
                runtime.pre_instrument()
            runtime.post_instrument()
            if not runtime.armed() and self.mode != "record":
                raise RuntimeError("timetracer.runtime did not start")


def _armed() -> bool:
    present: Any = sys.modules.get("timetracer.runtime")
    return present is not None and bool(present.armed())


class _LastWord:
    """Ends the process with the reason where start-up failed; a recording is given up instead, and the app goes on."""

    def __init__(self, watch: _Watch) -> None:
        self.watch = watch

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if self.watch.mode == "record":
            if isinstance(error, Exception):
                _say(f"nothing is recorded, for start-up failed: {_told(error)}")
            return isinstance(error, Exception)
        _say(f"TIMETRACER_MODE={self.watch.mode}, and start-up failed before any app code ran: {_told(error)}")
        os._exit(_exit_code(error))


def _told(error: BaseException) -> str:
    """Returns what happened in one paragraph; of OpenTelemetry's own errors also the variable that they are about."""
    text = str(error)
    if _is_ours(error, "CassetteError"):
        from timetracer.config import TraceConfig

        place = TraceConfig.from_env().replay_from
        return text if place in text else f"{place}: {text}"
    if not _is_ours(error):
        text = f"{type(error).__name__}: {text}"
    hint = ""
    if "opentelemetry_" in text:
        group = text.partition("opentelemetry_")[2].partition("'")[0]
        hint = f" (see OTEL_{group.upper()})"
        if "otlp_proto" in text:
            hint = " (see OTEL_EXPORTER_OTLP_PROTOCOL: the exporter for this protocol is not installed)"
    elif "protocol" in text.lower():
        hint = " (see OTEL_EXPORTER_OTLP_PROTOCOL)"
    cause = error.__cause__
    return text + hint + (f"\n  because of {type(cause).__name__}: {cause}" if cause is not None else "")


def _is_ours(error: BaseException, name: str = "TimetracerError") -> bool:
    errors: Any = sys.modules.get("timetracer.errors")
    return errors is not None and isinstance(error, getattr(errors, name))


def _exit_code(error: BaseException) -> int:
    return BAD_CASSETTE if _is_ours(error, "CassetteError") else USAGE


def _say(text: str) -> None:
    os.write(2, f"timetracer: {text}\n".encode(errors="backslashreplace"))


def _is_tool(event: str, args: tuple[Any, ...]) -> bool:
    """Whether what is about to run is no app code: the launcher (it starts the app anew), our CLI, pip and venv."""
    what = str(args[0]) if args else ""
    if event == "cpython.run_module":
        return what.partition(".__main__")[0] in _TOOL_MODULES
    if event == "cpython.run_command":
        return what.startswith(_TRACKER)  # multiprocessing's own helper process
    if event != "cpython.run_file":
        return False
    path = os.path.realpath(what)
    name = os.path.basename(what).removesuffix(".exe").removesuffix("-script.py")
    if name.rstrip("0123456789.") not in _TOOL_SCRIPTS:
        return path.replace(os.sep, "/").endswith(_TOOL_FILES)
    return os.path.dirname(path) in _script_folders()


def _script_folders() -> set[str]:
    """Returns where installers put console scripts: an app's own file may be called `pip` elsewhere."""
    import site
    import sysconfig

    folders = [os.path.dirname(sys.executable), sysconfig.get_path("scripts"), os.path.join(site.getuserbase(), "bin")]
    return {os.path.realpath(folder) for folder in folders}


_watch: _Watch | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in _WATCHED and _watch is not None and _watch.waiting:
        _watch.see(event, args)


def replaying() -> bool:
    """Tells whether this process must not go on where start-up fails."""
    return _watch is None or _watch.mode != "record"


def arm(mode: str) -> None:
    """Watches for app code from now on; a second call does nothing.

    An audit hook cannot be taken away again, so it is there once and does next to nothing after app code began.

    Args:
        mode: what TIMETRACER_MODE says, in lower case and not `off`.
    """
    global _watch
    if _watch is None:
        _watch = _Watch(mode)
        sys.addaudithook(_hook)
