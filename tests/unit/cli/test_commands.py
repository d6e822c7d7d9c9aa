"""The command line as a whole: help, exit codes, lazy imports, and what `run` and `doctor` make of settings."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields

import pytest
from click.testing import CliRunner

from timetracer.cli import COMMANDS, group, main
from timetracer.cli.run import variables
from timetracer.config import TraceConfig
from timetracer.runtime.script import script_name


def test_every_command_has_help_and_takes_json() -> None:
    """One table names the commands; each says what it does, and can answer a program."""
    for name in COMMANDS:
        done = CliRunner().invoke(group, [name, "--help"])
        assert done.exit_code == 0, name
        assert "--json" in done.output, name


def test_the_overview_imports_no_command() -> None:
    """Help must come at once: neither rich nor msgspec nor OpenTelemetry is loaded for it."""
    code = (
        "import sys\nfrom timetracer.cli import main\n"
        "try:\n main(['--help'])\nexcept SystemExit as end:\n assert end.code == 0\n"
        "heavy = {'rich', 'msgspec', 'opentelemetry', 'timetracer.runtime', 'timetracer.config'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Record a small service" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["list", "-x"],
        ["run"],
        ["run", "--mode", "sideways", "--", "true"],
        ["run", "--", "no-such-program"],
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is typed wrongly, and the text says what."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_a_bad_variable_exits_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the variable, its value and what is allowed."""
    monkeypatch.setenv("TIMETRACER_QUEUE_MB", "-1")
    with pytest.raises(SystemExit) as ended:
        main(["list"])
    assert ended.value.code == 2
    assert "TIMETRACER_QUEUE_MB='-1' is not allowed: a whole number, 1 or more" in capsys.readouterr().err


def test_run_has_an_option_for_every_setting_but_keys() -> None:
    """The options come from the one table of settings; what is secret is no option."""
    options = {name for each in group.get_command(None, "run").params for name in each.opts}  # type: ignore[arg-type, union-attr]
    for item in fields(TraceConfig):
        if item.metadata:
            assert (f"--{item.name.replace('_', '-')}" in options) is not item.metadata["secret"]


def test_settings_become_variables() -> None:
    """Whatever spelling a setting has, it reaches the child as its variable."""
    given = {
        "MODE": "record",
        "errors_only": True,
        "exclude_paths": ["/a", "/b"],
        "TIMETRACER_ENV": "test",
        "cassette": None,
    }
    made = variables(given)
    assert made == {
        "TIMETRACER_MODE": "record",
        "TIMETRACER_ERRORS_ONLY": "true",
        "TIMETRACER_EXCLUDE_PATHS": "/a,/b",
        "TIMETRACER_ENV": "test",
    }
    assert TraceConfig.from_env(made).exclude_paths == ("/a", "/b")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("python report.py --month 3", "report.py"),
        ("python -X dev -W error -u jobs/report.py", "report.py"),
        ("python -m jobs.report", "jobs.report"),
        ("python -m jobs.__main__", "jobs"),
        ("python jobs/__main__.py", "jobs"),
        ("python -c print()", "python"),
        ("python -", "python"),
        ("python manage.py migrate", "manage.py"),
        ("python", None),
        ("python /venv/bin/gunicorn app:app", None),
        ("python -m uvicorn app:app", None),
        ("python manage.py runserver --noreload", None),
        ("python /venv/bin/flask --app x run", None),
        ("python /venv/bin/celery -A x worker", None),
    ],
)
def test_a_script_is_named_and_a_server_is_none(arguments: str, name: str | None) -> None:
    """The root span bears the script's name; servers have roots of their own."""
    assert script_name(arguments.split()) == name


def test_doctor_says_where_a_setting_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of today and of 1.x, OpenTelemetry's, a project's settings and defaults; keys stay hidden."""
    monkeypatch.setenv("TIMETRACER_DIR", "elsewhere")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("TIMETRACER_ENCRYPTION_KEY", "do not show this")
    done = CliRunner().invoke(group, ["doctor", "--json"], obj={"SAMPLE_RATE": 0.5})
    found = {each["variable"]: (each["value"], each["source"]) for each in json.loads(done.output)["settings"]}
    assert found["TIMETRACER_CASSETTE_DIR"] == ("elsewhere", "TIMETRACER_DIR")
    assert found["TIMETRACER_SERVICE"] == ("shop", "OTEL_SERVICE_NAME")
    assert found["TIMETRACER_SAMPLE_RATE"] == (0.5, "Django's TIMETRACER")
    assert found["TIMETRACER_MODE"] == ("off", "default")
    assert found["TIMETRACER_ENCRYPTION_KEY"] == ("(hidden)", "TIMETRACER_ENCRYPTION_KEY")
    assert "do not show this" not in done.output
