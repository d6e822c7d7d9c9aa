"""Record modes mean what VCR.py's mean, and a cassette that is added to keeps what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.pytest_project import Project
from tests.services import RedisServer, Upstream


@pytest.fixture
def project(tmp_path: Path, upstream: Upstream) -> Project:
    """An empty project."""
    return Project(tmp_path, upstream)


ASKING = """
import httpx, os, pytest


@pytest.mark.cassette
def test_sync():
    for path in os.environ["ASK"].split():
        print("ANSWER", path, httpx.get(URL + path).text)


@pytest.mark.cassette
@pytest.mark.asyncio
async def test_async():
    async with httpx.AsyncClient() as client:
        for path in os.environ["ASK"].split():
            print("ANSWER", path, (await client.get(URL + path)).text)


@pytest.fixture(scope="session")
def vcr_config():
    return {"record_mode": os.environ["MODE"]}


@pytest.mark.cassette(record="none")
def test_vcr(vcr_config):
    import vcr

    with vcr.use_cassette("vcr.yaml", record_mode=os.environ["MODE"]):
        for path in os.environ["ASK"].split():
            print("ANSWER", path, httpx.get(URL + path).text)
"""


def _targets(project: Project, name: str) -> list[str]:
    events = project.cassette(f"cassettes/test_modes/{name}.json")["events"]
    assert [event["eid"] for event in events] == list(range(len(events))) or len({e["eid"] for e in events}) == len(
        events
    )
    return [event["signature"]["url"].removeprefix(project.upstream.url) for event in events]


def _answers(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("ANSWER")]


def test_modes(project: Project) -> None:
    """none, once, new_episodes, all and rewrite, sync and async, over one cassette."""
    project.write("test_modes.py", ASKING.partition("@pytest.fixture(scope")[0])
    names = ["test_sync", "test_async"]

    def run(mode: str, ask: str) -> tuple[int, str]:
        done = project.pytest(f"--timetracer-record={mode}", ASK=ask)
        return done.code, done.text

    code, text = run("none", "/json")
    assert code == 1
    assert "no cassette for this call" in text
    assert not project.cassettes()
    code, first = run("once", "/counter/a /json")
    assert code == 0, first
    # once, with a new request in a cassette that is there: an error, and the cassette stays.
    code, text = run("once", "/counter/a /json /text")
    assert (code, text.count("no recorded call matches: httpx GET")) == (1, 2), text
    assert [_targets(project, name) for name in names] == [["/counter/a", "/json"]] * 2
    # new_episodes: what is known is answered from the cassette, what is new is recorded, what is there is kept.
    code, text = run("new_episodes", "/counter/a /counter/b")
    assert code == 0, text
    assert [_targets(project, name) for name in names] == [["/counter/a", "/json", "/counter/b"]] * 2
    assert _answers(first)[0] in _answers(text)
    # An answer that was already given is not given again: the next one is recorded.
    code, text = run("new_episodes", "/counter/a /counter/a /big/1 /gzip")
    assert code == 0, text
    kept = ["/counter/a", "/json", "/counter/b", "/counter/a", "/big/1", "/gzip"]
    assert [_targets(project, name) for name in names] == [kept] * 2
    code, more = run("new_episodes", "/text")
    assert code == 0, more
    with project.offline():
        code, replayed = run("none", "/counter/a /counter/a /counter/b /gzip /big/1 /text /json")
        assert code == 0, replayed
        assert set(_answers(text)) <= set(_answers(replayed))
        code, text = run("new_episodes", "/text")
        assert code == 0, text
    # all: every call goes live; what was recorded again is replaced, the rest stays.
    code, renewed = run("all", "/counter/a")
    assert code == 0, renewed
    assert _answers(renewed)[0] not in _answers(replayed)
    kept = ["/json", "/counter/b", "/big/1", "/gzip", "/text", "/counter/a"]
    assert [_targets(project, name) for name in names] == [kept] * 2
    with project.offline():
        code, text = run("none", "/counter/a /gzip /big/1 /text /json /counter/b")
        assert code == 0, text
        assert _answers(renewed)[0] in _answers(text)
    # rewrite: nothing of the old one is left, its side files neither; and it is gone where recording made no call.
    code, text = run("rewrite", "/json")
    assert [_targets(project, name) for name in names] == [["/json"]] * 2
    assert not list(project.folder.rglob("*.body"))
    code, text = run("rewrite", "")
    assert project.cassettes() == []


def test_what_vcr_does_in_the_same_modes(project: Project) -> None:
    """The reference: VCR.py itself refuses, adds and keeps in the same cases."""
    code = ASKING.partition("@pytest.mark.cassette(record")[2].partition("\n")[2]
    project.write("test_vcr.py", "import os, httpx\n" + code.replace("vcr_config", ""))
    ignore = ("-W", "ignore::DeprecationWarning")

    def run(mode: str, ask: str) -> tuple[int, list[str]]:
        done = project.pytest(*ignore, MODE=mode, ASK=ask)
        path = project.folder / "vcr.yaml"
        lines = path.read_text().splitlines() if path.exists() else []
        return done.code, [line.rpartition(project.upstream.url)[2] for line in lines if "uri: " in line]

    assert run("none", "") == (0, [])
    assert run("none", "/json") == (1, [])
    assert run("once", "") == (0, [])
    assert run("once", "/text /json") == (0, ["/text", "/json"])
    assert run("once", "/text /echo") == (1, ["/text", "/json"])
    assert run("new_episodes", "/json /echo") == (0, ["/text", "/json", "/echo"])
    assert run("all", "/json") == (0, ["/text", "/echo", "/json"])


FAILING = """
import httpx, pytest


@pytest.mark.cassette
def test_fails():
    httpx.get(URL + "/json")
    assert False
"""


def test_a_test_that_fails_while_it_is_recorded_keeps_its_cassette(project: Project) -> None:
    """As with VCR.py: the failure is there to be looked at, and the cassette says that it is one."""
    project.write("test_fails.py", FAILING)
    assert project.pytest().code == 1
    cassette = project.cassette("cassettes/test_fails/test_fails.json")
    assert cassette["trace"]["status"] == "error"
    with project.offline():
        again = project.pytest()
    assert "AssertionError" in again.text or "assert False" in again.text
    assert "no recorded" not in again.text


SECRETS = """
import httpx, os, pytest


@pytest.mark.cassette
def test_secret():
    for path in os.environ["ASK"].split():
        headers = {"Authorization": "Bearer abcdefgh12345678"}
        answer = httpx.post(URL + path, json={"password": "correct-horse-7431"}, headers=headers)
        assert answer.status_code == 200
"""


def test_secrets_stay_out_of_what_is_added(project: Project) -> None:
    """The merged cassette is redacted as a whole, matches again, and is not filled with doubles."""
    project.write("test_modes.py", SECRETS)
    assert project.pytest(ASK="/echo").code == 0
    assert project.pytest("--timetracer-record=new_episodes", ASK="/echo /echo?token=hush-hush-7431").code == 0
    assert _targets(project, "test_secret")[0] == "/echo"
    assert len(_targets(project, "test_secret")) == 2
    assert project.pytest("--timetracer-record=all", ASK="/echo").code == 0
    assert len(_targets(project, "test_secret")) == 2
    for path in project.folder.glob("cassettes/**/*.json"):
        text = path.read_text()
        assert "7431" not in text
        assert "abcdefgh12345678" not in text
    with project.offline():
        replayed = project.pytest("--timetracer-record=none", ASK="/echo /echo?token=hush-hush-7431")
    assert replayed.code == 0, replayed.text


LINKS = """
import asyncio, os
import pytest, redis, redis.asyncio


def commands():
    return [command.split(",") for command in os.environ["ASK"].split()]


@pytest.mark.cassette
def test_sync():
    with redis.Redis.from_url(REDIS, single_connection_client=False) as client:
        for command in commands():
            print("ANSWER", command, client.execute_command(*command))


@pytest.mark.cassette
@pytest.mark.asyncio
async def test_async():
    async with redis.asyncio.Redis.from_url(REDIS) as client:
        for command in commands():
            print("ANSWER", command, await client.execute_command(*command))


@pytest.mark.cassette
def test_fresh_connection():
    for command in commands():
        with redis.Redis.from_url(REDIS) as client:
            print("ANSWER", command, client.execute_command(*command))
"""


def test_new_episodes_on_connections(project: Project, redis_server: RedisServer) -> None:
    """A connection that was answered from the cassette never goes live half-way; one that was not does, wholly."""
    project.write("test_modes.py", f"REDIS = {redis_server.url!r}\n" + LINKS)
    first = project.pytest(ASK="SET,k,1 INCR,k")
    assert first.all("PASSED", 3), first.text
    added = project.pytest("--timetracer-record=new_episodes", ASK="INCR,k GET,k")
    ended = {name.partition("::")[2]: outcome for name, outcome in added.outcomes.items()}
    assert ended == {"test_sync": "FAILED", "test_async": "FAILED", "test_fresh_connection": "PASSED"}, added.text
    assert "--timetracer-record=rewrite" in added.text
    assert "was already used in replay" in added.text
    fresh = project.pytest("--timetracer-record=new_episodes", ASK="GET,k TTL,k")
    assert fresh.all("PASSED", 3), fresh.text
    redis_server.stop()
    try:
        replayed = project.pytest("--timetracer-record=none", "-k", "fresh", ASK="SET,k,1 INCR,k GET,k TTL,k")
        both = project.pytest("--timetracer-record=none", ASK="SET,k,1 INCR,k")
        new = project.pytest("--timetracer-record=none", ASK="GET,k TTL,k")
    finally:
        redis_server.start()
    assert replayed.all("PASSED", 1), replayed.text
    assert both.all("PASSED", 3), both.text
    assert _answers(both.text) == _answers(first.text)
    assert new.all("PASSED", 3), new.text
