"""The contract suite with the releases at both ends of each library's range, and with those in between that differ.

    python -m tests.outbound.versions [--short] [NAME ...]      # httpx, redis, ...; all of them if none is named

Also `pytest -m versions tests/outbound`. The ranges are read from the extras in pyproject.toml, so a range that is
widened is tested from then on. Each edition gets an environment of its own, made once and kept in the cache folder
(TIMETRACER_CACHE, else $XDG_CACHE_HOME/timetracer) by what is installed in it. `--short` replays one variant of five.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.outbound.http_recordings import upstream_addresses
from tests.outbound.suite import ROOT, VARIANTS, Suite
from tests.services import private_folder, start_postgres, start_redis

Servers = Callable[[Path], AbstractContextManager[Mapping[str, str]]]
"""Starts the servers of some steps, with a folder that outlives them; gives their addresses, by name."""

MISFITS = {"builtins.TypeError", "builtins.AttributeError", "builtins.ImportError", "builtins.NameError"}


@contextmanager
def redis(folder: Path) -> Iterator[Mapping[str, str]]:
    """A redis."""
    server = start_redis(folder)
    try:
        yield {"redis": server.url}
    finally:
        server.stop()


@contextmanager
def postgres(_: Path) -> Iterator[Mapping[str, str]]:
    """A PostgreSQL, in a folder that its own account may enter."""
    folder = private_folder()
    folder.chmod(0o711)
    server = start_postgres(folder)
    try:
        yield {"postgres": server.dsn}
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """One library that the guard watches over.

    Args:
        name: of the extra, and of the steps module.
        instrumentors: as in its suite.
        servers: starts what its steps talk to.
        beside: what else its steps import, for every edition.
        beside_oldest: what the oldest release needs besides, that it does not ask for itself.
        oldest: its version, where the low end of the range cannot be installed.
        between: releases to check as well: the ends of each series that does things in a way of its own.
        dress: what makes this line another one than the library's first (`hiredis`).
    """

    name: str
    instrumentors: tuple[str, ...]
    servers: Servers = upstream_addresses
    beside: tuple[str, ...] = ()
    beside_oldest: tuple[str, ...] = ()
    oldest: str = ""
    between: tuple[str, ...] = ()
    dress: str = ""

    def __str__(self) -> str:
        return f"{self.name}-{self.dress}" if self.dress else self.name


# A new library is one line.
LIBRARIES = (
    Library(name="httpx", instrumentors=("httpx",), beside=("brotli", "zstandard")),
    Library(name="httpx2", instrumentors=("httpx2",), beside=("brotli", "zstandard")),
    Library(name="requests", instrumentors=("requests", "urllib3"), beside=("timetracer[urllib3]",)),
    Library(name="urllib3", instrumentors=("urllib3",), beside=("brotli", "zstandard")),
    Library(name="aiohttp", instrumentors=("aiohttp-client",), beside=("brotli",)),
    Library(name="redis", instrumentors=("redis",), servers=redis, between=("5.2.1", "6.4.0", "7.4.1")),
    Library(name="redis", dress="hiredis", instrumentors=("redis",), servers=redis, beside=("redis[hiredis]",)),
    Library(
        name="psycopg",
        instrumentors=("psycopg",),
        servers=postgres,
        beside=("psycopg[binary,pool]",),
        between=("3.1.20", "3.2.1", "3.2.13"),  # 3.2.0 asks for a psycopg-binary that was never published
    ),
)


@dataclass(frozen=True, slots=True)
class Edition:
    """One release of one library."""

    library: Library
    edge: str  # oldest, newest, or a version in between

    def __str__(self) -> str:
        return f"{self.library}-{self.edge}"

    @property
    def wanted(self) -> list[str]:
        """What pip is to install: the library at its edge, our extra for it, what its steps need."""
        ours = [each for each in self.library.beside if each.startswith("timetracer[")]
        extras = ",".join([self.library.name, *(each[11:-1] for each in ours)])
        others = [each for each in self.library.beside if each not in ours]
        return ["-e", f"{ROOT}[{extras}]", *others, *self._pinned()]

    def _pinned(self) -> list[str]:
        if self.edge == "newest":
            return []
        oldest = self.library.oldest or lower_bound(self.library.name)
        pinned = f"{self.library.name}=={oldest if self.edge == 'oldest' else self.edge}"
        return [pinned, *self.library.beside_oldest] if self.edge == "oldest" else [pinned]

    def environment(self) -> Path:
        """Returns the interpreter of this edition's environment, made unless it is there."""
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        # The newest release is another one tomorrow: it is looked for once a day.
        day = time.strftime("%Y-%m-%d") if self.edge == "newest" else ""
        told = repr((version, self.wanted, day, sysconfig.get_platform(), (ROOT / "pyproject.toml").read_bytes()))
        folder = cache() / f"{self}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin" / "pip", "install", "-q", *self.wanted], check=True)
            (folder / "complete").touch()
        return folder / "bin" / "python"

    def release(self, python: Path) -> str:
        """Returns the version that is installed."""
        ask = f"import importlib.metadata as m; print(m.version({self.library.name!r}))"
        return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()

    def check(self, *, short: bool) -> str:
        """Runs the contract suite with this edition; returns what it ran.

        Raises:
            AssertionError: a replay differs; the message says at which step.
        """
        python = self.environment()
        steps = f"tests.outbound.steps.{self.library.name}"
        suite = replace(Suite(steps, instrumentors=self.library.instrumentors), python=str(python), timeout=240)
        variants = VARIANTS[2:3] if short else VARIANTS  # the one in between: recorded with spans, replayed without
        with tempfile.TemporaryDirectory() as folder:
            with self.library.servers(Path(folder)) as addresses:
                sides = {variant.recorded for variant in variants}
                recordings = {s: suite.record(Path(folder), addresses, instrumented=s) for s in sorted(sides)}
            for variant in variants:
                suite.check(recordings, variant)
            seen = next(iter(recordings.values())).outcome["steps"]
        misfits = [name for name, each in seen.items() if each.get("error", {}).get("raised") in MISFITS]
        said = f"{self}: {self.library.name} {self.release(python)}, {len(seen)} steps, {len(variants)} variants"
        return said + (f"; not of this release: {', '.join(misfits)}" if misfits else "")


EDGES = tuple(Edition(library, edge) for library in LIBRARIES for edge in ("oldest", "newest"))
EDITIONS = (*EDGES, *(Edition(library, version) for library in LIBRARIES for version in library.between))


def range_of(name: str) -> str:
    """Returns the range of a library that its extra admits, as it is written: `>=5,<9`."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for requirement in extras[name]:
        if found := re.match(rf"{re.escape(name)}(?:\[[^]]*\])?(>=.+)", requirement):
            return found[1]
    raise LookupError(f"the extra {name} names no lowest version of {name}")


def lower_bound(name: str) -> str:
    """Returns the lowest version of a library that its extra admits."""
    return range_of(name).partition(",")[0].removeprefix(">=")


def cache() -> Path:
    """Returns the folder that outlives a run."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TIMETRACER_CACHE") or Path(base, "timetracer"))


def main() -> int:
    """Checks what the command line names; returns how many editions failed."""
    parser = argparse.ArgumentParser(description="The contract suite at both ends of every range.")
    parser.add_argument("names", nargs="*", choices=[*(library.name for library in LIBRARIES), []])
    parser.add_argument("--short", action="store_true", help="one variant for each edition instead of five")
    options = parser.parse_args()
    failed = 0
    for edition in EDITIONS:
        if options.names and edition.library.name not in options.names:
            continue
        started = time.monotonic()
        try:
            said = edition.check(short=options.short)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            said = f"{edition}: FAILED\n{error}"
        print(f"{said} ({time.monotonic() - started:.0f} s)", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
