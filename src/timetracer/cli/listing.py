"""`timetracer list`: one line a cassette."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from timetracer.cassette.model import Cassette
from timetracer.cli import BAD_CASSETTE, cassettes, terminal
from timetracer.cli.options import json_option
from timetracer.errors import CassetteError

_NUMBERS = ("time", "events", "size")


def summary(path: Path, cassette: Cassette) -> dict[str, Any]:
    """Returns what the list says about one cassette."""
    trace, inbound = cassette.trace, cassette.inbound
    return {
        "file": str(path),
        "start": trace.start,
        "service": trace.service,
        "method": inbound.method if inbound is not None else "PROCESS",
        "route": (inbound.route or inbound.target) if inbound is not None else (trace.service or "python"),
        "target": inbound.target if inbound is not None else None,
        "status": inbound.result.status if inbound is not None else None,
        "failed": trace.status == "error",
        "duration_ms": trace.duration_ms,
        "events": len(cassette.events),
        "incomplete": sum(event.incomplete is not None for event in cassette.events),
        "bytes": cassettes.size_of(path, cassette),
        "trace_id": trace.trace_id,
    }


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--failed", is_flag=True, help="Only calls that failed: a 5xx answer, an exception, a failed task.")
@json_option
@click.pass_obj
def command(settings: Any, folder: Path | None, failed: bool, as_json: bool) -> None:
    """List the cassettes of FOLDER (or file), newest last.

    Without FOLDER: of TIMETRACER_CASSETTE_DIR.
    """
    config = cassettes.configuration(settings)
    rows: list[dict[str, Any]] = []
    broken: list[dict[str, Any]] = []
    for path in cassettes.found([folder] if folder is not None else [], config):
        try:
            rows.append(summary(path, cassettes.read(path, config)))
        except CassetteError as error:
            broken.append({"file": str(path), "error": str(error)})
    rows = sorted((row for row in rows if row["failed"] or not failed), key=lambda row: str(row["start"]))
    if as_json:
        terminal.print_json({"cassettes": rows, "broken": broken})
    else:
        _print(rows, broken, str(folder or config.cassette_dir), failed)
    if broken:
        raise SystemExit(BAD_CASSETTE)


def _print(rows: list[dict[str, Any]], broken: list[dict[str, Any]], where: str, failed: bool) -> None:
    if rows:
        made = terminal.table("when", "method", "route", "status", "time", "events", "size", "file", right=_NUMBERS)
        for row in rows:
            made.add_row(
                terminal.styled(str(row["start"])[:19].replace("T", " "), "dim"),
                terminal.styled(row["method"], "bold"),
                terminal.styled(terminal.shortened(str(row["route"]), 60)),
                _status(row),
                terminal.milliseconds(row["duration_ms"]),
                str(row["events"]) + ("!" if row["incomplete"] else ""),
                terminal.size(row["bytes"]),
                terminal.styled(row["file"], "dim"),
            )
        terminal.print_table(made)
    elif not broken:
        what = "no failed cassettes" if failed else "no cassettes"
        hint = terminal.styled(f"{what} in {where}; record some: timetracer run -- python app.py")
        terminal.console().print(hint, soft_wrap=True)
    for each in broken:
        terminal.print_error(terminal.of_file(each["file"], each["error"]))


def _status(row: dict[str, Any]) -> Any:
    text = "error" if row["failed"] and row["status"] is None else "ok" if row["status"] is None else str(row["status"])
    return terminal.styled(text, "red" if row["failed"] else "green")
