"""`timetracer validate`: reads cassettes as a replay would, to the last value, and names what is broken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from timetracer import values
from timetracer.cassette import bodies
from timetracer.cassette.model import Cassette, Event
from timetracer.cli import BAD_CASSETTE, cassettes, terminal
from timetracer.cli.options import json_option
from timetracer.config import TraceConfig
from timetracer.errors import TimetracerError

Check = tuple[str, Callable[[], Any]]


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def command(settings: Any, paths: tuple[Path, ...], as_json: bool) -> None:
    """Check the cassettes at PATHS (files or folders): read, decode, index.

    Without PATHS: those of TIMETRACER_CASSETTE_DIR. Exits with 3 if one is broken.
    """
    config = cassettes.configuration(settings)
    sys.path.insert(0, "")  # values may be of the app's own classes, which lie here as for uvicorn or gunicorn
    results = [(path, problems(path, config)) for path in cassettes.found(paths, config)]
    broken = [(path, found) for path, found in results if found]
    if as_json:
        listed = [{"file": str(path), "problems": found} for path, found in results]
        terminal.print_json({"valid": not broken, "checked": len(results), "cassettes": listed})
    else:
        for path, found in broken:
            for problem in found:
                terminal.print_error(terminal.of_file(str(path), problem))
        out = terminal.console()
        out.print(terminal.styled(f"{len(results)} checked, {len(broken)} broken", "red" if broken else "green"))
    if broken:
        raise SystemExit(BAD_CASSETTE)


def problems(path: Path, config: TraceConfig) -> list[str]:
    """Returns what is broken in one cassette, in words that name the place; empty for nothing."""
    try:
        cassette = cassettes.read(path, config, side_files=True)
    except TimetracerError as error:
        return [str(error)]
    found = []
    for place, check in _checks(path, cassette, config):
        try:
            check()
        except TimetracerError as error:
            found.append(f"{place}: {error}")
    return found


def _checks(path: Path, cassette: Cassette, config: TraceConfig) -> Iterator[Check]:
    if cassette.inbound is not None:
        yield from _of_call("inbound", cassette.inbound)
        yield from _each("inbound", map(_asked, cassette.inbound.fields.values()))
    for event in cassette.events:
        yield from _of_event(f"event {event.eid}", event)
    for digest, event in cassette.shared.items():
        yield from _of_event(f"shared event {digest}", event)
    for draw in cassette.draws:
        yield from _each(f"draws of {draw.source}", draw.values)
    from timetracer.engine.selection import card  # brings the engine: not for --help

    yield "index", lambda: card(str(path), cassette, bodies.unpack, frozenset(config.match_ignore))


def _of_event(place: str, event: Event) -> Iterator[Check]:
    yield from _each(place, map(_asked, event.signature.fields.values()))
    yield from _of_call(place, event)


def _of_call(place: str, call: Any) -> Iterator[Check]:
    result = call.result
    yield from _each(place, [result.value, result.error, *(result.replies or [])])
    if result.items is not None:
        yield from _each(f"{place}, rows", [*result.items.values, result.items.error])
    for name, body in (("request", call.request.body), ("answer", result.body)):
        if body is not None:
            yield f"{place}, body of its {name}", partial(bodies.unpack, body)
            yield from _each(f"{place}, body of its {name}", [body.error])


def _each(place: str, encoded: Any) -> Iterator[Check]:
    for data in map(_unsealed, encoded):
        if data is not None and not isinstance(data, (str, int)):
            yield place, partial(values.decode, data)


def _asked(data: Any) -> Any:
    """Returns a field of a question with its volatile values as they were: only questions have such."""
    return _replaced(data, "$volatile", lambda volatile: volatile[1] if isinstance(volatile, list) else volatile)


def _unsealed(data: Any) -> Any:
    """Returns data without what is still sealed: without the key a replay goes on without it, too."""
    return _replaced(data, "$sealed", lambda _: None)


def _replaced(data: Any, tag: str, change: Callable[[Any], Any]) -> Any:
    if isinstance(data, list):
        return [_replaced(each, tag, change) for each in data]
    if isinstance(data, dict):
        made = {key: _replaced(each, tag, change) for key, each in data.items()}
        return change(made[tag]) if made.keys() == {tag} else made
    return data
