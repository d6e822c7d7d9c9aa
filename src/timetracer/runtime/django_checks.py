"""Lets `manage.py runserver` start where nothing is known of the database's migrations.

Before it serves, Django compares them with those on disk, to print a notice. Who recorded a service under gunicorn, or
keeps one request's cassette of many, has no answer to that, and the replay would end there.
"""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any

from timetracer.engine.importing import when_imported
from timetracer.errors import ReplayError

_BASE = "django.core.management.base"
_MARK = "_timetracer"


def install() -> None:
    """Takes a miss in Django's check of migrations for an answer: there is no notice to print.

    Upstream: `BaseCommand.check_migrations` (https://github.com/django/django/blob/5.2/django/core/management/base.py).
    """
    when_imported(_BASE, "check of migrations", _wrap)


def _wrap() -> None:
    command: Any = sys.modules[_BASE].BaseCommand
    real = command.check_migrations
    if hasattr(real, _MARK):
        return

    @wraps(real)
    def check_migrations(self: Any) -> None:
        try:
            real(self)
        except ReplayError:
            return

    setattr(check_migrations, _MARK, True)
    command.check_migrations = check_migrations
