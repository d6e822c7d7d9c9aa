"""`timetracer run -- COMMAND`: any program, recorded or replayed, every setting an option."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import Field, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from timetracer import config as settings_of
from timetracer.cli.options import json_option
from timetracer.config import IN_DJANGO, TraceConfig
from timetracer.errors import ConfigError

LAUNCHER = "opentelemetry-instrument"


def _settings() -> dict[str, Field[Any]]:
    """Returns the settings that may stand on a command line: keys are seen there by every user of the machine."""
    return {item.name: item for item in fields(TraceConfig) if item.metadata and not item.metadata["secret"]}


def _option(item: Field[Any]) -> Any:
    name = item.name.replace("_", "-")
    variable = item.metadata["variable"]
    if isinstance(item.default, bool):
        return click.option(f"--{name}/--no-{name}", item.name, default=None, help=variable)
    default = ",".join(item.default) if isinstance(item.default, tuple) else item.default
    shown = f"{variable}, default {default}" if default not in (None, "") else variable
    if item.name == "mode":
        shown = f"{variable}: record or replay; default record"
    hidden = item.name.startswith("s3_")
    return click.option(f"--{name}", item.name, metavar="VALUE", help=shown, hidden=hidden)


def _with_options(function: Any) -> Any:
    for item in reversed(_settings().values()):
        function = _option(item)(function)
    return function


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@_with_options
@click.option(
    "--launcher/--no-launcher", "launched", default=True, help=f"Start it with {LAUNCHER}, where that is installed."
)
@json_option
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def command(settings: Any, /, program: tuple[str, ...], launched: bool, as_json: bool, **options: Any) -> None:
    """Run PROGRAM with its arguments, recording it (or replaying: --mode replay).

    \b
    timetracer run -- python report.py
    timetracer run --mode replay --cassette cassettes/x.json -- python report.py

    A script that serves no requests gets one root span, and one cassette. PROGRAM's exit code is ours. With --json,
    what happened is printed when it has ended. More on every setting: docs/configuration.md.
    """
    given = {name: value for name, value in options.items() if value is not None}
    environ = settings_of.environment()
    config = _checked(environ, settings, given)
    arguments = [*(launcher() if launched else []), _found(program[0]), *program[1:]]
    child = {**environ, **variables({**(settings or {}), **given, "mode": config.mode}), settings_of.SCRIPT_MARK: "1"}
    if not as_json and os.name == "posix":
        sys.stdout.flush()
        os.execve(arguments[0], arguments, child)  # the same process: signals and exit code are the program's
    start = time.time()
    code = subprocess.run(arguments, env=child, check=False).returncode
    code = 128 - code if code < 0 else code
    if as_json:
        from timetracer.cli import terminal  # rich is not for --help

        terminal.print_json({"mode": config.mode, "exit_code": code, "cassettes": _written(config, start)})
    raise SystemExit(code)


def _checked(environ: Mapping[str, str], settings: Mapping[str, Any] | None, given: dict[str, Any]) -> TraceConfig:
    known = {found.name: "" for found in entry_points(group="timetracer_plugin")}
    config = TraceConfig.from_env(environ, known_plugins=known).with_settings(settings or {}, where=IN_DJANGO)
    try:
        config = config.with_settings(given)
    except ConfigError as error:
        raise ConfigError(f"--{error.name.replace('_', '-')}", error.value, error.allowed) from None
    return config if config.mode != "off" else config.with_settings({"mode": "record"})


def variables(given: Mapping[str, Any]) -> dict[str, str]:
    """Returns settings as environment variables."""
    names: dict[str, str] = {}
    for item in fields(TraceConfig):
        if item.metadata:
            short = item.metadata["variable"].removeprefix("TIMETRACER_").lower()
            names |= dict.fromkeys((item.name, short), item.metadata["variable"])
    made = {}
    for key, value in given.items():
        name = names.get(key.lower().removeprefix("timetracer_"))
        if name is not None and value is not None:
            text = str(value).lower() if isinstance(value, bool) else value
            made[name] = ",".join(map(str, text)) if isinstance(text, (list, tuple, set)) else str(text)
    return made


def launcher() -> list[str]:
    """Returns what a command line begins with that is to run under OpenTelemetry's launcher; nothing without it."""
    found = shutil.which(LAUNCHER, path=_scripts()) or shutil.which(LAUNCHER)
    return [found] if found is not None else []


def _scripts() -> str:
    return str(Path(sys.executable).parent)


def _found(program: str) -> str:
    """Returns the program's path: this environment's own `python` before any other."""
    plain = os.sep not in program
    found = (shutil.which(program, path=_scripts()) if plain else None) or shutil.which(program)
    if found is None:
        raise click.UsageError(f"there is no program {program!r}")
    return os.path.abspath(found)


def _written(config: TraceConfig, start: float) -> list[str]:
    if config.mode != "record":
        return []
    from timetracer.cli import cassettes

    return [str(path) for path in cassettes.found([], config) if path.stat().st_mtime >= start]
