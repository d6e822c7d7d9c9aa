"""The contract suite every outbound plugin passes: what a replayed app sees equals what it saw live.

Steps (see `tests/outbound/steps/__init__.py`) run in a process that records against live servers, then in a new process
that replays with sockets trapped, after the servers were stopped. A library's test file looks like this:

    SUITE = Suite("tests.outbound.steps.redis", instrumentors=("redis",))

    @pytest.fixture(scope="module")
    def recordings(tmp_path_factory):
        '''Both recordings, made while the server ran.'''
        with start_redis() as url:                          # tests/services.py
            return SUITE.record_both(tmp_path_factory.mktemp("redis"), {"redis": url})

    @pytest.mark.parametrize("variant", VARIANTS, ids=str)
    def test_replay_equals_live(recordings, variant):
        '''Whatever the steps saw live, they see again with the server gone.'''
        SUITE.check(recordings, variant)

The four variants: recorded with OTel's instrumentors or without, replayed with or without. Spans are compared where
both sides have instrumentors. Where the server cannot be stopped, trapping the sockets has to do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Variant:
    """With which side instrumented a recording is replayed."""

    recorded: bool
    replayed: bool
    instrument: str = "after"  # the instrumentors are switched on after or before timetracer is started

    def __str__(self) -> str:
        sides = [("instrumented" if each else "plain") for each in (self.recorded, self.replayed)]
        return f"{sides[0]}-to-{sides[1]}" + ("" if self.instrument == "after" else "-first")


VARIANTS = (
    Variant(True, True),
    Variant(False, False),
    Variant(True, False),
    Variant(False, True),
    Variant(True, True, "before"),
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One live run: its cassette, what the app saw, and where the servers were."""

    cassette: Path
    outcome: Mapping[str, Any]
    addresses: Mapping[str, str]


Recordings = Mapping[bool, Recording]
"""Recordings by whether OTel's instrumentors were on."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Records and replays the steps of one library.

    Args:
        steps: the steps module.
        instrumentors: entry point names of the instrumentors that wrap the library (`redis`, `urllib3`).
        timeout: seconds that one run of all steps may take.
        only: names of the steps to run; all if empty.
        python: the interpreter that runs them, with timetracer and the library in its environment.
    """

    steps: str
    instrumentors: Sequence[str] = ()
    timeout: float = 600.0
    only: Sequence[str] = field(default=())
    python: str = sys.executable

    def record_both(self, folder: Path, addresses: Mapping[str, str]) -> Recordings:
        """Runs the steps live twice, with instrumentors and without, and keeps both cassettes."""
        return {each: self.record(folder, addresses, instrumented=each) for each in (True, False)}

    def record(self, folder: Path, addresses: Mapping[str, str], *, instrumented: bool = True) -> Recording:
        """Runs the steps against live servers.

        Args:
            folder: where the cassette and the outcome go.
            addresses: URL or DSN of each server, by the name that steps use in `address(name)`.
            instrumented: whether OTel's instrumentors are on.
        """
        name = "instrumented" if instrumented else "plain"
        cassette = folder / f"{name}.json"
        outcome = self._run("record", cassette, folder / f"{name}.live.json", addresses, instrumented, "after")
        return Recording(cassette, outcome, addresses)

    def replay(
        self, recording: Recording, *, instrumented: bool = True, instrument: str = "after"
    ) -> Mapping[str, Any]:
        """Runs the steps again from the cassette in a new process with sockets trapped; returns their outcome."""
        name = f"{recording.cassette.stem}.{'instrumented' if instrumented else 'plain'}.{instrument}.replayed.json"
        outcome = recording.cassette.with_name(name)
        return self._run("replay", recording.cassette, outcome, recording.addresses, instrumented, instrument)

    def check(self, recordings: Recordings, variant: Variant) -> None:
        """Replays one variant and fails with every step that differs."""
        recording = recordings[variant.recorded]
        replayed = self.replay(recording, instrumented=variant.replayed, instrument=variant.instrument)
        found = list(differences(recording.outcome, replayed, spans=variant.recorded and variant.replayed))
        assert not found, f"{len(found)} differences live -> replayed\n" + "\n".join(found)

    def _run(
        self,
        mode: str,
        cassette: Path,
        outcome: Path,
        addresses: Mapping[str, str],
        instrumented: bool,
        instrument: str,
    ) -> Mapping[str, Any]:
        command = [self.python, "-W", "error::RuntimeWarning", "-m", "tests.outbound.run_steps", self.steps, mode]
        command += [str(cassette), str(outcome), "--instrument", instrument, "--only", ",".join(self.only)]
        command += ["--instrumentors", ",".join(self.instrumentors if instrumented else ())]
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment = {name: value for name, value in kept.items() if not name.startswith(("TIMETRACER_", "OTEL_"))}
        environment |= {f"STEPS_{name.upper()}": where for name, where in addresses.items()}
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment |= {"PYTHONPATH": path, "PYTHONHASHSEED": "random"}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=self.timeout, check=False
        )
        assert done.returncode == 0, f"{mode} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        seen: Mapping[str, Any] = json.loads(outcome.read_text())
        return seen


def differences(live: Mapping[str, Any], replayed: Mapping[str, Any], *, spans: bool) -> Iterator[str]:
    """Says where a replay differs from the live run, step by step."""
    for asked in replayed["trapped"]:
        yield f"a socket was asked for: {asked}"
    if "missed" in replayed:
        yield f"the replay ended with a miss: {replayed['missed']}"
    for name in {**live["steps"], **replayed["steps"]}:
        before, after = live["steps"].get(name), replayed["steps"].get(name)
        if before is None or after is None:
            yield f"{name}: ran only {'live' if after is None else 'replayed'}"
            continue
        for part in ("value", "error", *(["spans"] if spans else [])):
            if before.get(part) != after.get(part):
                yield f"{name}: {part} at {_first(before.get(part), after.get(part))}"
                if part == "error":
                    yield "\n".join(f"    {line}" for line in after.get("traceback", "").splitlines()[-8:])


def _first(live: Any, replayed: Any, path: str = "$") -> str:
    """Finds the first place where two JSON values differ."""
    if isinstance(live, dict) and isinstance(replayed, dict):
        for key in {**live, **replayed}:
            if live.get(key, _ABSENT) != replayed.get(key, _ABSENT):
                return _first(live.get(key, _ABSENT), replayed.get(key, _ABSENT), f"{path}.{key}")
    if isinstance(live, list) and isinstance(replayed, list) and len(live) == len(replayed):
        for index, (one, other) in enumerate(zip(live, replayed, strict=True)):
            if one != other:
                return _first(one, other, f"{path}[{index}]")
    return f"{path}\n    live     {live!r:.600}\n    replayed {replayed!r:.600}"


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


_ABSENT = _Absent()
