"""What an installation brings: entry points, types, and the line that makes replay fail closed in any interpreter."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from timetracer.runtime import libraries

ROOT = Path(__file__).parents[2]
PTH = ROOT / "src" / "timetracer_replay.pth"
BUILD = "import sys, hatchling.build as build; print(getattr(build, sys.argv[1])(sys.argv[2]))"
START = "import site, sys; site.addsitedir({folder!r}); print('app code', 'timetracer' in sys.modules)"


@pytest.mark.parametrize("kind", ["build_wheel", "build_editable"])
def test_both_kinds_of_install_bring_the_start_up_check(kind: str, tmp_path: Path) -> None:
    """`pip install timetracer` and `pip install -e .` put the same .pth file into site-packages."""
    command = [sys.executable, "-c", BUILD, kind, str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        assert wheel.read("timetracer_replay.pth") == PTH.read_bytes()
        assert ("timetracer/py.typed" in wheel.namelist()) == (kind == "build_wheel")


def _start(folder: Path, mode: str | None, arming: str) -> subprocess.CompletedProcess[str]:
    """Starts an interpreter whose only site folder holds the .pth file and a package with `arming` in it."""
    package = folder / "timetracer"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "arming.py").write_text(arming)
    (folder / PTH.name).write_bytes(PTH.read_bytes())
    environ = {} if mode is None else {"TIMETRACER_MODE": mode}
    command = [sys.executable, "-S", "-c", START.format(folder=str(folder))]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("mode", [None, "", "off", " OFF "])
def test_nothing_is_imported_while_off(mode: str | None, tmp_path: Path) -> None:
    """An interpreter that has nothing to do with timetracer does not pay for it."""
    done = _start(tmp_path, mode, "1 / 0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "app code False\n", "")


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_start_up_is_armed(mode: str, tmp_path: Path) -> None:
    """The variables alone are enough: no launcher, no import in the app."""
    done = _start(tmp_path, mode, "def arm(mode): print('armed')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "armed\napp code True\n", "")


@pytest.mark.parametrize("mode", ["replay", "Replay ", "reply"])
@pytest.mark.parametrize("fault", ["1 / 0", "import no_such_module", "raise SystemExit('no')"])
def test_replay_that_cannot_be_armed_exits_before_app_code(mode: str, fault: str, tmp_path: Path) -> None:
    """`site` would go on after any error in a .pth file, and the app would talk to live servers."""
    done = _start(tmp_path, mode, fault)
    assert (done.returncode, done.stdout) == (2, "")
    assert "timetracer cannot start" in done.stderr


def test_recording_that_cannot_be_armed_leaves_the_app_alone(tmp_path: Path) -> None:
    """The fault is said, and the app runs as if we were not there."""
    done = _start(tmp_path, "record", "1 / 0")
    assert (done.returncode, done.stdout) == (0, "app code True\n")
    assert "ZeroDivisionError" in done.stderr


def test_extras_all_and_test_leave_none_out() -> None:
    """`all` has every extra but `fast`, which has no wheels for musl; `test` has both."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for group in extras["all"] if "[" in group for name in group[len("timetracer[") : -1].split(",")}
    assert named == set(extras) - {"all", "fast", "opentelemetry", "test"}
    assert {"timetracer[all]", "timetracer[fast]"} <= set(extras["test"])


@pytest.mark.parametrize("name", sorted(libraries.discovered()))
def test_an_extra_installs_what_its_plugin_was_tested_with(name: str) -> None:
    """The range of an extra and that of its plugin are one and the same."""
    library = libraries.load(name).library
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = {each.name: each for each in map(Requirement, extras[name.replace("_", "-")])}
    if library and Requirement(library).name != "python":
        wanted = Requirement(library)
        assert asked[wanted.name].specifier == wanted.specifier


def test_no_dependency_is_pinned() -> None:
    """A service brings its own OpenTelemetry; we live with the one it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    assert not [line for group in groups for line in group if "==" in line or "@" in line]
