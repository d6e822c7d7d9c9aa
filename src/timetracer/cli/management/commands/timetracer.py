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
        self._run(argv[2:], f"{argv[0]} {argv[1]}")

    def add_arguments(self, parser: Any) -> None:
        """Lets `call_command("timetracer", "list", "--json")` pass everything on."""
        parser.add_argument("arguments", nargs=REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs what `call_command` was given."""
        self._run([*args, *options["arguments"]], "timetracer")

    def _run(self, arguments: list[str], program: str) -> None:
        main(arguments, program=program, settings=getattr(settings, "TIMETRACER", None))
