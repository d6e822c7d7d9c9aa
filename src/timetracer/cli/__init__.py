"""The command line `timetracer`: finds a command in one table and imports nothing but that command.

Exit codes: 0 fine, 1 a difference or a failed replay, 2 usage, 3 a bad cassette.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, NoReturn

import click

from timetracer import __version__
from timetracer.errors import CassetteError, ReplayError, TimetracerError

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "demo": ("timetracer.cli.demo", "Record a small service, stop what it needs, replay it."),
        "run": ("timetracer.cli.run", "Run a command that records or replays."),
        "list": ("timetracer.cli.listing", "List cassettes."),
        "show": ("timetracer.cli.show", "Show what a cassette holds."),
        "replay": ("timetracer.cli.replay", "Send recorded requests again, and compare what comes of it."),
        "validate": ("timetracer.cli.validate", "Check that cassettes can be read, decoded and replayed."),
        "doctor": ("timetracer.cli.doctor", "Check that this environment is ready."),
    }
)
"""Each command with the module whose `command` it is (no builtin's name: it would hide that one here), and what the
overview says of it."""

FAILED, USAGE, BAD_CASSETTE = 1, 2, 3


class Commands(click.Group):
    """The group of all commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order of the table."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the overview from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="timetracer")
def group() -> None:
    """Record what a service really did, with all its dependencies, and replay it offline.

    Every command takes --json. Exit codes: 0 fine, 1 a difference or a failed replay, 2 usage, 3 a bad cassette.
    """


def main(
    args: Sequence[str] | None = None, *, program: str = "timetracer", settings: Mapping[str, Any] | None = None
) -> NoReturn:
    """Runs the command line and exits.

    Args:
        args: None for those of the process.
        program: how the usage text calls it.
        settings: what goes over the environment, such as Django's `TIMETRACER`.
    """
    given = sys.argv[1:] if args is None else list(args)
    try:
        group.main(given, prog_name=program, obj=dict(settings or {}), windows_expand_args=False)
    except TimetracerError as error:
        _report(error, given)
        sys.exit(exit_code(error))
    sys.exit(0)


def exit_code(error: TimetracerError) -> int:
    """Returns what the process says about an error to whoever started it."""
    if isinstance(error, CassetteError):
        return BAD_CASSETTE
    return FAILED if isinstance(error, ReplayError) else USAGE


def _report(error: TimetracerError, args: list[str]) -> None:
    from timetracer.cli import terminal

    notes: list[str] = getattr(error, "__notes__", [])
    own = args[: args.index("--")] if "--" in args else args
    if "--json" in own:
        terminal.print_json({"error": str(error), "kind": type(error).__name__, "notes": notes})
    terminal.print_error("\n  ".join([str(error), *notes]))
