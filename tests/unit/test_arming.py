"""Arming: what counts as app code, what is said when start-up fails, and what it costs every interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from timetracer import arming
from timetracer.errors import CassetteCorrupt, ConfigError

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ("cpython.run_file", str(SCRIPTS / "opentelemetry-instrument")),
        ("cpython.run_file", str(SCRIPTS / "timetracer")),
        ("cpython.run_file", str(SCRIPTS / "pip3.11")),
        ("cpython.run_file", "/somewhere/site-packages/pip/__pip-runner__.py"),
        ("cpython.run_file", "/x/pip/_vendor/pyproject_hooks/_in_process/_in_process.py"),
        ("cpython.run_module", "pip"),
        ("cpython.run_module", "timetracer"),
        ("cpython.run_module", "venv"),
        ("cpython.run_command", "from multiprocessing.resource_tracker import main;main(5)"),
    ],
)
def test_tools_are_no_app_code(event: str, what: str) -> None:
    """The launcher starts the app anew; pip must work whatever the cassette is like."""
    assert arming._is_tool(event, (what,))


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ("cpython.run_file", "manage.py"),
        ("cpython.run_file", str(SCRIPTS / "gunicorn")),
        ("cpython.run_file", str(SCRIPTS / "pytest")),
        ("cpython.run_file", "pip"),
        ("cpython.run_file", "/app/opentelemetry-instrument"),
        ("cpython.run_module", "celery"),
        ("cpython.run_module", "pipeline"),
        ("cpython.run_command", "from multiprocessing.spawn import spawn_main; spawn_main()"),
        ("cpython.run_command", "from multiprocessing.forkserver import main; main()"),
        ("cpython.run_stdin", None),
        ("cpython.run_interactivehook", None),
    ],
)
def test_everything_else_is_app_code(event: str, what: str | None) -> None:
    """Servers, workers, tests, children of multiprocessing, a prompt, and files merely called like a tool."""
    assert not arming._is_tool(event, (what,) if what is not None else ())


def test_errors_of_opentelemetry_name_their_variable() -> None:
    """Its messages name an entry point group, which no user typed."""
    missing = "Requested component {!r} not found in entry point 'opentelemetry_traces_exporter'"
    assert "OTEL_TRACES_EXPORTER" in arming._told(RuntimeError(missing.format("nonexistent")))
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in arming._told(RuntimeError(missing.format("otlp_proto_grpc")))
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in arming._told(RuntimeError("Unsupported OTLP protocol 'x' is configured"))


def test_errors_of_ours_name_variable_or_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the exit code is the command line's: 2 for a setting, 3 for a cassette."""
    monkeypatch.setenv("TIMETRACER_CASSETTE", "some/where.json")
    setting = ConfigError("TIMETRACER_SAMPLE_RATE", "often", "a number")
    assert arming._told(setting) == str(setting)
    assert arming._told(CassetteCorrupt("it is broken")) == "some/where.json: it is broken"
    assert [arming._exit_code(error) for error in (setting, CassetteCorrupt(""), OSError())] == [2, 3, 2]


def test_importing_it_imports_nearly_nothing() -> None:
    """Every interpreter with TIMETRACER_MODE set pays for it, the launcher and pip too."""
    code = (
        "import sys; before = set(sys.modules); import timetracer.arming\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TIMETRACER_MODE": ""}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "timetracer\n"


def test_without_a_watch_start_up_fails_closed() -> None:
    """Where the .pth file is missing nothing is known of the mode, and an error is raised rather than noted."""
    code = "from timetracer import arming; print(arming.replaying()); arming.arm('record'); print(arming.replaying())"
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TIMETRACER_MODE": ""}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
