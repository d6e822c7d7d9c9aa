"""The pytest plugin: a cassette a test, by marker or by fixture.

Nothing of timetracer but this file is imported in a run whose tests ask for no cassette.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from timetracer.cassette.model import Cassette
    from timetracer.runtime.scopes import Scope, record, replay
    from timetracer.runtime.testing import Tested

_SCOPE = pytest.StashKey[Any]()
_NAMES = pytest.StashKey[dict[Path, str]]()
_RECORD_MODES = ("none", "once", "new_episodes", "all", "rewrite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of contract.md."""
    group = parser.getgroup("timetracer", "cassettes of what the tested code asked for")
    group.addoption(
        "--timetracer-record",
        choices=_RECORD_MODES,
        help="none: replay only; once: record where there is no cassette; new_episodes: add what is new; all: record"
        " everything; rewrite: delete and record. Default: none if CI is set, else once",
    )
    group.addoption("--timetracer-block-network", action="store_true", help="refuse connections in every test")
    group.addoption(
        "--timetracer-allowed-hosts", default="", help="hosts that may be connected to all the same, by comma"
    )
    group.addoption(
        "--timetracer-unused",
        choices=("error", "warn", "ignore"),
        default="ignore",
        help="what a recorded call means that a replayed test did not make",
    )
    parser.addini("timetracer_cassette_dir", "folder of cassettes; default: cassettes beside the test")
    parser.addini("timetracer_record", "record mode, as --timetracer-record")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers",
        "cassette(path=None, *, record=None, strict=None, plugins=None, live=None, allow_unused=None,"
        " allow_repeats=False): record this test's calls to other services once, answer them from the cassette afterwards",
    )
    if config.getoption("--timetracer-block-network"):
        from timetracer.engine import fence

        hosts = [host.strip() for host in config.getoption("--timetracer-allowed-hosts").split(",") if host.strip()]
        fence.raise_fence(everywhere=True, allowed_hosts=tuple(hosts))


# ------------------------------------------------------------------------------------------------ the marker


@pytest.fixture(autouse=True)
def _timetracer_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Puts the marker's cassette around the test and its function-scoped fixtures."""
    marker = request.node.get_closest_marker("cassette")
    if marker is None:
        yield
        return
    path, options = _arguments(request, *marker.args, **marker.kwargs)
    with _scope(request, path, **options) as scope:
        request.node.stash[_SCOPE] = scope
        yield


def _arguments(
    request: pytest.FixtureRequest, path: str | Path | None = None, **options: Any
) -> tuple[Path, dict[str, Any]]:
    """Reads the marker: its path against the cassette folder, and its options."""
    allowed = {"record", "strict", "plugins", "live", "allow_unused", "allow_repeats"}
    if unknown := set(options) - allowed:
        raise pytest.UsageError(
            f"marker cassette: {', '.join(sorted(unknown))} is none of {', '.join(sorted(allowed))}"
        )
    folder: Path = request.getfixturevalue("timetracer_cassette_dir")
    return (_default_path(request, folder) if path is None else _beside(request, Path(path))), options


def _beside(request: pytest.FixtureRequest, path: Path) -> Path:
    return path if path.is_absolute() else request.path.parent / path


def _default_path(request: pytest.FixtureRequest, folder: Path) -> Path:
    """Returns `<folder>/<module>/<Class.test[params]>.json`; ids that would clash get distinct names."""
    node = request.node
    name = ".".join([*([node.cls.__name__] if node.cls else []), node.name])
    path = folder / request.path.stem / (re.sub(r"[^\w.\[\]-]+", "_", name)[:150] + ".json")
    taken = request.config.stash.setdefault(_NAMES, {})
    number = 1
    while taken.setdefault(path, node.nodeid) != node.nodeid:
        number += 1
        path = path.with_name(re.sub(r"(~\d+)?\.json$", f"~{number}.json", path.name))
    return path


def _mode(config: pytest.Config, mine: str | None) -> str:
    from timetracer.config import in_ci

    chosen = config.getoption("--timetracer-record") or mine or config.getini("timetracer_record")
    return str(chosen or ("none" if in_ci() else "once"))


def _scope(
    request: pytest.FixtureRequest,
    path: Path,
    *,
    record: str | None = None,
    strict: bool | None = None,
    plugins: list[str] | None = None,
    live: list[str] | None = None,
    allow_unused: bool | None = None,
    allow_repeats: bool = False,
) -> Any:
    from timetracer.runtime.testing import Tested

    options: dict[str, Any] = dict(request.getfixturevalue("timetracer_config"))
    given = {"strict_replay": strict, "mock_plugins": plugins, "capture": plugins, "live_plugins": live}
    options |= {name: value for name, value in given.items() if value is not None}
    options |= {"allow_repeats": True} if allow_repeats else {}
    unused = "ignore" if allow_unused else request.config.getoption("--timetracer-unused")
    if allow_unused is False:
        unused = "error"
    return Tested(path, _mode(request.config, record), unused=unused, **options)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fails a test in which a call found no answer, also where the app swallowed the error."""
    scope = item.stash.get(_SCOPE, None)
    if scope is None:
        return (yield)
    function = getattr(item, "obj", None)
    if inspect.iscoroutinefunction(function):
        item.obj = _in_session(function, scope)  # type: ignore[attr-defined]
    result = yield
    scope.check()
    return result


def _in_session(function: Callable[..., Any], scope: Tested) -> Callable[..., Any]:
    """Carries the session into an async test, which may run in a context made before the session was."""

    @functools.wraps(function)
    async def test(*args: Any, **kwargs: Any) -> Any:
        with scope.current():
            return await function(*args, **kwargs)

    return test


# ------------------------------------------------------------------------------------------------ fixtures


@pytest.fixture
def timetracer_cassette_dir(request: pytest.FixtureRequest) -> Path:
    """The folder of this test's cassettes. Override it to put them elsewhere."""
    chosen = request.config.getini("timetracer_cassette_dir")
    return request.config.rootpath / chosen if chosen else request.path.parent / "cassettes"


@pytest.fixture
def timetracer_config() -> dict[str, Any]:
    """Fields of `TraceConfig` for this test. Override it, in any scope."""
    return {}


@pytest.fixture
def timetracer_replay(request: pytest.FixtureRequest, timetracer_config: dict[str, Any]) -> Callable[..., replay]:
    """`with timetracer_replay("x.json"): ...` answers from a cassette; `async with` works as well."""
    from timetracer.runtime.scopes import replay

    return lambda path, **options: replay(_beside(request, Path(path)), **{**timetracer_config, **options})


@pytest.fixture
def timetracer_record(
    request: pytest.FixtureRequest, timetracer_config: dict[str, Any], timetracer_cassette_dir: Path
) -> Callable[..., record]:
    """`with timetracer_record(): ...` records into a cassette."""
    from timetracer.runtime.scopes import record

    def scope(path: str | Path | None = None, **options: Any) -> record:
        where = _default_path(request, timetracer_cassette_dir) if path is None else _beside(request, Path(path))
        return record(where, **{**timetracer_config, **options})

    return scope


@pytest.fixture
def timetracer_auto(request: pytest.FixtureRequest, timetracer_cassette_dir: Path) -> Callable[..., Scope]:
    """`with timetracer_auto(): ...` records or replays, by the record mode."""

    def scope(path: str | Path | None = None, **options: Any) -> Any:
        where = _default_path(request, timetracer_cassette_dir) if path is None else _beside(request, Path(path))
        return _scope(request, where, **options)

    return scope


@pytest.fixture
def timetracer_cassette(request: pytest.FixtureRequest, _timetracer_marked: None) -> Cassette | None:
    """The cassette that answers this test; None while it is recorded."""
    scope = request.node.stash.get(_SCOPE, None)
    if scope is None:
        raise pytest.UsageError("timetracer_cassette needs the marker: @pytest.mark.cassette")
    return scope.cassette  # type: ignore[no-any-return]
