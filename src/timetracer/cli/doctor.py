"""`timetracer doctor`: what is installed, what is in force and where it comes from, and whether it works here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import click

from timetracer import config as settings_of
from timetracer.cassette import store
from timetracer.cassette.model import Cassette, Trace
from timetracer.cli import BAD_CASSETTE, FAILED, cassettes, terminal
from timetracer.cli.options import json_option
from timetracer.cli.surroundings import opentelemetry, plugins, settings_in_force, versions
from timetracer.config import IN_DJANGO, TraceConfig
from timetracer.errors import TimetracerError

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A note is worth knowing, and no fault."""

    area: str
    name: str
    state: State
    detail: str


@click.command()
@json_option
@click.pass_obj
def command(settings: Any, as_json: bool) -> None:
    """Check that this environment can record and replay. Exits with 1 if something is wrong."""
    environ = settings_of.environment()
    findings = [Finding("versions", name, "ok", version) for name, version in versions().items()]
    config, complaint = _configuration(environ, settings)
    findings += [complaint] if complaint is not None else []
    in_force = settings_in_force(config, environ, settings or {})
    findings += [Finding("plugins", *found) for found in plugins()]
    findings += [Finding("opentelemetry", *found) for found in opentelemetry(environ)]
    findings += [_replay_fails_closed(environ), *_storage(config)]
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if as_json:
        listed = [asdict(finding) for finding in findings]
        terminal.print_json({"ready": not wrong, "settings": in_force, "findings": listed})
    else:
        _print(findings, in_force)
    if wrong:
        raise SystemExit(FAILED)


def _configuration(environ: Mapping[str, str], settings: Any) -> tuple[TraceConfig, Finding | None]:
    try:
        return TraceConfig.from_env(environ).with_settings(settings or {}, where=IN_DJANGO), None
    except TimetracerError as error:
        return TraceConfig(), Finding("settings", "configuration", "wrong", str(error))


def _replay_fails_closed(environ: Mapping[str, str]) -> Finding:
    """Starts an interpreter that is to replay what does not exist: it must end before its code runs."""
    name = "replay fails closed"
    with TemporaryDirectory() as empty:
        missing = {"TIMETRACER_MODE": "replay", "TIMETRACER_CASSETTE": str(Path(empty) / "none.json")}
        command = [sys.executable, "-c", "print('app code ran')"]
        try:
            done = subprocess.run(
                command, env={**environ, **missing}, capture_output=True, text=True, timeout=60, check=False, cwd=empty
            )
        except subprocess.TimeoutExpired:
            return Finding("start-up", name, "wrong", "a new interpreter did not end within 60 s")
    if done.returncode == BAD_CASSETTE and not done.stdout:
        return Finding("start-up", name, "ok", "timetracer_replay.pth is read: without a cassette no app code runs")
    if done.stdout:
        return Finding("start-up", name, "wrong", "timetracer_replay.pth is not read: reinstall timetracer")
    said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    return Finding("start-up", name, "wrong", f"a new interpreter ended with {done.returncode}: {said}")


def _storage(config: TraceConfig) -> Iterator[Finding]:
    where = config.cassette_dir
    if "://" in where:
        yield Finding("storage", "cassette folder", "note", f"{where}: an object store is not looked at")
        return
    folder = Path(where)
    yield _attempt("cassette folder", lambda: _written_and_read(folder, config))
    if config.mode == "replay":
        where = config.replay_from
        yield _attempt("cassettes", lambda: f"{len(store.find_cassettes(Path(where)))} in {where}")


def _attempt(name: str, action: Callable[[], str]) -> Finding:
    try:
        return Finding("storage", name, "ok", action())
    except (TimetracerError, OSError) as error:
        return Finding("storage", name, "wrong", str(error))


def _written_and_read(folder: Path, config: TraceConfig) -> str:
    """Writes a cassette as the configuration has it and reads it again, in a folder that vanishes."""
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    with TemporaryDirectory(dir=there, prefix=".timetracer-doctor-") as place:
        cassette = Cassette(trace=Trace(trace_id="0" * 32, root_id="0" * 16))
        path = store.cassette_path(Path(place), cassette, compression=config.compression)
        cassettes.read(store.write_cassette(cassette, path), config)
    made = "" if folder.exists() else " (made when it is needed)"
    return f"{folder.absolute()}{made}: a cassette was written and read back"


# ------------------------------------------------------------------------------------------------ for the eyes

_MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "wrong": ("✗", "bold red")}


def _print(findings: list[Finding], in_force: list[dict[str, Any]]) -> None:
    out = terminal.console()
    out.print(terminal.styled("settings", "bold"))
    changed = [each for each in in_force if each["source"] != "default"]
    for each in changed:
        line = terminal.styled(f"  {each['variable']} = {each['value']}")
        out.print(line.append_text(terminal.styled(f"  from {each['source']}", "dim")), soft_wrap=True)
    defaults = len(in_force) - len(changed)
    out.print(terminal.styled(f"  {defaults} defaults (timetracer doctor --json shows them)", "dim"))
    area = ""
    width = max(len(finding.name) for finding in findings) + 2
    for finding in findings:
        if finding.area != area:
            area = finding.area
            out.print()
            out.print(terminal.styled(area, "bold"))
        mark, style = _MARKS[finding.state]
        line = terminal.styled(f"  {mark} ", style).append_text(terminal.styled(finding.name.ljust(width)))
        detail = terminal.styled(finding.detail, "" if finding.state == "wrong" else "dim")
        out.print(line.append_text(detail), soft_wrap=True)
    wrong = sum(finding.state == "wrong" for finding in findings)
    out.print()
    out.print(terminal.styled(f"{wrong} wrong" if wrong else "ready", "bold red" if wrong else "bold green"))
