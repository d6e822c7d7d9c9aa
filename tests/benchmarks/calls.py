"""What recording and replaying cost a call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.benchmarks import servers
from tests.benchmarks.contest import contest
from tests.benchmarks.figures import Effort, Figure

KB = 1000
GOALS = {1: (1.08, 1.04), 100: (1.25, 1.08)}
"""By KB of the answer: until the last cassette is on disk, and on the caller's path."""


def recording(library: str, effort: Effort, sizes: tuple[int, ...] = (1, 100)) -> Iterator[Figure]:
    """Measures HTTP GETs with timetracer recording against OTel alone."""
    with servers.upstream() as url:
        for size in sizes:
            rounds = contest(("otel", "record"), library, f"{url}/{size * KB}", effort)
            whole, caller = GOALS[size]
            name = f"{library}: recording a GET of {size} KB"
            yield Figure(
                f"{name}, to disk", rounds.ratio("record", "otel"), "x", whole,
                cpu=rounds.ratio("record", "otel", "total_cpu"),
            )  # fmt: skip
            yield Figure(
                f"{name}, caller's path", rounds.ratio("record", "otel", "caller"), "x", caller,
                cpu=rounds.ratio("record", "otel", "caller_cpu"),
            )  # fmt: skip


def httpx(effort: Effort) -> Iterator[Figure]:
    """httpx, recorded."""
    yield from recording("httpx", effort)


def requests(effort: Effort) -> Iterator[Figure]:
    """requests, recorded."""
    yield from recording("requests", effort)


def aiohttp(effort: Effort) -> Iterator[Figure]:
    """aiohttp, recorded."""
    yield from recording("aiohttp", effort)


def redis(effort: Effort) -> Iterator[Figure]:
    """redis-py: recorded, and with no session open."""
    more = replace(effort, calls=effort.calls * 5)
    with servers.redis() as url:
        rounds = contest(("otel", "record"), "redis", url, more)
        for part, name in (("total", "to disk"), ("caller", "caller's path")):
            yield Figure(
                f"redis: recording a GET, {name}", rounds.ratio("record", "otel", part), "x", 1.2,
                cpu=rounds.ratio("record", "otel", f"{part}_cpu"),
            )  # fmt: skip
        idle = contest(("plain", "idle", "used"), "redis", url, more)
        for side, name in (("idle", "no session"), ("used", "no session, after one")):
            more_us = idle.more_us(side, "plain"), idle.more_us(side, "plain", "total_cpu")
            yield Figure(f"redis: a GET with {name}", more_us[0], "us", 5, cpu=more_us[1])


def replay(effort: Effort) -> Iterator[Figure]:
    """httpx, replayed, against the live call; VCR.py beside it."""
    with servers.upstream() as url:
        rounds = contest(("plain", "replay", "vcr"), "httpx", f"{url}/{KB}", effort)
        for side, name, goal in (("replay", "timetracer", 0.8), ("vcr", "VCR.py", None)):
            cpu = rounds.ratio(side, "plain", "total_cpu")
            yield Figure(f"httpx: a GET replayed by {name}, to live", rounds.ratio(side, "plain"), "x", goal, cpu=cpu)
