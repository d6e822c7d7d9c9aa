"""A PostgreSQL server inside this process that gives the answers it is fed: libpq reads nothing but sockets.

Each connection has a peer of its own: a thread and a unix socket in a private folder, both gone when the connection
is. The peer decides nothing. Before a statement is sent, its answer is fed; the peer gives it when the statement comes.
"""

from __future__ import annotations

import atexit
import os
import re
import selectors
import shutil
import socket
import struct
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from logging import getLogger
from pathlib import Path
from typing import Any, ClassVar

from timetracer.outbound import postgres_wire as wire
from timetracer.outbound.postgres_wire import Result

_LOG = getLogger(__name__)
_TO_SAVEPOINT = re.compile(r"\brollback\s+(?:work\s+|transaction\s+)?to\b", re.IGNORECASE)
_COMMIT = re.compile(r"\s*(?:commit|end|prepare\s+transaction)\b", re.IGNORECASE)
_CHAIN = re.compile(r"\band\s+chain\b", re.IGNORECASE)
_WAIT_FOR_CLIENT, _WAIT_FOR_CANCEL = 60.0, 5.0

SETTINGS: Mapping[str, str] = {
    "server_version": "15.0",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "integer_datetimes": "on",
    "standard_conforming_strings": "on",
}
"""What a server says of itself where nothing better is known."""


class Peer:
    """One connection's server: `feed` it before each statement.

    Args:
        settings: the parameter statuses that the server reports.
        address: where the server is that this one stands for.
        begun: the status that a transaction has at first: `I` for none, `T`, or `E` for a failed one.

    Attributes:
        home: whatever its maker keeps of the server that it stands for.
        refusing: a statement of the pipeline failed, so all others are skipped up to its end.
    """

    home: Any = None
    refusing = False
    _cancelled = False
    _numbers = cycle(range(1, 65536))  # of ports, for libpq
    _open: ClassVar[dict[int, Peer]] = {}

    def __init__(self, settings: Mapping[str, str], address: Mapping[str, str], *, begun: bytes = b"I") -> None:
        self.settings, self.address, self.begun = settings, address, begun
        self.number = next(number for number in self._numbers if number not in self._open)
        self.folder, self._process = tempfile.mkdtemp(prefix="timetracer-pg-"), os.getpid()
        self._conversation = Conversation(settings, self.number, begun)
        self._fed: deque[Sequence[Result]] = deque()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self.folder, f".s.PGSQL.{self.number}")))
        self._listener.listen(4)
        self._wake, self._woken = socket.socketpair()
        self._client: socket.socket | None = None
        self._unsaid = b""
        self._waits: float | None = None
        self._open[self.number] = self
        threading.Thread(target=self._run, name=f"timetracer-postgres-{self.number}", daemon=True).start()

    @classmethod
    def of(cls, pgconn: Any) -> Peer | None:
        """Returns the open peer that libpq is connected to: a peer's number is its port."""
        number = int(pgconn.port)
        peer = cls._open.get(number)
        return peer if peer is not None and pgconn.host == peer.folder.encode() else None

    @classmethod
    def leave_no_folder(cls) -> None:
        """Takes the folders of connections away that are open when the process ends: no thread of theirs runs on."""
        for peer in list(cls._open.values()):
            if peer._process == os.getpid():  # not a parent's
                shutil.rmtree(peer.folder, ignore_errors=True)

    def feed(self, results: Sequence[Result], *, in_pipeline: bool = False) -> None:
        """Takes the results of the next statement that will come; nothing for one that will be skipped."""
        if self.refusing:
            return
        self.refusing = in_pipeline and any("error" in each for each in results)
        self._cancelled = False
        self._conversation.answers.append(results)

    def push(self, results: Sequence[Result]) -> None:
        """Takes results of the statement that is running (a stream, a COPY), and gives them at once."""
        self._fed.append(results)
        self._wake.send(b"\0")

    def cancel(self) -> None:
        """Gives at once the answer that only came through a cancel."""
        self._cancelled = True
        with suppress(OSError):  # the connection is closed
            self._wake.send(b"\0")

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ, self._accept)
                selector.register(self._woken, selectors.EVENT_READ, self._give_pushed)
                self._serve(selector)
        except ConnectionError:
            pass  # the client left while it was told something
        except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as error:
            _LOG.warning("the stand-in PostgreSQL peer gave up: %s", type(error).__name__)
        finally:  # libpq waits for ever on a socket that stays open
            self._open.pop(self.number, None)
            for each in (self._client, self._listener, self._wake, self._woken):
                if each is not None:
                    each.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _serve(self, selector: selectors.BaseSelector) -> None:
        going = True
        while going:
            ready = selector.select(_WAIT_FOR_CLIENT if self._client is None else self._waits)
            if not ready and self._client is None:
                return
            if not ready:  # nobody cancels it this time
                self._give()
            for key, _ in ready:
                going = key.data(selector) and going

    def _accept(self, selector: selectors.BaseSelector) -> bool:
        accepted, _ = self._listener.accept()
        if self._client is not None:  # a second connection can only ask to cancel what the first one runs
            with accepted:
                accepted.settimeout(_WAIT_FOR_CANCEL)
                accepted.recv(64)
            return True
        self._client = accepted
        selector.register(accepted, selectors.EVENT_READ, self._hear)
        return True

    def _hear(self, selector: selectors.BaseSelector) -> bool:
        assert self._client is not None
        data = self._client.recv(65536)
        if not data:
            return False
        self._send(self._conversation.hear(data))
        return not self._conversation.over

    def _give_pushed(self, selector: selectors.BaseSelector) -> bool:
        self._woken.recv(4096)
        if self._cancelled and self._conversation.heeds_cancel:
            self._give()
        while self._fed:
            self._send(self._conversation.push(self._fed.popleft()))
        return not self._conversation.over

    def _send(self, data: bytes) -> None:
        """Says it; only later where it is the answer to a statement that has yet to be cancelled."""
        self._unsaid += data
        if self._conversation.waits is not None:
            self._waits, self._conversation.waits = self._conversation.waits, None
        if self._waits is None or (self._cancelled and self._conversation.heeds_cancel):
            self._give()

    def _give(self) -> None:
        data, self._unsaid, self._waits = self._unsaid, b"", None
        if data and self._client is not None:
            self._client.sendall(data)


atexit.register(Peer.leave_no_folder)


class Conversation:
    """What the server says to what the client says: a state machine without I/O.

    Args:
        settings: the parameter statuses to report.
        pid: the backend's process id to report.
        status: of the transaction, to begin with.
    """

    def __init__(self, settings: Mapping[str, str], pid: int, status: bytes = b"I") -> None:
        self.answers: deque[Sequence[Result]] = deque()
        self.over = False
        self.waits: float | None = None  # seconds for which a cancel is waited for before all this is said
        self.heeds_cancel = True  # else the client left before it was answered
        self._settings = dict(settings)
        self._before = dict(settings)  # the transaction
        self._pid = pid
        self._frames = wire.Frames()
        self._out: list[bytes] = []
        self._status = status
        self._skipping = False
        self._statements: dict[str, str] = {}
        self._portals: dict[str, str] = {}
        self._running = ""  # the statement that streams its rows or copies
        self._synced = False  # the client's Sync came before the stream's end
        self._copying = ""
        self._kinds: Mapping[bytes, Callable[[bytes], None]] = {
            b"": self._start, b"Q": self._query, b"P": self._parse, b"B": self._bind, b"D": self._describe,
            b"E": self._execute, b"S": self._sync, b"C": self._close, b"H": self._ignore, b"d": self._ignore,
            b"c": self._ignore, b"f": self._ignore, b"X": self._end,
        }  # fmt: skip

    def hear(self, data: bytes) -> bytes:
        """Takes bytes of the client and returns those of the server."""
        for kind, body in self._frames.feed(data):
            if not self._skipping or kind in (b"S", b"X"):
                self._kinds[kind](body)
        return self._said()

    def push(self, results: Sequence[Result]) -> bytes:
        """Gives the next part of the running statement: data, rows, its end or its error."""
        for result in results if self._running else ():
            if "data" in result:
                self._say(wire.message(b"d", wire.to_bytes(result["data"])))
            elif "error" in result:
                self._fail(result)
                self._stop_running()
            elif "streams" in result:
                self._say(*wire.data_rows(result))
            else:
                if self._copying == "out":
                    self._say(wire.message(b"c"))
                self._complete(result, self._running)
                self._stop_running()
        return self._said()

    def _say(self, *messages: bytes) -> None:
        self._out.extend(messages)

    def _said(self) -> bytes:
        said = b"".join(self._out)
        self._out.clear()
        return said

    def _ready(self) -> None:
        self._say(wire.message(b"Z", self._status))

    def _start(self, body: bytes) -> None:
        (code,) = struct.unpack_from("!i", body)
        if code in (wire.SSL_REQUEST, wire.GSS_REQUEST):
            self._say(b"N")
            return
        if code == wire.CANCEL_REQUEST:
            self.over = True
            return
        self._say(wire.message(b"R", struct.pack("!i", 0)), wire.parameter_status(self._settings))
        self._say(wire.message(b"K", struct.pack("!ii", self._pid, 0)))
        self._ready()

    def _next(self) -> Sequence[Result]:
        if self.answers:
            return self.answers.popleft()
        text = "timetracer: no answer was fed for this statement"
        return ({"error": {"severity": "ERROR", "sqlstate": "XX000", "message_primary": text}},)

    def _query(self, body: bytes) -> None:
        sql, _ = wire.text_at(body)
        results = self._next()
        self._synced = True
        for result in results:
            if "error" in result:
                self._fail(result, sql)
                self._skipping = False
                break
            if self._begin_running(result, sql):
                return
            if result.get("columns") is not None:
                self._say(wire.row_description(result), *wire.data_rows(result))
            self._complete(result, sql)
        if not self.over:
            self._ready()

    def _parse(self, body: bytes) -> None:
        name, position = wire.text_at(body)
        self._statements[name], _ = wire.text_at(body, position)
        failed = bool(self.answers) and len(self.answers[0]) == 1 and "error" in self.answers[0][0]
        answer = self.answers.popleft() if failed or (name and self.answers) else ()  # PREPARE has an answer of its own
        if failed:
            self._fail(answer[0], self._statements[name])
        else:
            self._say(wire.message(b"1"))

    def _bind(self, body: bytes) -> None:
        portal, position = wire.text_at(body)
        statement, _ = wire.text_at(body, position)
        self._portals[portal] = self._statements.get(statement, "")
        self._say(wire.message(b"2"))

    def _describe(self, body: bytes) -> None:
        name, _ = wire.text_at(body, 1)
        if name and body[:1] == b"P":  # a server-side cursor: this is the statement itself
            (result,) = self._next()
            if "error" in result:
                self._fail(result)
            else:
                self._say(wire.row_description(result))
            return
        results = self.answers[0] if self.answers else ()
        self._say(wire.row_description(results[0]) if results else wire.message(b"n"))

    def _execute(self, body: bytes) -> None:
        portal, _ = wire.text_at(body)
        sql = self._portals.get(portal, "")
        for result in self._next():
            if "error" in result:
                self._fail(result, sql)
                return
            self._synced = False
            if self._begin_running(result, sql):
                return
            self._say(*wire.data_rows(result))
            self._complete(result, sql)

    def _sync(self, body: bytes) -> None:
        if self._running:
            self._synced = True
            return
        self._skipping = False
        self._ready()

    def _close(self, body: bytes) -> None:
        if self.answers:
            self.answers.popleft()
        self._say(wire.message(b"3"))

    def _ignore(self, body: bytes) -> None:
        """A Flush needs nothing, as nothing is held back; copied data was compared before it was sent."""

    def _end(self, body: bytes) -> None:
        self.over = True

    def _begin_running(self, result: Result, sql: str) -> bool:
        if "copy" in result:
            self._say(wire.copy_response(result))
        elif "streams" in result:
            self._say(*wire.data_rows(result))
        else:
            return False
        self._running, self._copying = sql or " ", result.get("copy", "")
        return True

    def _stop_running(self) -> None:
        self._running = ""
        if self._synced:
            self._skipping = False
            self._ready()

    def _notice(self, result: Result) -> None:
        self._say(*(wire.error_response(each, b"N") for each in result.get("notices", ())))

    def _complete(self, result: Result, sql: str) -> None:
        self._notice(result)
        tag = str(result.get("status") or "")
        settings: Mapping[str, Any] = result.get("settings") or {}
        changed = {name: text for name, text in settings.items() if self._settings.get(name) != text}
        self._settings.update(changed)
        self._say(wire.parameter_status(changed), wire.complete(result))
        if tag in ("BEGIN", "START TRANSACTION"):
            self._before = dict(self._settings)
        if tag in ("BEGIN", "START TRANSACTION") or (tag == "ROLLBACK" and _TO_SAVEPOINT.search(sql)):
            self._status = b"T"
        elif tag in ("COMMIT", "ROLLBACK", "PREPARE TRANSACTION"):
            self._status = b"T" if _CHAIN.search(sql) else b"I"

    def _fail(self, result: Result, sql: str = "") -> None:
        self._notice(result)
        self.waits, self.heeds_cancel = result.get("cancelled"), "unanswered" not in result
        if fields := result["error"]:
            self._say(wire.error_response(fields))
        self._skipping = True
        if self._status == b"T":  # what the transaction set is gone
            self._say(wire.parameter_status(dict(self._before.items() - self._settings.items())))
            self._settings.update(self._before)
            self._status = b"I" if _COMMIT.match(sql) else b"E"
        self.over = not fields or fields.get("severity_nonlocalized") in ("FATAL", "PANIC")
