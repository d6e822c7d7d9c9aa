"""`python -m tests.benchmarks [NAME ...] [--quick] [--json FILE]`: prints the figures with their goals beside."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

from tests.benchmarks import calls, cassettes, serving, starting
from tests.benchmarks.figures import FULL, QUICK, Figure, table

BENCHMARKS = {
    "httpx": calls.httpx,
    "requests": calls.requests,
    "aiohttp": calls.aiohttp,
    "redis": calls.redis,
    "replay": calls.replay,
    "events": cassettes.events,
    "growth": cassettes.growth,
    "redaction": cassettes.redaction,
    "memory": cassettes.memory,
    "start": starting.start,
    "serving": serving.serving,
}


def main(arguments: list[str]) -> int:
    """Runs the named benchmarks, or all; a missed goal is shown, and is no failure of the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--quick", action="store_true", help="few rounds: to see that it runs, not to read figures from"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there instead of below the table")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    for name in chosen.names or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        figures += BENCHMARKS[name](QUICK if chosen.quick else FULL)
    print(table(figures))
    data = {"python": platform.python_version(), "machine": platform.machine(), "figures": [f.data() for f in figures]}
    if chosen.json:
        chosen.json.write_text(json.dumps(data, indent=1) + "\n")
    else:
        print(json.dumps(data))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
