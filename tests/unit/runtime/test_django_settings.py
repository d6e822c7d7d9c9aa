"""Which settings a command of Django will take, found out before it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from timetracer.runtime import django_settings

MANAGE = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.dev')\n"


@pytest.mark.parametrize(
    ("command", "variable", "expected"),
    [
        ("manage.py runserver", None, "shop.dev"),
        ("manage.py runserver", "shop.prod", "shop.prod"),
        ("manage.py runserver --settings shop.test", None, "shop.test"),
        ("manage.py runserver --settings=shop.test 8000", "shop.prod", "shop.test"),
        ("-m django runserver --settings=shop.test", None, "shop.test"),
        ("/usr/bin/django-admin check --settings shop.test --pythonpath lib", None, "shop.test"),
        ("manage.py timetracer run -- python manage.py check --settings=shop.test", None, "shop.dev"),
        ("manage.py runserver --settings", None, "shop.dev"),
        ("report.py --settings shop.test", None, None),
    ],
)
def test_the_settings_are_those_of_the_command(
    command: str, variable: str | None, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--settings` wins over the variable, and that over what manage.py names: as in Django itself."""
    (tmp_path / "manage.py").write_text(MANAGE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "orig_argv", ["python", *command.split()])
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    monkeypatch.setattr(os, "environ", {} if variable is None else {"DJANGO_SETTINGS_MODULE": variable})
    django_settings.find()
    assert os.environ.get("DJANGO_SETTINGS_MODULE") == expected
    assert (str(tmp_path) in sys.path) == (expected not in (variable, None))
    assert (str(tmp_path / "lib") in sys.path) == ("--pythonpath" in command)
