"""Lanes: tasks named by who made them and in which order, the same in every run."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from timetracer.cassette.store import read_cassette
from timetracer.engine import lanes


class Ranking:
    """Where tasks are counted."""

    def __init__(self) -> None:
        self.task_counts: dict[str, int] = {}


@pytest.fixture
def ranking() -> Iterator[Ranking]:
    """Lanes in place over one session."""
    lanes.uninstall(asyncio.BaseEventLoop)
    session = Ranking()
    lanes.install(asyncio.BaseEventLoop, lambda: session)
    yield session
    lanes.uninstall(asyncio.BaseEventLoop)


def test_tasks_have_the_same_lane_in_every_run(ranking: Ranking) -> None:
    """Three gathered coroutines, each with two of its own, 50 runs with random delays: always the same nine lanes."""

    async def child(n: int, m: int, seen: dict[tuple[int, int], str]) -> None:
        await asyncio.sleep(random.random() / 500)
        seen[n, m] = lanes.current_lane()

    async def parent(n: int, seen: dict[tuple[int, int], str]) -> None:
        await asyncio.sleep(random.random() / 500)
        seen[n, 0] = lanes.current_lane()
        await asyncio.gather(child(n, 1, seen), child(n, 2, seen))

    async def run() -> dict[tuple[int, int], str]:
        ranking.task_counts.clear()
        seen: dict[tuple[int, int], str] = {}
        await asyncio.gather(*(parent(n, seen) for n in (1, 2, 3)))
        return seen

    async def root() -> list[dict[tuple[int, int], str]]:
        return [await run() for _ in range(50)]

    # `asyncio.run` makes a task of its own, which is the first here
    runs = asyncio.run(root())
    expected = {(n, 0): f"{n}" for n in (1, 2, 3)} | {(n, m): f"{n}.{m}" for n in (1, 2, 3) for m in (1, 2)}
    prefixes = {seen[1, 0].removesuffix("1") for seen in runs}
    assert len(prefixes) == 1
    (prefix,) = prefixes
    assert runs == [{key: prefix + lane for key, lane in expected.items()}] * 50


def test_tasks_on_uvloop_have_lanes_too(tmp_path: Path) -> None:
    """uvicorn runs on uvloop where that is installed, imported long after timetracer has started."""
    (tmp_path / "lanes_app.py").write_text(
        "import asyncio, sqlite3, timetracer\n"
        "async def ask(n):\n"
        "    await asyncio.sleep((3 - n) / 100)\n"
        "    return sqlite3.connect(':memory:').execute('select random()').fetchone()\n"
        "async def main():\n"
        "    return await asyncio.gather(*map(ask, range(3)))\n"
        "with timetracer.record('recorded.json'):\n"
        "    import uvloop\n"
        "    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())\n"
    )
    subprocess.run([sys.executable, "lanes_app.py"], cwd=tmp_path, check=True, timeout=60)
    asked = [e for e in read_cassette(tmp_path / "recorded.json").events if e.signature.method == "SELECT"]
    assert [e.lane.rpartition(".")[2] for e in asked] == ["3", "2", "1"]
    assert len({e.lane.rpartition(".")[0] for e in asked}) == 1


def test_plain_code_has_no_lane(ranking: Ranking) -> None:
    """Outside any event loop there is no lane."""
    assert lanes.current_lane() == ""


def test_a_task_says_where_the_app_made_it(ranking: Ranking) -> None:
    """asyncio's debug mode names the line that made a task, not ours."""

    async def main() -> str:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        await task
        return repr(task)

    assert f"created at {__file__}:" in asyncio.run(main(), debug=True)
