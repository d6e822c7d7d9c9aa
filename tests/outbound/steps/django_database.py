"""Django's settings of the database that a run is about."""

from __future__ import annotations

import os
from typing import Any

from tests.outbound.steps import address


def database() -> dict[str, Any]:
    """Returns Django's settings of the database that this run is about."""
    if "STEPS_POSTGRES" not in os.environ:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": address("sqlite")}
    dsn = dict(part.split("=", 1) for part in address("postgres").split())
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": dsn["dbname"],
        "USER": dsn["user"],
        "HOST": dsn["host"],
        "PORT": dsn["port"],
    }
