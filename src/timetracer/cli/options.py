"""Options that every command has."""

from __future__ import annotations

from typing import Any

import click


def json_option(function: Any) -> Any:
    """Adds `--json` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
