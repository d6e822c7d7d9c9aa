"""From a finished session to a file: encode, redact, write, on the writer's thread; and from a file to a card."""

from __future__ import annotations

import hashlib
import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from timetracer.cassette.model import Body, Cassette
from timetracer.cassette.writer import Writer
from timetracer.config import TraceConfig
from timetracer.engine.guard import guard, say_once
from timetracer.engine.measures import MEASURES
from timetracer.engine.recording import Recording
from timetracer.errors import CassetteCorrupt, CassetteError, CassetteNotFound, ConfigError
from timetracer.runtime.secrets import Secrets

# What writes cassettes is imported with the first one, on the writer's thread, and matching with the first one read:
# to import them at the start cost it 6 ms and 15 ms. Redaction is imported likewise, by `secrets`.
# That may be at exit, so no dataclass or named tuple is there: where text is run as code (`run_eval_code_obj`), CPython
# forgets that SIGINT ended the process: https://github.com/python/cpython/blob/v3.11.7/Python/pythonrun.c
_IMPORTED_LATE = ("bodies", "coded", "format", "redaction", "store")
if TYPE_CHECKING:
    from timetracer.cassette.redaction import Redacted
    from timetracer.engine.cards import Card
    from timetracer.engine.selection import Library


def get_ready() -> None:
    """Imports what writes cassettes: before a fork, or each child would, and wait for ever for what a thread was at."""
    for name in _IMPORTED_LATE:
        importlib.import_module(f"timetracer.cassette.{name}")


class Pipeline:
    """Writes the sessions of this process.

    Attributes:
        writer: the thread that does it, and the count of bytes on their way.
    """

    def __init__(self, config: TraceConfig) -> None:
        self.config = config
        _local("TIMETRACER_CASSETTE_DIR", config.cassette_dir)
        self.secrets = Secrets(config)
        self.writer: Writer[Recording] = Writer(
            self._handle,
            limit_bytes=config.queue_mb * 1024 * 1024,
            guard=lambda: guard("writing a cassette"),
            on_drop=self._dropped,
        )

    def take(self, session: Recording) -> None:
        """Takes over a finished session; returns at once."""
        with guard("handing a session over"):
            if not self.writer.put(session, session.size(), counted=session.counted()):
                session.let_go()

    def _dropped(self, size: int) -> None:
        MEASURES.dropped_cassettes += 1
        say_once(
            "dropped",
            "a cassette of %d bytes was dropped: TIMETRACER_QUEUE_MB is full (further ones are counted)",
            size,
        )

    def _handle(self, session: Recording) -> None:
        try:
            self.write(session)
        except CassetteError as error:
            MEASURES.dropped_cassettes += 1
            say_once(
                "unwritten",
                "%s; TIMETRACER_CASSETTE_DIR is %s, and must be a folder that can be written (more are counted)",
                error,
                self.config.cassette_dir,
            )
        except Exception:
            MEASURES.dropped_cassettes += 1
            raise
        finally:
            session.let_go()

    def write(self, session: Recording) -> Path:
        """Writes a session now.

        Raises:
            CassetteError: the file cannot be written.
        """
        return self.save(session.cassette(), Path(session.path) if session.path is not None else None)

    def save(self, cassette: Cassette, path: Path | None = None) -> Path:
        """Writes a cassette, its secrets dealt with, and returns where to; without a path it is named by what it holds.

        Raises:
            CassetteError: the file cannot be written.
        """
        from timetracer.cassette import bodies, coded, format, store

        limit = self.config.inline_body_kb * 1024
        large = [sum(map(len, body.raw or ())) > limit for body in bodies.each(cassette)]
        coded_before = coded.opened(cassette)
        apart = bodies.set_apart(cassette, limit, self.secrets.harmless) if any(large) else []
        hidden = self.secrets.hidden(cassette)
        if any(coded_before):
            coded.closed(hidden.cassette, coded_before, hidden.body, hidden.seal)
        for body, is_large, out in zip(bodies.each(hidden.cassette), large, apart, strict=True) if apart else ():
            if out is not None:
                clean = partial(hidden.body, harmless=out.harmless)
                body.raw, body.chunks = bodies.changed(out.chunks, clean), None
            elif is_large and body.raw is None:
                body.raw = bodies.changed(bodies.unpack(body, recoding=False), hidden.body)
        del cassette, apart
        _sign(hidden)
        if path is None:
            folder, compression = self.config.cassette_dir, self.config.compression
            path = store.cassette_path(folder, hidden.cassette, compression=compression, shown=hidden.text)

        def dump(written: Cassette) -> bytes:
            return hidden.document(written, format.dump)

        store.write_cassette(hidden.cassette, path, inline_limit=limit, dump=dump, transform=self.secrets.closed)
        MEASURES.cassettes += 1
        if self.config.export_payloads:
            from timetracer import telemetry

            telemetry.export_exchanges(store.read_cassette(path, transform=self.secrets.decrypted, side_files=False))
        return path


def _sign(hidden: Redacted) -> None:
    """Writes the hash of each request's body into its signature: of what is written, so that none tells a secret."""
    from timetracer.cassette import bodies, coded

    for event in hidden.cassette.events:
        body = event.request.body
        if body is not None and not coded.sealed(body.base64 or ""):
            sent = b"".join(bodies.unpack(body, recoding=False))
            event.signature.body_hash = hashlib.sha256(hidden.body(sent, harmless=True)).hexdigest()


def read_card(path: Path, config: TraceConfig) -> Card:
    """Reads one cassette, ready to answer.

    Raises:
        CassetteError: it cannot be read.
    """
    secrets = Secrets(config)
    read = _read_card(path, config, secrets)
    secrets.report(read.name)
    return read


def _read_card(path: Path, config: TraceConfig, secrets: Secrets) -> Card:
    from timetracer.cassette import format, store
    from timetracer.engine.selection import card, name_of

    cassette = store.read_cassette(path, transform=secrets.opened)
    secrets.look_at(cassette)
    try:
        format.check(cassette)
    except CassetteCorrupt as error:
        raise CassetteCorrupt(f"{path}: {error}") from error.__cause__
    try:
        return card(name_of(path), cassette, _raw, frozenset(config.match_ignore))
    except UnicodeEncodeError as error:
        raise CassetteCorrupt(f"{path}: the cassette is broken: {error.reason}") from error


def _raw(body: Body) -> list[bytes]:
    """Returns the chunks of a body, worked out once."""
    from timetracer.cassette import bodies

    if body.raw is None:
        body.raw = bodies.unpack(body)
    return body.raw


def read_library(where: str, config: TraceConfig) -> Library:
    """Reads the cassettes of a file or folder.

    Raises:
        CassetteNotFound: there is none.
        CassetteError: one cannot be read.
    """
    from timetracer.cassette import store
    from timetracer.engine.selection import Library, name_of

    _local("TIMETRACER_CASSETTE", where)
    path = Path(where)
    found = store.find_cassettes(path)
    if not found:
        raise CassetteNotFound(f"there is no cassette in {name_of(path)}")
    secrets = Secrets(config)
    library = Library((_read_card(each, config, secrets) for each in found), name_of(path))
    secrets.report(library.looked_in)
    return library


def _local(name: str, where: str) -> None:
    """Raises ConfigError for a URL: object stores are not supported yet, and no folder is called that."""
    if "://" in where:
        raise ConfigError(name, where, "a local file or folder; object stores are not supported yet")
