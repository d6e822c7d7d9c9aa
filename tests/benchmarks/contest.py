"""Runs the sides of a comparison in turns, round by round, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Effort

ROOT = Path(__file__).parents[2]
Round = Mapping[str, float]


def surroundings(**more: str) -> dict[str, str]:
    """Returns the environment of a measured process: nothing of our own telemetry or proxies.

    Bytecode is kept, as pip keeps it of what it installs: compiling our modules at every start took 70 ms.
    """
    left = ("OTEL_", "TIMETRACER_", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(left) and "proxy" not in k.lower()}
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return {**kept, "PYTHONPATH": path, "PYTHONHASHSEED": "0", **more}


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of each side, in the order they were run."""

    calls: int
    by_side: Mapping[str, Sequence[Round]]

    def ratio(self, side: str, base: str, part: str = "total", base_part: str | None = None) -> float:
        """Returns the median over rounds of one side's time by the other's in the same round."""
        pairs = zip(self.by_side[side], self.by_side[base], strict=True)
        return statistics.median(one[part] / other[base_part or part] for one, other in pairs)

    def more_us(self, side: str, base: str, part: str = "total") -> float:
        """Returns the median over rounds of the microseconds a call takes longer."""
        pairs = zip(self.by_side[side], self.by_side[base], strict=True)
        return statistics.median(one[part] - other[part] for one, other in pairs) / self.calls * 1e6

    def us(self, side: str, part: str = "total") -> float:
        """Returns the median microseconds of one call."""
        return statistics.median(each[part] for each in self.by_side[side]) / self.calls * 1e6


@contextmanager
def contestant(side: str, library: str, url: str) -> Iterator[Any]:
    """Starts one side and yields a function that has it make a round of so many calls."""
    command = [sys.executable, "-m", "tests.benchmarks.contestant", side, library, url]
    process = subprocess.Popen(
        command, cwd=ROOT, env=surroundings(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    tell, hear = process.stdin, process.stdout

    def answer() -> Round:
        line = hear.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command[2:])} ended with {process.wait()}")
        return json.loads(line)  # type: ignore[no-any-return]

    def play(calls: int) -> Round:
        tell.write(json.dumps({"calls": calls}) + "\n")
        tell.flush()
        return answer()

    try:
        answer()
        yield play
    finally:
        tell.close()
        process.wait(30)
        hear.close()


def contest(sides: Sequence[str], library: str, url: str, effort: Effort) -> Rounds:
    """Runs every side once a round, in an order that turns; the first round is for warming up."""
    rounds: dict[str, list[Round]] = {side: [] for side in sides}
    with ExitStack() as stack:
        players = {side: stack.enter_context(contestant(side, library, url)) for side in sides}
        for number in range(effort.rounds + 1):
            turned = number % len(sides)
            for side in [*sides[turned:], *sides[:turned]]:
                outcome = players[side](effort.calls)
                if number:
                    rounds[side].append(outcome)
    return Rounds(effort.calls, rounds)
