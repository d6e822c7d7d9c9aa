"""`timetracer.cli.surroundings`: what doctor says of plugins that do not fit what is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from timetracer.cli.surroundings import plugin_found
from timetracer.engine import wrapping
from timetracer.plugin import Patch, Plugin

NO_PLUGIN = "text"
MOVED = Plugin(name="moved", kind="http", library="click>=8", patches=(Patch("click.core:Command.gone"),))
OLD = Plugin(name="old", kind="http", library="click>=99", patches=MOVED.patches)
LATER = Plugin(name="later", kind="http", library="click>=8", patches=(Patch("click.core:Command.new", since="99"),))
NEWER = Plugin(name="newer", kind="http", library="click>=99", patches=())
BUILT_IN = Plugin(name="built_in", kind="http", library="python>=3.11", patches=())


@pytest.fixture(autouse=True)
def nothing_stays_wrapped() -> Iterator[None]:
    """Takes the wrappers of these plugins away again."""
    yield
    wrapping.remove_all()


@pytest.mark.parametrize(
    ("value", "state", "named"),
    [
        (f"{__name__}:MOVED", "wrong", "not captured: click.core:Command.gone"),
        (f"{__name__}:LATER", "ok", "1 functions in place"),
        (f"{__name__}:NEWER", "wrong", "not among the versions that this plugin knows (click>=99)"),
        (f"{__name__}:OLD", "wrong", "knows (click>=99); not where they were"),
        (f"{__name__}:BUILT_IN", "ok", "python 3."),
        (f"{__name__}:NO_PLUGIN", "wrong", "is no timetracer.plugin.Plugin"),
        (f"{__name__}:MISSING", "wrong", "MISSING"),
        ("no_such_library.plugin:PLUGIN", "note", "no_such_library is not installed"),
        ("timetracer.no_such_module:PLUGIN", "wrong", "cannot be imported"),
    ],
)
def test_a_plugin_that_does_not_fit_is_named(value: str, state: str, named: str) -> None:
    """A library that is not there is no fault; one whose functions moved is."""
    name, found, detail = plugin_found(EntryPoint("some", value, "timetracer_plugin"))
    assert (name, found) == ("some", state)
    assert named in detail


def test_looking_at_plugins_leaves_libraries_that_are_waited_for_whole() -> None:
    """In a process that replays, a library's import puts its plugin in place: it must not meet one half imported."""
    code = (
        "from timetracer.cli.surroundings import plugins; from timetracer.config import TraceConfig\n"
        "from timetracer.runtime import libraries\n"
        "libraries.install_present(TraceConfig(mode='replay', cassette='x.json'))\n"
        "print([found for found in plugins() if found[1] == 'wrong'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
