"""One side of a comparison, a process of its own: `python -m tests.benchmarks.contestant SIDE LIBRARY URL`.

It makes rounds of calls when told to (JSON lines on its standard input) and says how long they took. Sides:

    plain    the library alone                     record   OTel, and timetracer in record mode
    otel     OTel's SDK and instrumentor           replay   timetracer answers from a cassette
    idle     timetracer is installed, no session   vcr      VCR.py answers from a cassette
    used     the same after a session was recorded

`caller` stops when the last call has returned, `total` when the last cassette is on disk.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.benchmarks.clients import CALLS, INSTRUMENTORS, Calls


def _instrument(library: str) -> None:
    """What a service under `opentelemetry-instrument` has: the SDK, batches of spans, the instrumentor."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.util._importlib_metadata import entry_points

    class Discarding(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Discarding()))
    trace.set_tracer_provider(provider)
    name = INSTRUMENTORS.get(library, library)
    next(iter(entry_points(group="opentelemetry_instrumentor", name=name))).load()().instrument()


def _in_a_span() -> AbstractContextManager[Any]:
    from opentelemetry import trace

    return trace.get_tracer("bench").start_as_current_span("GET /bench", kind=trace.SpanKind.SERVER)


def _timed(run: Callable[[], None], settle: Callable[[], object]) -> dict[str, float]:
    cpu, began = time.process_time(), time.perf_counter()
    run()
    caller = time.perf_counter() - began
    caller_cpu = time.process_time() - cpu
    settle()
    return {
        "caller": caller,
        "total": time.perf_counter() - began,
        "caller_cpu": caller_cpu,
        "total_cpu": time.process_time() - cpu,
    }


def _nothing() -> None: ...


def _plain(library: str, calls: Calls, folder: Path) -> Callable[[int], dict[str, float]]:
    return lambda count: _timed(lambda: calls(count), _nothing)


def _otel(library: str, calls: Calls, folder: Path) -> Callable[[int], dict[str, float]]:
    _instrument(library)

    def run(count: int) -> None:
        with _in_a_span():
            calls(count)

    return lambda count: _timed(lambda: run(count), _nothing)


def _record(library: str, calls: Calls, folder: Path) -> Callable[[int], dict[str, float]]:
    """Each round is one inbound call, and one cassette."""
    import timetracer
    from timetracer.config import TraceConfig
    from timetracer.engine.door import door
    from timetracer.plugin import Inbound
    from timetracer.runtime.process import flush

    _instrument(library)
    timetracer.start(TraceConfig(mode="record", cassette_dir=str(folder)))

    def run(count: int) -> None:
        with _in_a_span(), door(lambda: Inbound(type="http.server", method="GET", target="/bench")) as visit:
            calls(count)
            visit.answer(status=200)

    return lambda count: _timed(lambda: run(count), lambda: flush(60))


def _idle(library: str, calls: Calls, folder: Path) -> Callable[[int], dict[str, float]]:
    from timetracer.config import TraceConfig
    from timetracer.runtime.process import prepare

    prepare(TraceConfig())
    return _plain(library, calls, folder)


def _used(library: str, calls: Calls, folder: Path) -> Callable[[int], dict[str, float]]:
    import timetracer

    with timetracer.record(folder / "used.json"):
        calls(3)
    return _plain(library, calls, folder)


def _replay(library: str, calls: Calls, folder: Path) -> Callable[[int], dict[str, float]]:
    """Loading the cassette is measured elsewhere."""
    import timetracer

    recorded: dict[int, Path] = {}

    def replayed(count: int) -> dict[str, float]:
        if count not in recorded:
            recorded[count] = folder / f"{count}.json"
            with timetracer.record(recorded[count]):
                calls(count)
        with timetracer.replay(recorded[count]):
            calls(1)
            return _timed(lambda: calls(count - 1), _nothing)

    return replayed


def _vcr(library: str, calls: Calls, folder: Path) -> Callable[[int], dict[str, float]]:
    import vcr

    def cassette(count: int) -> Any:
        return vcr.use_cassette(str(folder / f"{count}.yaml"), record_mode="once", allow_playback_repeats=False)

    def replayed(count: int) -> dict[str, float]:
        if not (folder / f"{count}.yaml").exists():
            with cassette(count):
                calls(count)
        with cassette(count):
            calls(1)
            return _timed(lambda: calls(count - 1), _nothing)

    return replayed


SIDES = {
    "plain": _plain,
    "otel": _otel,
    "record": _record,
    "idle": _idle,
    "used": _used,
    "replay": _replay,
    "vcr": _vcr,
}


def main(side: str, library: str, url: str) -> None:
    """Warms up, then makes the rounds that are asked for."""
    with tempfile.TemporaryDirectory(prefix="timetracer-bench-") as folder:
        calls = CALLS[library](url)
        round_of = SIDES[side](library, calls, Path(folder))
        print(json.dumps({"ready": side}), flush=True)
        for line in sys.stdin:
            print(json.dumps(round_of(json.loads(line)["calls"])), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
