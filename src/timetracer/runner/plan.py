"""Which cassettes are sent again: those of HTTP requests; those of processes stand by, anything else is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from timetracer.cassette import store
from timetracer.cassette.model import Cassette
from timetracer.config import TraceConfig
from timetracer.engine.selection import name_of
from timetracer.errors import CassetteError, CassetteNotFound
from timetracer.runner.findings import Finding
from timetracer.runtime.secrets import Secrets


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        cases: the cassettes that are sent, oldest first.
        titles: how reports call each of those.
        library: all that can answer, those of processes among them.
        skipped: what cannot be sent, each with the reason.
        bad: cassettes that cannot be read, each with the error.
    """

    cases: tuple[Path, ...]
    library: tuple[Path, ...]
    skipped: tuple[Finding, ...]
    bad: tuple[tuple[Path, str], ...]
    titles: Mapping[Path, str]


def make(paths: Iterable[Path], config: TraceConfig) -> Plan:
    """Looks through files and folders.

    Raises:
        CassetteNotFound: a path does not exist, or there is no cassette at all.
    """
    found = list(dict.fromkeys(file.resolve() for path in paths for file in store.find_cassettes(path)))
    if not found:
        raise CassetteNotFound(f"there is no cassette in {', '.join(str(path) for path in paths)}")
    secrets = Secrets(config)
    cases: list[tuple[str, Path]] = []
    titles: dict[Path, str] = {}
    library: list[Path] = []
    skipped: list[Finding] = []
    bad: list[tuple[Path, str]] = []
    for path in found:
        try:
            cassette = store.read_cassette(path, transform=secrets.opened, side_files=False)
        except CassetteError as error:
            bad.append((path, str(error)))
            continue
        library.append(path)
        reason = _unfit(cassette)
        if reason:
            skipped.append(Finding(name_of(path), title(cassette), "skipped", notes=[reason]))
        elif cassette.inbound is not None:
            cases.append((cassette.trace.start, path))
            titles[path] = title(cassette)
    return Plan(tuple(path for _, path in sorted(cases)), tuple(library), tuple(skipped), tuple(bad), titles)


def title(cassette: Cassette) -> str:
    """Returns how reports call a cassette."""
    inbound = cassette.inbound
    return f"{inbound.method} {inbound.target}" if inbound is not None else "calls outside any request"


def _unfit(cassette: Cassette) -> str:
    """Returns why a cassette cannot be sent; an empty text if it can, or is a process's."""
    inbound = cassette.inbound
    if inbound is None:
        return ""
    if inbound.type != "http.server":
        return f"{inbound.type} is no HTTP request"
    sent = inbound.request.body
    if sent is not None and inbound.incomplete and sent.end != "complete":
        return f"its request was not recorded in full: {inbound.incomplete}"
    return ""
