"""The pytest plugin: a cassette a test, by marker or by fixture.

Nothing of timetracer but this file is imported in a run whose tests ask for no cassette.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from timetracer.cassette.model import Cassette
    from timetracer.runtime.testing import Tested

_RECORD_MODES = ("none", "once", "new_episodes", "all", "rewrite")
_LONGEST = 150
_OPTIONS = {
    "strict": ("strict_replay",),
    "plugins": ("capture", "mock_plugins"),
    "live": ("live_plugins",),
    "allow_repeats": ("allow_repeats",),
}
"""What marker and fixtures call the fields of `TraceConfig`."""
_DATABASE_FIXTURES = frozenset(
    ("db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server")
)
"""Of pytest-django: who asks for one has the database, marked or not
(https://github.com/pytest-dev/pytest-django/blob/v4.11.1/pytest_django/fixtures.py)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the command line and of the ini file."""
    group = parser.getgroup("timetracer", "cassettes of what the tested code asked for")
    group.addoption(
        "--timetracer-record",
        choices=_RECORD_MODES,
        help="none: replay only; once: record where there is no cassette; new_episodes: add what is new; all: ask"
        " everything anew; rewrite: delete and record. Default: none if CI is set, else once",
    )
    group.addoption("--timetracer-block-network", action="store_true", help="refuse connections in every test")
    group.addoption(
        "--timetracer-allowed-hosts", default="", help="hosts that may be connected to all the same, by comma"
    )
    group.addoption(
        "--timetracer-unused",
        choices=("error", "warn", "ignore"),
        default="ignore",
        help="what it means that a replayed test did not make a recorded call",
    )
    parser.addini("timetracer_cassette_dir", "folder of cassettes, from the root folder; default: beside the test")
    parser.addini("timetracer_record", "record mode, as --timetracer-record")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker, checks the settings, and closes the network where that is asked for."""
    config.addinivalue_line(
        "markers",
        "cassette(path=None, *, record=None, strict=None, plugins=None, live=None, allow_unused=None,"
        " allow_repeats=False): record this test's calls to other services once, answer them from the cassette"
        " afterwards",
    )
    mode = config.getini("timetracer_record")
    if mode and mode not in _RECORD_MODES:
        raise pytest.UsageError(f"timetracer_record = {mode} is not allowed: one of {', '.join(_RECORD_MODES)}")
    if config.getoption("--timetracer-block-network"):
        from timetracer.engine.fence import raise_fence

        hosts = _allowed_hosts(config)
        config.add_cleanup(
            raise_fence(everywhere=True, allowed_hosts=hosts, why="--timetracer-block-network is set").lower
        )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Makes ready where a test will need it: a connection that a wider fixture opens before is else never seen."""
    if any(i.get_closest_marker("cassette") or _FIXTURES & {*getattr(i, "fixturenames", ())} for i in session.items):
        from timetracer.config import TraceConfig
        from timetracer.runtime import process

        process.prepare(TraceConfig())


_FIXTURES = {"timetracer_auto", "timetracer_record", "timetracer_replay"}


def _allowed_hosts(config: pytest.Config) -> tuple[str, ...]:
    given: str = config.getoption("--timetracer-allowed-hosts")
    return tuple(host.strip() for host in given.split(",") if host.strip())


# ------------------------------------------------------------------------------------------------ the marker


@pytest.fixture(autouse=True)
def _timetracer_marked(request: pytest.FixtureRequest) -> Iterator[Tested | None]:
    """Puts the marker's cassette around the test and its function-scoped fixtures."""
    markers = list(request.node.iter_markers("cassette"))
    if not markers:
        yield None
        return
    path, options = _arguments(markers)
    with _short_errors():
        tested = _tested(request, path, **options).__enter__()
    request.node.stash[_TESTED] = tested
    yield tested
    with _short_errors():
        tested.close()


_TESTED = pytest.StashKey["Tested | None"]()


def _arguments(markers: list[pytest.Mark]) -> tuple[str | Path | None, dict[str, Any]]:
    """Reads the markers of a test, its class and its module; the closest one that says a thing has its way."""
    path: str | Path | None = None
    options: dict[str, Any] = {}
    for marker in reversed(markers):
        given = dict(marker.kwargs)
        path = given.pop("path", marker.args[0] if marker.args else path)
        options |= given
        wrong = set(given) - {"record", "allow_unused", *_OPTIONS}
        if wrong or len(marker.args) > 1:
            what = ", ".join(sorted(wrong)) or f"{len(marker.args)} positional arguments"
            pytest.fail(
                f"@pytest.mark.cassette does not know {what}; it takes"
                " (path=None, *, record, strict, plugins, live, allow_unused, allow_repeats)",
                pytrace=False,
            )
    if path is not None and not isinstance(path, (str, Path)):
        pytest.fail(f"@pytest.mark.cassette({path!r}): the first argument is the cassette's path", pytrace=False)
    return path, options


class _short_errors:
    """Shows a setting or cassette that cannot be used as one line: nobody wants our frames then."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, (pytest.fail.Exception, pytest.skip.Exception)):
            return
        from timetracer.errors import CassetteError, ConfigError

        if isinstance(error, ConfigError):
            typed = {field: name for name, fields in _OPTIONS.items() for field in fields}
            error = ConfigError(typed.get(error.name, error.name), error.value, error.allowed)
        if isinstance(error, (CassetteError, ConfigError)):
            raise pytest.fail.Exception(f"{type(error).__name__}: {error}", pytrace=False) from None


# ------------------------------------------------------------------------------------------------ the verdict


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Notes that a fixture failed: what the test did not come to ask for is no news."""
    try:
        return (yield)
    except BaseException as error:
        _note_failure(item, error, "setup")
        raise


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fails a test in which a call found no answer, also where the app swallowed the error."""
    __tracebackhide__ = True
    tested = item.stash.get(_TESTED, None)
    if tested is None:
        return (yield)
    function = getattr(item, "obj", None)
    if inspect.iscoroutinefunction(function):
        item.obj = _in_session(function, tested)  # type: ignore[attr-defined]
    # unittest.IsolatedAsyncioTestCase runs in a context that it made before any fixture
    # (https://github.com/python/cpython/blob/3.13/Lib/unittest/async_case.py).
    context = getattr(getattr(item, "instance", None), "_asyncioTestContext", None)
    if context is not None:
        context.run(tested.attach)
    try:
        result = yield
    except BaseException as error:
        _note_failure(item, error, "call")
        raise
    finally:
        if inspect.iscoroutinefunction(function):
            item.obj = function  # type: ignore[attr-defined]
    reported = getattr(item, "_excinfo", None)  # a unittest.TestCase reports its failure so
    if reported:
        _note_failure(item, reported[0].value, "call")
        return result
    try:
        tested.check()
    except BaseException:
        tested.fail()
        raise
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Judges the test once its fixtures are done: what one of them has raised is not said a second time."""
    __tracebackhide__ = True
    tested = item.stash.get(_TESTED, None)
    try:
        result = yield
    except BaseException as error:
        _note_failure(item, error, "teardown")
        raise
    finally:
        item.stash[_TESTED] = None
    if tested is not None:
        from timetracer.errors import ReplayError

        try:
            tested.judge()
        except ReplayError as error:
            if error.reason == "unused":  # nothing of the test is to be shown for what it did not do
                raise pytest.fail.Exception(f"timetracer.errors.ReplayError: {error}", pytrace=False) from None
            raise
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Ends tracebacks where the code asked, in fixtures as well."""
    for failure in (call.excinfo, *(getattr(item, "_excinfo", None) or ())):
        if failure is not None and "timetracer.errors" in sys.modules:
            from timetracer.runtime.tracebacks import end_where_asked

            end_where_asked(failure.value)
    return (yield)


def _note_failure(item: pytest.Item, error: BaseException, when: str) -> None:
    tested = item.stash.get(_TESTED, None)
    if tested is not None:
        tested.fail()
        _show_swallowed(item, tested, error, when)


def _show_swallowed(item: pytest.Item, tested: Tested, error: BaseException, when: str) -> None:
    """Adds to a test that failed for another reason which calls found no answer: most often they are the reason."""
    from timetracer.runtime.tracebacks import chained

    shown = list(chained(error))
    for miss in tested.untold():
        if miss not in shown:
            item.add_report_section(when, "timetracer: a call found no answer", str(miss))


def _in_session(function: Callable[..., Any], tested: Tested) -> Callable[..., Any]:
    """Carries the session into an async test, which may run in a context made before the session was."""

    @functools.wraps(function)
    async def test(*args: Any, **kwargs: Any) -> Any:
        with tested.current():
            return await function(*args, **kwargs)

    return test


# ------------------------------------------------------------------------------------------------ one cassette


def _tested(request: pytest.FixtureRequest, path: str | Path | None, *, how: str = "episode", **given: Any) -> Tested:
    """Returns what records or replays: `how` says which, or that the record mode does."""
    from timetracer.runtime import scopes
    from timetracer.runtime.episodes import episode
    from timetracer.runtime.testing import Tested, stays_live

    mine, allow_unused = given.pop("record", None), given.pop("allow_unused", None)
    options: dict[str, Any] = dict(request.getfixturevalue("timetracer_config"))
    for name, value in given.items():
        if value is not None:
            options |= dict.fromkeys(_OPTIONS.get(name, (name,)), value)
    if not set(options) & {"capture", "mock_plugins", "live_plugins"} and _has_django_database(request):
        options["live_plugins"] = ["db"]  # the test runner makes it, and rolls it back outside the test
    if how == "replay":
        scope: scopes.Scope = scopes.replay(_found(request, Path(path or "")), **options)
    else:
        where = _default_path(request) if path is None else _beside(request, Path(path))
        scope = (
            scopes.record(where, **options)
            if how == "record"
            else episode(where, _mode(request.config, mine), **options)
        )
    unused = {True: "ignore", False: "error"}.get(allow_unused, request.config.getoption("--timetracer-unused"))
    rerecord = f"record it: pytest --timetracer-record=rewrite {shlex.quote(request.node.nodeid)}"
    return Tested(
        scope,
        rerecord=rerecord,
        unused=unused,
        allowed_hosts=_allowed_hosts(request.config),
        own_servers=_own_servers(request),
        live=stays_live(options),
    )


def _has_django_database(request: pytest.FixtureRequest) -> bool:
    """Whether this is a Django test with a database of the test runner's."""
    in_class = hasattr(request.cls, "_pre_setup") and bool(getattr(request.cls, "databases", None))
    by_fixture = not _DATABASE_FIXTURES.isdisjoint(request.fixturenames)
    return in_class or by_fixture or request.node.get_closest_marker("django_db") is not None


def _own_servers(request: pytest.FixtureRequest) -> list[str]:
    """Returns the URL of Django's live server: of LiveServerTestCase, or of pytest-django's fixture."""
    found = [request.cls.live_server_url] if hasattr(request.cls, "live_server_url") else []
    if "live_server" in request.fixturenames:
        found += filter(None, [getattr(request.getfixturevalue("live_server"), "url", None)])
    return found


def _mode(config: pytest.Config, mine: str | None) -> str:
    from timetracer.config import in_ci

    chosen = config.getoption("--timetracer-record") or mine or config.getini("timetracer_record")
    return str(chosen or ("none" if in_ci() else "once"))


def _beside(request: pytest.FixtureRequest, path: Path) -> Path:
    return path if path.is_absolute() else request.path.parent / path


def _found(request: pytest.FixtureRequest, path: Path) -> Path:
    """Returns where a cassette to be replayed lies: beside the test, in the cassette folder, or from the root."""
    folder: Path = request.getfixturevalue("timetracer_cassette_dir")
    places = (_beside(request, path), folder / path, request.config.rootpath / path)
    return next((place for place in places if place.exists()), places[0])


def _default_path(request: pytest.FixtureRequest) -> Path:
    """Returns `<folder>/<module>/<Class.test[params]>.json`, which depends on the test's id alone.

    Where the name cannot hold the id in full, a digest of the id keeps it apart from others. In a folder that several
    modules share, the module is its path from beside that folder.
    """
    folder: Path = request.getfixturevalue("timetracer_cassette_dir")
    node = request.node
    names = [each.name for each in node.listchain() if isinstance(each, pytest.Class)]
    plain = ".".join([*names, node.name])
    name = re.sub(r"[^\w.\[\]-]+", "_", plain)[:_LONGEST]
    if name != plain:
        name += f"~{hashlib.sha256(plain.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    module = request.path.with_suffix("")
    for above in (folder.parent, request.config.rootpath):
        if module.is_relative_to(above):
            return folder / module.relative_to(above) / f"{name}.json"
    return folder / module.name / f"{name}.json"


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
def timetracer_replay(request: pytest.FixtureRequest) -> Callable[..., Tested]:
    """`with timetracer_replay("x.json"): ...` answers from a cassette; `async with` works as well."""
    return lambda path, **options: _tested(request, path, how="replay", **options)


@pytest.fixture
def timetracer_record(request: pytest.FixtureRequest) -> Callable[..., Tested]:
    """`with timetracer_record(): ...` records into a cassette."""
    return lambda path=None, **options: _tested(request, path, how="record", **options)


@pytest.fixture
def timetracer_auto(request: pytest.FixtureRequest) -> Callable[..., Tested]:
    """`with timetracer_auto(): ...` records or replays, by the record mode."""
    return lambda path=None, **options: _tested(request, path, **options)


@pytest.fixture
def timetracer_cassette(_timetracer_marked: Tested | None) -> Cassette | None:
    """The cassette that answers this test; None while it is recorded."""
    if _timetracer_marked is None:
        pytest.fail("timetracer_cassette needs the marker: @pytest.mark.cassette", pytrace=False)
    return _timetracer_marked.cassette
