"""How a test ends whose calls found no answer, and that tests do not leak into each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.pytest_project import INI, Project
from tests.services import Upstream


@pytest.fixture
def project(tmp_path: Path, upstream: Upstream) -> Project:
    """An empty project."""
    return Project(tmp_path, upstream)


MISSES = """
import threading, unittest
import httpx, pytest

pytestmark = pytest.mark.cassette


def careless(path):
    try:
        return httpx.get(URL + path).text
    except Exception:
        return "default"


def test_swallowed():
    careless("/json" + MORE)


def test_swallowed_twice():
    careless("/json" + MORE)
    careless("/text" + MORE)


def test_swallowed_in_a_thread():
    thread = threading.Thread(target=careless, args=("/json" + MORE,))
    thread.start()
    thread.join()


def test_fails_because_of_it():
    assert careless("/json" + MORE) != "default"


class TestCase(unittest.TestCase):
    def test_method(self):
        careless("/json" + MORE)

    def test_failing_method(self):
        self.assertNotEqual(careless("/json" + MORE), "default")


class TestAsync(unittest.IsolatedAsyncioTestCase):
    async def test_method(self):
        async with httpx.AsyncClient() as client:
            try:
                await client.get(URL + "/json" + MORE)
            except Exception:
                pass


@pytest.fixture
def after():
    yield
    careless("/text" + MORE)


def test_swallowed_in_teardown(after):
    httpx.get(URL + "/json")


@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    careless("/json" + MORE)


def test_raw_socket():
    import socket
    try:
        socket.create_connection((httpx.URL(URL).host, httpx.URL(URL).port)).close()
    except Exception:
        pass
    careless("/json")
"""


def test_a_swallowed_miss_fails_the_test(project: Project) -> None:
    """In the call phase, with the full report, whoever swallowed it: app, thread, unittest; in teardown there."""
    project.write("test_misses.py", 'MORE = ""\n' + MISSES)
    recorded = project.pytest()
    assert "FAILED" in recorded.text  # the one that is expected to fail does not
    assert list(recorded.outcomes.values()).count("PASSED") == 9, recorded.text
    project.write("test_misses.py", 'MORE = "?more"\n' + MISSES)
    with project.offline():
        replayed = project.pytest()
    ended = {name.partition("::")[2]: outcome for name, outcome in replayed.outcomes.items()}
    assert ended == {
        "test_swallowed": "FAILED",
        "test_swallowed_twice": "FAILED",
        "test_swallowed_in_a_thread": "FAILED",
        "test_fails_because_of_it": "FAILED",
        "TestCase::test_method": "FAILED",
        "TestCase::test_failing_method": "FAILED",
        "TestAsync::test_method": "FAILED",
        "test_swallowed_in_teardown": "ERROR",
        "test_expected_to_fail": "XFAIL",
        "test_raw_socket": "FAILED",
    }, replayed.text
    text = replayed.text
    assert text.count("differs:  target: recorded") >= 8
    assert "also swallowed: no recorded call matches: httpx GET" in text
    assert text.count("timetracer: a call found no answer") == 2, text  # of those that failed by their own assertion
    assert "timetracer/engine" not in text.replace("\\", "/")  # nobody wants our frames
    assert "tried to reach 127.0.0.1:" in text


LONGER = """
import sqlite3
import httpx, pytest, requests

pytestmark = pytest.mark.cassette


def read(chunks):
    got = [next(chunks)]
    if MORE:
        try:
            got += chunks
        except Exception:
            pass
    return got


def test_httpx():
    with httpx.stream("GET", URL + "/stream/5") as response:
        assert len(read(response.iter_raw())) == 1


def test_requests():
    with requests.get(URL + "/stream/5", stream=True, timeout=10) as response:
        assert len(read(response.iter_content(None))) == 1


@pytest.mark.asyncio
async def test_aiohttp():
    import aiohttp
    async with aiohttp.ClientSession() as session, session.get(URL + "/stream/5") as response:
        await response.content.readany()
        if MORE:
            try:
                await response.content.read()
            except Exception:
                pass


def test_rows():
    with sqlite3.connect(":memory:") as connection:
        cursor = connection.execute("values (1), (2), (3)")
        assert len(read(cursor)) == 1
"""


def test_reading_past_a_partly_read_answer_fails_the_test(project: Project) -> None:
    """Where the app takes more of a body, or of rows, than it took when it was recorded, swallowing the error."""
    project.write("test_longer.py", "MORE = False\n" + LONGER)
    assert project.pytest().all("PASSED", 4)
    with project.offline():
        again = project.pytest()
        assert again.all("PASSED", 4), again.text
        project.write("test_longer.py", "MORE = True\n" + LONGER)
        replayed = project.pytest()
    assert replayed.all("FAILED", 4), replayed.text
    assert replayed.text.count("when it was recorded, and now asks for more") >= 4
    assert "event 0: httpx GET" in replayed.text


LEAKS = """
import random, socket, threading, time, uuid, asyncio
import httpx, pytest


@pytest.mark.cassette
def test_one():
    print("DRAWN", uuid.uuid4(), random.random())
    print("YEAR", time.gmtime().tm_year)
    httpx.get(URL + "/echo", params={"id": str(uuid.uuid4())})


def test_nothing_is_left():
    from opentelemetry import context
    from timetracer.engine import fence
    from timetracer.engine.sessions import SESSIONS
    assert not fence.is_raised()
    assert SESSIONS.orphan() is None and not SESSIONS.searching and not SESSIONS.by_span
    assert not context.get_current()
    assert abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) < 1
    assert uuid.uuid4() != uuid.uuid4()
    host, port = httpx.URL(URL).host, httpx.URL(URL).port
    if LIVE:
        socket.create_connection((host, port)).close()
    else:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port))
    with pytest.raises(httpx.HTTPError) if not LIVE else __import__("contextlib").nullcontext():
        httpx.get(URL + "/json")


@pytest.mark.cassette
@pytest.mark.asyncio
async def test_two():
    async with httpx.AsyncClient() as client:
        print("DRAWN", uuid.uuid4(), random.random())
        answers = await asyncio.gather(*(client.get(URL + "/counter/gather") for _ in range(5)))
        print("ANSWERS", [answer.text for answer in answers])


def test_still_nothing_is_left():
    test_nothing_is_left()


@pytest.mark.cassette
def test_fails():
    httpx.get(URL + "/json")
    raise ValueError("own")


def test_nothing_is_left_of_a_failure():
    test_nothing_is_left()
"""


def test_tests_do_not_leak_into_each_other(project: Project) -> None:
    """Sessions, fences, clocks and entropy end with their test; within it they are those that were recorded."""
    project.write("test_leaks.py", "LIVE = True\n" + LEAKS)
    recorded = project.pytest()
    failed = [name for name, outcome in recorded.outcomes.items() if outcome != "PASSED"]
    assert failed == ["test_leaks.py::test_fails"], recorded.text
    project.write("test_leaks.py", "LIVE = False\n" + LEAKS)
    path = project.folder / "cassettes" / "test_leaks" / "test_one.json"
    start = project.cassette("cassettes/test_leaks/test_one.json")["trace"]["start"]
    path.write_text(path.read_text().replace(start, f"2001{start[4:]}"))
    with project.offline():
        replayed = project.pytest()
    failed = [name for name, outcome in replayed.outcomes.items() if outcome != "PASSED"]
    assert failed == ["test_leaks.py::test_fails"], replayed.text

    def drawn(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith(("DRAWN", "ANSWERS"))]

    assert len(drawn(recorded.text)) == 3
    assert drawn(recorded.text) == drawn(replayed.text)
    assert "YEAR 2001" in replayed.text


BLOCKED = """
import socket
import httpx, pytest


def test_plain():
    httpx.get(URL + "/json")


@pytest.mark.cassette
def test_marked():
    httpx.get(URL + "/json")
"""


def test_the_network_can_be_closed(project: Project) -> None:
    """In every test, marked or not, but for the hosts that are allowed."""
    project.write("test_blocked.py", BLOCKED)
    allowed = project.pytest("--timetracer-block-network", "--timetracer-allowed-hosts=10.0.0.1, 127.0.0.1")
    assert allowed.all("PASSED", 2), allowed.text
    blocked = project.pytest("--timetracer-block-network")
    assert sorted(blocked.outcomes.values()) == ["FAILED", "PASSED"], blocked.text
    assert "and --timetracer-block-network is set" in blocked.text


UNUSED = """
import httpx, pytest


@pytest.mark.cassette
def test_unused():
    for _ in range(TIMES):
        httpx.get(URL + "/json")
"""


def test_unused_calls(project: Project) -> None:
    """Ignored, a warning, or an error: as the command line says."""
    project.write("pytest.ini", INI.replace("filterwarnings = error", ""))
    project.write("test_unused.py", "TIMES = 2\n" + UNUSED)
    assert project.pytest("--timetracer-unused=error").all("PASSED", 1)
    project.write("test_unused.py", "TIMES = 0\n" + UNUSED)
    assert project.pytest().all("PASSED", 1)
    warned = project.pytest("--timetracer-unused=warn")
    assert warned.all("PASSED", 1), warned.text
    assert "2 recorded calls were not made:" in warned.text
    assert "1 warning" in warned.text
    failed = project.pytest("--timetracer-unused=error")
    assert "ERROR" in failed.outcomes.values(), failed.text
    assert "event 1: httpx GET " in failed.text


def test_a_cassette_that_cannot_be_read_is_one_line(project: Project) -> None:
    """No traceback of ours: the file and what is wrong with it."""
    project.write("test_unused.py", "TIMES = 1\n" + UNUSED)
    assert project.pytest().all("PASSED", 1)
    cassette = project.folder / "cassettes" / "test_unused" / "test_unused.json"
    cassette.write_text(cassette.read_text()[:100])
    broken = project.pytest()
    assert "ERROR" in broken.outcomes.values()
    assert "CassetteCorrupt: " in broken.text
    assert "Traceback" not in broken.text
    assert "pytest_plugin.py" not in broken.text


ALLOWED = """
import asyncio, socket
import httpx, pytest

PLACE = httpx.URL(URL).host, httpx.URL(URL).port


@pytest.mark.cassette
def test_marker():
    httpx.get(URL + "/json")
    socket.create_connection(PLACE).close()


def test_fixture(timetracer_auto):
    with timetracer_auto("x.json"):
        httpx.get(URL + "/json")
        socket.create_connection(PLACE).close()


@pytest.mark.cassette
@pytest.mark.asyncio
async def test_async():
    async with httpx.AsyncClient() as client:
        await client.get(URL + "/json")
    _, writer = await asyncio.open_connection(*PLACE)
    writer.close()
    await writer.wait_closed()


@pytest.mark.cassette
def test_covered():
    httpx.get(URL + ("/text" if MORE else "/json"))
"""


def test_allowed_hosts_are_connected_to_in_a_replay(project: Project) -> None:
    """By name or with the port, in every kind of test; what a plugin covers comes from the cassette, or is a miss."""
    project.write("test_allowed.py", "MORE = False\n" + ALLOWED)
    assert project.pytest().all("PASSED", 4)
    project.write("test_allowed.py", "MORE = True\n" + ALLOWED)
    assert project.pytest("--timetracer-allowed-hosts=10.0.0.1").all("FAILED", 4)
    place = f"{project.upstream.host}:{project.upstream.port}"
    for options in ([f"10.0.0.1, {project.upstream.host}"], [place], [place, "--timetracer-block-network"]):
        allowed = project.pytest(f"--timetracer-allowed-hosts={options[0]}", *options[1:])
        ended = {name.partition("::")[2]: outcome for name, outcome in allowed.outcomes.items()}
        expected = {"test_marker": "PASSED", "test_fixture": "PASSED", "test_async": "PASSED", "test_covered": "FAILED"}
        assert ended == expected, allowed.text
        assert "no recorded call matches: httpx GET" in allowed.text


FIXTURES = """
import httpx, pytest


def ask(path):
    return httpx.get(URL + path).text


@pytest.fixture
def asks_before():
    ask("/json" + MORE)


@pytest.fixture
def raises_before():
    ask("/json")
    if MORE:
        raise ValueError("boom before")


@pytest.fixture
def asks_after():
    yield
    ask("/json" + MORE)


@pytest.fixture
def raises_after():
    yield
    if MORE:
        raise ValueError("boom after")
    ask("/json")


@pytest.mark.cassette
def test_asks_before(asks_before):
    ask("/text")


@pytest.mark.cassette
def test_raises_before(raises_before):
    ask("/text")


@pytest.mark.cassette
def test_asks_after(asks_after):
    ask("/text")


@pytest.mark.cassette
def test_raises_after(raises_after):
    ask("/text")


@pytest.mark.cassette
def test_left_out():
    ask("/text")
    if not MORE:
        ask("/json")
"""


def test_what_a_fixture_raised_is_said_once(project: Project) -> None:
    """A miss or an error before or after the test is its one error; what it then did not come to ask for is no news."""
    project.write("test_fixtures.py", 'MORE = ""\n' + FIXTURES)
    assert project.pytest().all("PASSED", 5)
    project.write("test_fixtures.py", 'MORE = "?more"\n' + FIXTURES)
    with project.offline():
        text = project.pytest("--timetracer-unused=error", "-rN").text
    headings = [line.strip("_ ") for line in text.splitlines() if line.startswith("___")]
    assert headings == [
        "ERROR at setup of test_asks_before",
        "ERROR at setup of test_raises_before",
        "ERROR at teardown of test_asks_after",
        "ERROR at teardown of test_raises_after",
        "ERROR at teardown of test_left_out",
    ], text
    assert text.count("no recorded call matches") == 2
    assert text.count("1 recorded call was not made") == 1
    assert "timetracer/" not in text.replace("\\", "/")  # nobody wants our frames


UNUSABLE = """
import pytest


@pytest.mark.cassette(plugins=["htpx"])
def test_plugin(): ...


@pytest.mark.cassette(7)
def test_path(): ...


@pytest.mark.cassette("/proc/none/x.json", record="rewrite")
def test_folder():
    import httpx
    httpx.get(URL + "/json")


def test_missing(timetracer_replay):
    with timetracer_replay("none.json"):
        pass
"""


def test_what_cannot_be_used_is_named_as_it_was_typed(project: Project) -> None:
    """One line says what was given in the marker's words, without what it came of."""
    project.write("test_unusable.py", UNUSABLE)
    text = project.pytest("-rN").text
    assert "ConfigError: plugins=['htpx'] is not allowed: there is no plugin 'htpx'; did you mean httpx?" in text
    assert "@pytest.mark.cassette(7): the first argument is the cassette's path" in text
    assert "CassetteError: the cassette /proc/none/x.json cannot be written" in text
    assert "CassetteNotFound: there is no cassette" in text
    assert "During handling" not in text
    assert "timetracer/runtime" not in text.replace("\\", "/")


def test_what_stays_live_may_be_named_in_one_text(project: Project) -> None:
    """`live="db"` means what `live=["db"]` means: nothing is recorded of it."""
    project.write(
        "test_live.py",
        """
import sqlite3
import httpx, pytest


@pytest.mark.cassette(live="db")
def test_kind():
    sqlite3.connect(":memory:").execute("select 1")
    httpx.get(URL + "/json")
""",
    )
    assert project.pytest().all("PASSED", 1)
    events = project.cassette("cassettes/test_live/test_kind.json")["events"]
    assert [event["signature"]["lib"] for event in events] == ["httpx"]
