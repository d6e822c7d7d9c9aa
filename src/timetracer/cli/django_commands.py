"""Makes `manage.py timetracer` known to Django, with no entry in INSTALLED_APPS.

Upstream: every lookup goes through `django.core.management.get_commands`, whose answer names the package in which
`management.commands.<name>` is found (https://github.com/django/django/blob/5.2/django/core/management/__init__.py).
"""

from __future__ import annotations

import functools
from typing import Any

PACKAGE = "timetracer.cli"
_MARK = "_timetracer"


def install() -> None:
    """Adds the command to what Django finds, once. The project's own command of that name wins."""
    from django.core import management

    real = management.get_commands
    if hasattr(real, _MARK):
        return

    @functools.wraps(real)
    def get_commands() -> Any:
        return {"timetracer": PACKAGE, **real()}

    get_commands.cache_clear = real.cache_clear  # type: ignore[attr-defined]
    setattr(get_commands, _MARK, True)
    management.get_commands = get_commands
