"""One measured figure, its goal beside it, and the table and JSON that are printed of many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: more rounds are steadier, and take longer."""

    rounds: int = 11
    calls: int = 200
    events: int = 10_000
    seconds: float = 4.0  # of load on a served application, a round


FULL = Effort()
QUICK = Effort(rounds=1, calls=20, events=200, seconds=0.5)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured.

    Args:
        unit: `x` for a ratio, else `us`, `ms`, `MB`.
        goal: the bound that holds; None where there is none, and the figure stands for comparison.
        at_least: the goal is a lower bound.
        cpu: the same in CPU time of the measured process, which neighbours on the machine disturb less.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    cpu: float | None = None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def data(self) -> dict[str, Any]:
        """Returns this for JSON."""
        return asdict(self) | {"met": self.met}


def table(figures: Iterable[Figure]) -> str:
    """Returns the figures as lines of text."""
    lines = [f"{'figure':<62}{'measured':>12}{'goal':>12}{'':>7}{'in CPU':>12}"]
    for each in figures:
        goal = "" if each.goal is None else f"{'>=' if each.at_least else '<='} {each.goal:g} {each.unit}"
        met = {None: "", True: "met", False: "MISSED"}[each.met]
        cpu = "" if each.cpu is None else f"{each.cpu:.2f} {each.unit}"
        lines.append(f"{each.name:<62}{each.value:>9.2f} {each.unit:<2}{goal:>12}{met:>7}{cpu:>12}")
    return "\n".join(lines)
