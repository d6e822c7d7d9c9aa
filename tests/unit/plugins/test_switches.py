"""`timetracer.plugins` and the other import paths of 1.x, as an application uses them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import timetracer
from timetracer import plugins
from timetracer.cassette import read_cassette, write_cassette
from timetracer.constants import EventType
from timetracer.context import get_current_session, has_active_session
from timetracer.engine import wrapping
from timetracer.session import ReplaySession, TraceSession
from timetracer.types import DependencyEvent, EventResult, EventSignature

OURS = ("aiohttp", "http_client", "httpx", "httpx2", "psycopg", "redis", "requests", "sqlite3", "urllib3")


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    """A cassette with one question to SQLite."""
    with timetracer.record(tmp_path / "c.json"):
        _ask()
    return tmp_path / "c.json"


def _ask() -> object:
    connection = sqlite3.connect(":memory:")
    try:
        return connection.execute("select 1 + 1").fetchone()
    finally:
        connection.close()


@pytest.mark.parametrize("name", OURS)
def test_each_plugin_has_its_switches(name: str) -> None:
    """`enable_X` puts the wrappers in place and makes them act, `disable_X` makes them inert; twice is fine."""
    for _ in range(2):
        getattr(plugins, f"enable_{name}")()
        assert wrapping.installed()[name].enabled
    for _ in range(2):
        getattr(plugins, f"disable_{name}")()
        assert not wrapping.installed()[name].enabled
    plugins.enable_plugin(name)
    assert wrapping.installed()[name].enabled
    assert wrapping.installed()[name].missing == []


@pytest.mark.parametrize("name", OURS)
def test_a_plugin_is_enabled_while_its_library_is_waited_for(name: str, tmp_path: Path) -> None:
    """The library is not imported yet, and something was recorded before: the plugin comes once, not in the middle."""
    code = (
        "import timetracer; from timetracer import plugins; from timetracer.engine import wrapping\n"
        f"with timetracer.record('c.json'): plugins.enable_{name}()\n"
        f"assert wrapping.installed()['{name}'].enabled"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", ["aiohttp", "httpx", "redis", "requests"])
def test_import_paths_of_1_x_lead_to_the_same_switches(name: str) -> None:
    """`timetracer.plugins.httpx_plugin` and its like are in the guides of 1.x."""
    module = __import__(f"timetracer.plugins.{name}_plugin", fromlist=["x"])
    assert getattr(module, f"enable_{name}") is getattr(plugins, f"enable_{name}")
    assert getattr(module, f"disable_{name}") is getattr(plugins, f"disable_{name}")


def test_a_disabled_plugin_lets_calls_pass(tmp_path: Path) -> None:
    """Its calls are not recorded while it is off, and are once it is on again."""
    with timetracer.record(tmp_path / "c.json"):
        plugins.disable_sqlite3()
        assert _ask() == (2,)
        plugins.enable_sqlite3()
        _ask()
    statements = [event.signature.method for event in read_cassette(tmp_path / "c.json").events]
    assert statements.count("SELECT") == 1


def test_a_disabled_plugin_stays_disabled(tmp_path: Path) -> None:
    """Also for what is recorded afterwards."""
    plugins.disable_sqlite3()
    try:
        with timetracer.record(tmp_path / "c.json"):
            _ask()
    finally:
        plugins.enable_sqlite3()
    assert read_cassette(tmp_path / "c.json").events == []


@pytest.mark.parametrize("switch", [plugins.enable_plugin, plugins.disable_plugin])
def test_an_unknown_plugin_is_an_error_that_says_which_there_are(switch: object) -> None:
    """A misspelt name would else do nothing, unseen."""
    with pytest.raises(timetracer.ConfigError, match=r"plugin='htpx' is not allowed: one of aiohttp, .*httpx.*urllib3"):
        switch("htpx")  # type: ignore[operator]


def test_a_missing_library_names_the_extra(tmp_path: Path) -> None:
    """The plugin is ours, its library is not there: what to install is said."""
    (tmp_path / "redis.py").write_text("raise ModuleNotFoundError('No module named redis', name='redis')")
    code = "from timetracer.plugins import enable_redis; enable_redis()"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "MissingDependencyError: the plugin redis needs an extra package: pip install 'timetracer[redis]'"
        in done.stderr
    )


def test_code_in_a_session_can_tell(cassette: Path) -> None:
    """`timetracer.context` says whether and how the running code is traced."""
    assert get_current_session() is None
    assert not has_active_session()
    with timetracer.record(cassette.with_name("other.json")):
        session = get_current_session()
        assert isinstance(session, TraceSession)
        assert (session.is_recording, session.is_replaying) == (True, False)
        assert session == get_current_session()
    with timetracer.replay(cassette, live_plugins=["redis", "http"]):
        session = get_current_session()
        assert isinstance(session, ReplaySession)
        assert (session.is_recording, session.is_replaying) == (False, True)
        mocked = [name for name in ("db", "sqlite3", "redis", "http", "httpx") if session.should_mock_plugin(name)]
        assert mocked == ["db", "sqlite3"]
        assert session.get_unconsumed_events() == session.events
        _ask()
        assert session.get_unconsumed_events() == []
    assert not has_active_session()


def test_cassettes_are_read_and_written(cassette: Path) -> None:
    """Paths may be text; events are those of `timetracer.types`, their types those of `timetracer.constants`."""
    found = read_cassette(str(cassette))
    event = found.events[-1]
    assert isinstance(event, DependencyEvent)
    assert isinstance(event.signature, EventSignature)
    assert isinstance(event.result, EventResult)
    assert event.type == EventType.DB_QUERY
    copy = write_cassette(found, str(cassette.with_name("copy.json")))
    assert read_cassette(copy) == found


def test_the_import_paths_of_1_x_load_nothing_before_they_are_used() -> None:
    """`import timetracer` and `timetracer.cassette` stay light."""
    loaded = "sorted(name for name in sys.modules if name.startswith('timetracer'))"
    code = f"import sys, timetracer, timetracer.cassette; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['timetracer', 'timetracer.cassette']"


PALETTE = """
asked = []


def name_of(colour):
    asked.append(colour)
    raise ConnectionError("nobody is there")
"""
PALETTE_PLUGIN = """
from timetracer.plugin import Exchange, Patch, Plugin, Request

PLUGIN = Plugin(
    name="palette",
    kind="http",
    library="palette",
    patches=(
        Patch(
            "palette:name_of",
            Exchange(
                describe=lambda call: Request(type="http.client", method="NAME", target=call.arg(0, "colour")),
                encode=lambda call, result, capture: capture.reply(result) or result,
                decode=lambda call, reply: reply.value,
            ),
        ),
    ),
)
"""
PALETTE_APP = """
import palette, timetracer

with timetracer.record("c.json"):
    try:
        palette.name_of("#f00")
    except ConnectionError as error:
        live = error
try:
    with timetracer.replay("c.json"):
        try:
            palette.name_of("#f00")
        except ConnectionError as error:
            print(type(error) is type(live), error.args == live.args)
        palette.name_of("#0f0")
except timetracer.NoMatch as miss:
    print(miss.details["differences"])
print(palette.asked)
"""


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    """A library, its plugin, and what an installer leaves of them."""
    info = tmp_path / "timetracer_palette-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: timetracer-palette\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[timetracer_plugin]\npalette = palette_plugin:PLUGIN\nbroken = palette_plugin:Patch\n"
    )
    (tmp_path / "palette.py").write_text(PALETTE)
    (tmp_path / "palette_plugin.py").write_text(PALETTE_PLUGIN)
    return tmp_path


def _run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_a_third_party_plugin_is_found(third_party: Path) -> None:
    """Registered under the entry point group, it records and replays as ours do, with no line in the app."""
    done = _run(PALETTE_APP, third_party)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["True True", "[\"target: recorded '#f00', asked '#0f0'\"]", "['#f00']"]


def test_a_third_party_plugin_can_be_switched_by_hand(third_party: Path) -> None:
    """`enable_plugin` takes its name; what is no plugin is refused, and what a misspelling could mean is said."""
    found = "from timetracer import plugins\nfrom timetracer.engine import wrapping\n"
    done = _run(found + "plugins.enable_plugin('palette'); print([*wrapping.installed()])", third_party)
    assert (done.returncode, done.stdout) == (0, "['palette']\n"), done.stderr
    done = _run(found + "plugins.enable_plugin('broken')", third_party)
    assert "ConfigError: timetracer_plugin broken='palette_plugin:Patch' is not allowed" in done.stderr
    done = _run(found + "plugins.enable_plugin('paint')", third_party)
    assert "plugin='paint' is not allowed: one of aiohttp, broken" in done.stderr
    assert "palette" in done.stderr


@pytest.mark.parametrize("setting", ["capture", "live_plugins", "mock_plugins"])
def test_a_third_party_plugin_can_be_named_in_settings(setting: str, third_party: Path) -> None:
    """By its name, not only by its kind."""
    done = _run(f"import timetracer\nwith timetracer.record('c.json', {setting}=['palette']): pass", third_party)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_third_party_plugin_without_its_library_says_what_is_missing(third_party: Path) -> None:
    """The extra is not ours to name."""
    (third_party / "palette_plugin.py").write_text("import palette_core")
    done = _run("from timetracer import plugins; plugins.enable_plugin('palette')", third_party)
    assert "ModuleNotFoundError: No module named 'palette_core'" in done.stderr
