"""Releases outside a plugin's range: said once, and refused only where a replay could not keep them from the server."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from timetracer.config import TraceConfig
from timetracer.engine import wrapping
from timetracer.errors import ReplayError
from timetracer.plugin import Open, Patch, Plugin
from timetracer.runtime import libraries
from timetracer.runtime.releases import release_of

OPENS = Open(stand_in=lambda call, real, known: None, leave=lambda connection: None)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A library of release 3.4.1, known to no package index."""
    made = ModuleType("some_library")
    made.__dict__.update(__version__="3.4.1", connect=lambda: "live")
    monkeypatch.setitem(sys.modules, "some_library", made)
    yield made
    wrapping.remove_all()


def plugin(requirement: str, *patches: Patch) -> Plugin:
    return Plugin(name="some_library", kind="db", library=requirement, patches=patches)


def put_in(found: Plugin, monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PLUGIN", found, raising=False)
    known = {"some_library": EntryPoint("some_library", f"{__name__}:PLUGIN", libraries.GROUP)}
    monkeypatch.setattr(libraries, "discovered", lambda: known)
    libraries.install_present(TraceConfig().with_settings(settings))


@pytest.mark.parametrize(
    ("requirement", "tested"),
    [
        ("some-library>=3.1,<3.5", True),
        ("some-library>=3.1,<3.4", False),
        ("some-library[extra] >= 3.4.1, < 4", True),
        ("some-library>3.4.1", False),
        ("some-library>=3.4.2", False),
        ("some-library==3.4.1,!=3.4", True),
        ("some-library<=3.4.1.0", True),
        ("some-library", True),
        ("some-library>=3,<10; python_version >= '3'", True),
        ("some-library<3.4.1", False),
    ],
)
def test_a_release_is_compared_by_its_numbers(requirement: str, tested: bool, library: ModuleType) -> None:
    """What a plugin asks for is understood as pip understands it."""
    release = release_of(plugin(requirement))
    assert (release.number, release.tested) == ("3.4.1", tested)
    assert Requirement(requirement).specifier.contains("3.4.1") is tested


@pytest.mark.parametrize(("requirement", "shown"), [("no-such-package>=1", "no-such-package"), ("", "")])
def test_what_is_not_known_is_not_held_against_a_library(requirement: str, shown: str) -> None:
    """A library without metadata, or a plugin without a requirement, is not called untested."""
    release = release_of(plugin(requirement))
    assert release.tested
    assert str(release) == f"{shown} (its version is not known)"


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_an_untested_release_is_said_once_and_used(
    mode: str, library: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In both modes the release, the range and doctor are named, however often a session starts."""
    found = plugin("some-library>=3.1,<3.4", Patch("some_library:connect", OPENS))
    with caplog.at_level(logging.WARNING, "timetracer"):
        put_in(found, monkeypatch, mode=mode)
        put_in(found, monkeypatch, mode=mode)
    (told,) = [record.getMessage() for record in caplog.records if "some-library" in record.getMessage()]
    assert "some-library 3.4.1 is not among the releases" in told
    assert "(some-library>=3.1,<3.4)" in told
    assert "timetracer doctor" in told
    assert wrapping.installed()["some_library"].missing == []


def test_a_tested_release_is_not_mentioned(
    library: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Inside its range nothing is said."""
    with caplog.at_level(logging.WARNING, "timetracer"):
        put_in(plugin("some-library>=3.4,<4", Patch("some_library:connect", OPENS)), monkeypatch, mode="replay")
    assert caplog.records == []


def test_a_replay_refuses_what_it_could_not_keep_from_the_server(
    library: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the function that opens connections is gone, a library that connects in C would go live."""
    found = plugin("some-library>=3.1,<3.4", Patch("some_library:open_connection", OPENS))
    with pytest.raises(ReplayError, match=r"some-library 3\.4\.1 .* some_library:open_connection") as raised:
        put_in(found, monkeypatch, mode="replay")
    assert "install some-library>=3.1,<3.4" in str(raised.value)


@pytest.mark.parametrize("settings", [{"mode": "record"}, {"mode": "replay", "live_plugins": ["db"]}])
def test_what_goes_live_anyway_is_let_be(
    settings: dict[str, object], library: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recording, and a plugin that is live in a replay, need no stand-in."""
    found = plugin("some-library>=3.1,<3.4", Patch("some_library:open_connection", OPENS))
    put_in(found, monkeypatch, **settings)
    assert wrapping.installed()["some_library"].missing == ["some_library:open_connection"]
