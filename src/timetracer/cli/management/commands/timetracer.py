"""`manage.py timetracer ...`: the command line, with the project's `TIMETRACER` settings over the environment."""

from __future__ import annotations

from argparse import REMAINDER
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from timetracer.cli import main


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Hands everything behind `timetracer` on as it is."""

    help = "Records, replays and looks at cassettes: timetracer's command line."
    requires_system_checks: list[str] = []  # noqa: RUF012  # as Django declares it

    def run_from_argv(self, argv: list[str]) -> None:
        """Takes the arguments before Django's own parser does: `--help` is ours as well."""
        self._run(_without_djangos_own(argv[2:]), f"{argv[0]} {argv[1]}")

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """Answers `manage.py help timetracer`."""
        self._run(["--help"], f"{prog_name} {subcommand}")

    def add_arguments(self, parser: Any) -> None:
        """Lets `call_command("timetracer", "list", "--json")` pass everything on."""
        parser.add_argument("arguments", nargs=REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs what `call_command` was given."""
        self._run([*args, *options["arguments"]], "timetracer")

    def _run(self, arguments: list[str], program: str) -> None:
        main(arguments, program=program, settings=getattr(settings, "TIMETRACER", None))


def _without_djangos_own(arguments: list[str]) -> list[str]:
    """Leaves out `--settings` and `--pythonpath`, which `manage.py` took already; what `run` runs keeps them.

    Upstream: `ManagementUtility.execute` (https://github.com/django/django/blob/5.2/django/core/management/__init__.py).
    """
    end = arguments.index("--") if "--" in arguments else 0 if arguments[:1] == ["run"] else len(arguments)
    left, kept = iter(arguments[:end]), list[str]()
    for argument in left:
        if argument in ("--settings", "--pythonpath"):
            next(left, None)
        elif not argument.startswith(("--settings=", "--pythonpath=")):
            kept.append(argument)
    return kept + arguments[end:]
