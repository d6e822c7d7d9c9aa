"""The pytest plugin as a user meets it: marker, paths, fixtures, settings. Inner runs with real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.pytest_project import INI, Project
from tests.services import Upstream


@pytest.fixture
def project(tmp_path: Path, upstream: Upstream) -> Project:
    """An empty project."""
    return Project(tmp_path, upstream)


PATHS = """
import threading, unittest
import httpx, pytest

pytestmark = pytest.mark.cassette


def ask(query=""):
    return httpx.get(URL + "/echo" + query).json()


@pytest.fixture
def token():
    yield ask("?fixture")["target"]
    ask("?teardown")


def test_function(token):
    assert token == "/echo?fixture"


class TestOuter:
    class TestInner:
        @pytest.mark.parametrize("word", ["a/b", "a?b", "plain"])
        def test_words(self, word):
            assert ask("?" + word.replace("?", "%3F"))

    def test_same_name(self):
        ask("?outer")


class TestInner:
    @pytest.mark.cassette("own/place.json")
    def test_own_path(self):
        ask()

    @pytest.mark.parametrize("long", ["1", "2"], ids=["x" * 300 + "1", "x" * 300 + "2"])
    def test_long(self, long):
        assert ask("?" + long[-1])["target"][-1] == long[-1]


class TestCase(unittest.TestCase):
    def setUp(self):
        self.set_up = ask("?set-up")

    def test_method(self):
        assert ask("?method") != self.set_up

    def tearDown(self):
        ask("?tear-down")


def test_thread():
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(ask(f"?{n}"))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3


def test_without_calls():
    pass
"""


def test_each_test_has_a_cassette_beside_it_whose_name_is_its_own(project: Project) -> None:
    """Functions, classes in classes, parameters that no file name holds, unittest, threads, fixtures, own paths."""
    project.write("sub/test_paths.py", PATHS)
    recorded = project.pytest("--timetracer-unused=error")
    assert recorded.all("PASSED", 11), recorded.text
    found = project.cassettes()
    plain = [name for name in found if "~" not in name]
    assert plain == [
        "sub/cassettes/test_paths/TestCase.test_method.json",
        "sub/cassettes/test_paths/TestOuter.TestInner.test_words[plain].json",
        "sub/cassettes/test_paths/TestOuter.test_same_name.json",
        "sub/cassettes/test_paths/test_function.json",
        "sub/cassettes/test_paths/test_thread.json",
        "sub/own/place.json",
    ]
    assert len(found) == 10  # two words with other characters, two that are too long; none of the test without calls
    with project.offline():
        replayed = project.pytest("--timetracer-unused=error", CI="true")
        assert replayed.all("PASSED", 11), replayed.text
        # A name depends on its test alone, never on which tests run.
        alone = project.pytest(
            "--timetracer-unused=error", "sub/test_paths.py::TestOuter::TestInner::test_words[a?b]", CI="true"
        )
        assert alone.all("PASSED", 1), alone.text
        spread = project.pytest("--timetracer-unused=error", "-n", "2", "-p", "xdist", CI="true")
        assert spread.all("PASSED", 11), spread.text
    assert project.cassettes() == found
    inner = project.cassette("sub/cassettes/test_paths/test_function.json")
    assert [event["signature"]["url"].rpartition("?")[2] for event in inner["events"]] == ["fixture", "teardown"]


OPTIONS = """
import sqlite3
import httpx, pytest, requests

pytestmark = pytest.mark.cassette(allow_unused=False)


def text(path):
    return httpx.get(URL + path).text


@pytest.mark.cassette(allow_repeats=True)
def test_repeats(request):
    first = text("/counter/repeats")
    if REPLAYED:
        assert text("/counter/repeats") == first == text("/counter/repeats")


def test_no_repeats():
    text("/counter/no")
    if REPLAYED:
        text("/counter/no")


@pytest.mark.cassette(plugins=["httpx"])
def test_plugins(tmp_path):
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("create table if not exists t (n)")
    database.close()
    text("/json")


@pytest.mark.cassette(live=["sqlite3"], allow_unused=True)
def test_live(tmp_path):
    database = sqlite3.connect(tmp_path / "x.db")
    database.execute("create table if not exists t (n)")
    database.close()
    assert (tmp_path / "x.db").stat().st_size
    text("/json")


def path_of(n):
    return f"/echo?id={n:08d}-1111-4111-8111-{n:012d}"


@pytest.mark.cassette(strict=True)
def test_strict():
    text(path_of(1 + REPLAYED))


def test_not_strict():
    text(path_of(1 + REPLAYED))


def test_unused():
    if not REPLAYED:
        text("/json")


@pytest.mark.cassette(allow_unused=True)
def test_allowed_unused():
    if not REPLAYED:
        text("/json")


@pytest.mark.cassette(record="none")
def test_never_recorded():
    text("/json")


@pytest.mark.cassette(record="rewrite")
def test_always_recorded():
    text("/json")


@pytest.mark.cassette(recrod="none")
def test_misspelled():
    pass


@pytest.mark.cassette(record="sometimes")
def test_no_such_mode():
    pass
"""


def test_the_markers_options(project: Project) -> None:
    """Each does what its name says, and the closest marker that says a thing has its way."""
    project.write("test_options.py", "REPLAYED = False\n" + OPTIONS)
    recorded = project.pytest()
    bad = {"test_options.py::test_misspelled", "test_options.py::test_no_such_mode"}
    assert {name for name, outcome in recorded.outcomes.items() if outcome == "ERROR"} == bad, recorded.text
    assert "@pytest.mark.cassette does not know recrod; it takes" in recorded.text
    assert (
        "ConfigError: record='sometimes' is not allowed: one of none, once, new_episodes, all, rewrite" in recorded.text
    )
    failed = {name for name, outcome in recorded.outcomes.items() if outcome == "FAILED"}
    assert failed == {"test_options.py::test_never_recorded"}, recorded.text
    assert "no cassette for this call: httpx GET" in recorded.text
    libraries = {e["signature"]["lib"] for e in project.cassette("cassettes/test_options/test_plugins.json")["events"]}
    assert libraries == {"httpx"}

    project.write("test_options.py", "REPLAYED = True\n" + OPTIONS)
    with project.offline():
        replayed = project.pytest("--deselect", "test_options.py::test_misspelled")
    ended = {name.partition("::")[2]: outcome for name, outcome in replayed.outcomes.items()}
    assert ended == {
        "test_repeats": "PASSED",
        "test_no_repeats": "FAILED",
        "test_plugins": "PASSED",
        "test_live": "PASSED",
        "test_strict": "FAILED",
        "test_not_strict": "PASSED",
        "test_unused": "ERROR",
        "test_allowed_unused": "PASSED",
        "test_never_recorded": "FAILED",
        "test_always_recorded": "FAILED",
        "test_no_such_mode": "ERROR",
    }, replayed.text
    assert "1 recorded call was not made:\n" in replayed.text.replace("E   ", "").replace(
        "timetracer.errors.ReplayError: ", ""
    )
    assert "recorded 1 time, and every answer was already given" in replayed.text


FIXTURES = """
import asyncio
import httpx, pytest


def get(path):
    return httpx.get(URL + path).text


async def aget(path):
    async with httpx.AsyncClient() as client:
        return (await client.get(URL + path)).text


def test_record_then_replay(timetracer_record, timetracer_replay, timetracer_cassette_dir):
    with timetracer_record("a.json") as recorded:
        first = get("/counter/fixtures")
    assert recorded.path.name == "a.json"
    with timetracer_replay("a.json") as replayed:
        assert get("/counter/fixtures") == first
        assert len(replayed.cassette.events) == 1
        assert not replayed.unused
    with timetracer_record() as recorded:
        get("/json")
    assert recorded.path == timetracer_cassette_dir / "test_fixtures" / "test_record_then_replay.json"


@pytest.mark.asyncio
async def test_async(timetracer_record, timetracer_replay):
    async with timetracer_record("b.json"):
        first = await aget("/counter/async")
    async with timetracer_replay("b.json"):
        assert await aget("/counter/async") == first

    async def one(name):
        async with timetracer_record(name):
            return await asyncio.gather(aget("/counter/one"), aget("/counter/two"))

    async def again(name):
        async with timetracer_replay(name):
            return await asyncio.gather(aget("/counter/one"), aget("/counter/two"))

    names = ["c.json", "d.json"]
    assert await asyncio.gather(*map(one, names)) == await asyncio.gather(*map(again, names))


def test_swallowed_in_a_block(timetracer_record, timetracer_replay):
    with timetracer_record("e.json"):
        get("/json")
    with pytest.raises(Exception, match="no recorded call matches"), timetracer_replay("e.json"):
        try:
            get("/other")
        except Exception:
            pass


def test_options(timetracer_record, timetracer_replay):
    with timetracer_record("f.json", max_body_kb=1):
        get("/json")
        get("/text")
    with pytest.raises(Exception, match="1 recorded call was not made"):
        with timetracer_replay("f.json", allow_unused=False):
            get("/json")


def test_missing(timetracer_replay):
    with pytest.raises(Exception, match="there is no cassette"), timetracer_replay("missing.json"):
        pass
"""

AUTO = """
import httpx, pytest


@pytest.fixture(scope="session")
def timetracer_config():
    return {"service": "shop", "match_ignore": ["stamp"]}


@pytest.fixture(scope="module")
def timetracer_cassette_dir(request):
    return request.path.parent / "tapes"


def test_auto(timetracer_auto):
    with timetracer_auto() as tested:
        answer = httpx.get(URL + "/counter/auto", params={"stamp": STAMP}).text
    print("ANSWER", answer, tested.misses)


@pytest.mark.asyncio
async def test_auto_async(timetracer_auto):
    async with timetracer_auto("tapes/mine.json"), httpx.AsyncClient() as client:
        print("ANSWER", (await client.get(URL + "/counter/auto")).text)


@pytest.mark.cassette
def test_cassette(timetracer_cassette):
    print("SERVICE", timetracer_cassette and timetracer_cassette.trace.service)
    httpx.get(URL + "/json", params={"stamp": STAMP})


def test_cassette_without_marker(timetracer_cassette):
    pass
"""


def test_fixtures(project: Project) -> None:
    """timetracer_record, _replay, _auto, _cassette, sync and async; _cassette_dir and _config, in any scope."""
    project.write("test_fixtures.py", FIXTURES)
    recorded = project.pytest()
    assert recorded.all("PASSED", 5), recorded.text
    (project.folder / "test_fixtures.py").unlink()
    project.write("test_auto.py", "STAMP = 1\n" + AUTO)
    recorded = project.pytest()
    assert "SERVICE None" in recorded.text
    assert list(recorded.outcomes.values()).count("ERROR") == 1
    assert "timetracer_cassette needs the marker: @pytest.mark.cassette" in recorded.text
    assert {"tapes/mine.json", "tapes/test_auto/test_auto.json", "tapes/test_auto/test_cassette.json"} <= set(
        project.cassettes()
    )
    project.write("test_auto.py", "STAMP = 2\n" + AUTO)
    with project.offline():
        replayed = project.pytest("--deselect", "test_auto.py::test_cassette_without_marker")
    assert replayed.all("PASSED", 3), replayed.text
    assert "SERVICE shop" in replayed.text
    answers = [line for line in recorded.text.splitlines() if line.startswith("ANSWER")]
    assert answers == [line for line in replayed.text.splitlines() if line.startswith("ANSWER")]


def test_a_run_that_marks_no_test_imports_nothing(project: Project) -> None:
    """The plugin is there, and costs nothing."""
    code = """
import sys


def test_nothing():
    heavy = ("timetracer.engine", "timetracer.config", "opentelemetry", "msgspec", "rich", "click")
    assert not [name for name in sys.modules if name.startswith(heavy)]
"""
    project.write("test_nothing.py", code)
    run = project.pytest()
    assert run.all("PASSED", 1), run.text


def test_settings_of_the_ini_file_and_the_environment(project: Project) -> None:
    """The ini file names folder and mode, the command line wins, and CI replays only."""
    project.write("pytest.ini", INI + "timetracer_cassette_dir = tapes\ntimetracer_record = none\n")
    project.write(
        "a/test_one.py", "import httpx, pytest\n@pytest.mark.cassette\ndef test(): httpx.get(URL + '/json')\n"
    )
    project.write(
        "b/test_one.py", "import httpx, pytest\n@pytest.mark.cassette\ndef test(): httpx.get(URL + '/text')\n"
    )
    importing = "--import-mode=importlib"
    refused = project.pytest(importing)
    assert refused.all("FAILED", 2), refused.text
    assert "tapes/a/test_one/test.json" in refused.text
    assert "pytest --timetracer-record=rewrite a/test_one.py::test" in refused.text
    assert project.cassettes() == []
    recorded = project.pytest(importing, "--timetracer-record=once", CI="true")
    assert recorded.all("PASSED", 2), recorded.text
    assert project.cassettes() == ["tapes/a/test_one/test.json", "tapes/b/test_one/test.json"]
    with project.offline():
        replayed = project.pytest(importing)
    assert replayed.all("PASSED", 2), replayed.text
    project.write("pytest.ini", INI + "timetracer_record = maybe\n")
    wrong = project.pytest()
    assert wrong.code == 4
    assert "timetracer_record = maybe is not allowed: one of none, once, new_episodes, all, rewrite" in wrong.text
