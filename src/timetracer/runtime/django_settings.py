"""Finds DJANGO_SETTINGS_MODULE before OTel's Django instrumentor asks for it, where the project's own script names it.

Else the instrumentor calls `settings.configure()`, and `manage.py runserver` dies: under `opentelemetry-instrument`
the instrumentors run before `manage.py` (or the WSGI module that gunicorn is told) has had its say.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

NAME = "DJANGO_SETTINGS_MODULE"
_MODULE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?::[\w.()]*)?")


def find() -> None:
    """Sets DJANGO_SETTINGS_MODULE as the running command would: its option, else what is set, else what it names."""
    told = _options(sys.orig_argv[1:])
    if "--settings" in told:
        os.environ[NAME] = told["--settings"]
        _make_importable(told.get("--pythonpath", "."), told["folder"])
        return
    if NAME in os.environ:
        return
    for script in _scripts(sys.orig_argv[1:]):
        named = _named_in(script)
        if named is not None:
            os.environ.setdefault(NAME, named)
            _make_importable(str(script.parent if script.name == "manage.py" else Path.cwd()))
            return


def _make_importable(*folders: str) -> None:
    for folder in map(os.path.abspath, folders):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def _options(arguments: list[str]) -> dict[str, str]:
    """Returns the options of a command of Django that say where its settings are, and the folder of its `manage.py`.

    Upstream: `ManagementUtility.execute` and `handle_default_options`
    (https://github.com/django/django/blob/5.2/django/core/management/__init__.py).
    """
    for place, argument in enumerate(arguments):
        if Path(argument).name in ("manage.py", "django-admin") or arguments[: place + 1][-2:] == ["-m", "django"]:
            rest = arguments[place + 1 :]
            rest = rest[: rest.index("--")] if "--" in rest else rest
            found = {"folder": str(Path(argument).parent) if Path(argument).name == "manage.py" else "."}
            for option, following in zip(rest, [*rest[1:], None], strict=True):
                name, equals, value = option.partition("=")
                if name in ("--settings", "--pythonpath") and (equals or following):
                    found[name] = value if equals else str(following)
            return found
    return {}


def _scripts(arguments: list[str]) -> Iterator[Path]:
    """Yields the files that may name the settings: manage.py, and modules such as `project.wsgi:application`."""
    for argument in arguments:
        if Path(argument).name == "manage.py" and Path(argument).is_file():
            yield Path(argument)
        elif found := _MODULE.fullmatch(argument):
            path = Path(*found[1].split(".")).with_suffix(".py")
            if path.is_file():
                yield path


def _named_in(script: Path) -> str | None:
    """Returns the module in `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "...")`, if the script says that."""
    try:
        tree = ast.parse(script.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setdefault":
            values = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if len(values) == 2 and values[0] == NAME and isinstance(values[1], str):
                return values[1]
    return None
