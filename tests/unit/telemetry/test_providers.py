"""Processor and sampler on any provider: which spans sessions get, and which ones exporters see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from timetracer import telemetry
from timetracer.config import TraceConfig
from timetracer.engine.admission import RecordingAdmission
from timetracer.engine.recording import Recording, Terms
from timetracer.engine.sessions import SESSIONS, current
from timetracer.engine.unseen import UNSEEN
from timetracer.plugin import Plugin

PLUGIN = Plugin(name="any", kind="http", library="any", patches=())


class Budget:
    """Room without end."""

    def add_bytes(self, size: int) -> bool:
        return True

    def release_bytes(self, size: int) -> None: ...


class Kept(SpanExporter):
    """Keeps what is exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


class Recorder:
    """A process that records: what was completed, and how its configuration may change."""

    def __init__(self) -> None:
        self.done: list[Recording] = []
        self.terms = Terms(
            captures=lambda plugin: True,
            budget=Budget(),
            body_limit=1024,
            completed=self.done.append,
            spans=SESSIONS.by_span,
        )

    def start(self, **options: Any) -> None:
        config = TraceConfig(mode="record", **options)
        admission = RecordingAdmission(self.terms, wanted=config.should_trace, sampled=config.should_sample)
        SESSIONS.arm(admission=admission, process=None, orphan=None)
        telemetry.attach(config)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    recorder.start()
    yield recorder
    telemetry.detach()
    SESSIONS.arm(admission=None, process=None, orphan=None)
    assert SESSIONS.by_span == {}


def provider_of(sampler: Any = ALWAYS_ON, exporter: Kept | None = None) -> TracerProvider:
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def names(spans: Sequence[ReadableSpan]) -> list[str]:
    return [span.name for span in spans]


def test_a_local_root_opens_a_session_and_gets_its_children(recorder: Recorder) -> None:
    """One cassette a root, with every span beneath it."""
    tracer = provider_of().get_tracer("app")
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER), tracer.start_as_current_span("child"):
        assert SESSIONS.current() is not None
    (done,) = recorder.done
    assert names(done.finished_spans) == ["child", "root"]


def test_a_remote_parent_makes_a_root_of_its_own(recorder: Recorder) -> None:
    """A service that calls itself gives two cassettes of one trace."""
    tracer = provider_of().get_tracer("app")
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
        sent = outer.get_span_context()
        remote = SpanContext(sent.trace_id, sent.span_id, is_remote=True, trace_flags=TraceFlags(1))
        inner = tracer.start_span("inner", trace.set_span_in_context(NonRecordingSpan(remote), {}), SpanKind.SERVER)
        inner.end()
    assert [names(done.finished_spans) for done in recorder.done] == [["inner"], ["outer"]]


@pytest.mark.parametrize("kind", [SpanKind.CLIENT, SpanKind.PRODUCER])
def test_client_and_producer_roots_open_nothing(recorder: Recorder, kind: SpanKind) -> None:
    """They belong to the process: a background poll is no inbound call."""
    tracer = provider_of().get_tracer("app")
    tracer.start_span("poll", kind=kind).end()
    assert recorder.done == []


def test_a_session_in_the_context_is_joined(recorder: Recorder) -> None:
    """A session that an integration opened gets the root span, also from the context given to `start_span`."""
    session = Recording(recorder.terms)
    session.hold()
    with current(session):
        provider_of().get_tracer("app").start_span("root", kind=SpanKind.SERVER).end()
    session.release()
    assert recorder.done == [session]
    assert names(session.finished_spans) == ["root"]


def test_a_closed_session_is_left_alone(recorder: Recorder) -> None:
    """A span that begins after the cassette was closed is nobody's, and is no error."""
    session = Recording(recorder.terms)
    session.hold()
    session.release()
    with current(session):
        provider_of().get_tracer("app").start_span("late").end()
    assert session.finished_spans == []


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("sampler", [ALWAYS_OFF, TraceIdRatioBased(0), ParentBased(ALWAYS_OFF)])
def test_dropped_spans_are_recorded_and_not_exported(recorder: Recorder, sampler: Any, batch: bool) -> None:
    """At ratio 0 a cassette has every span with its first attributes, and exporters see none."""
    exporter = Kept()
    provider = provider_of(sampler)
    provider.add_span_processor(BatchSpanProcessor(exporter) if batch else SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER, attributes={"a": 1}) as root:
        assert not root.get_span_context().trace_flags.sampled
        tracer.start_span("child", kind=SpanKind.CLIENT).end()
    provider.shutdown()
    (done,) = recorder.done
    assert names(done.finished_spans) == ["child", "root"]
    assert done.finished_spans[1].attributes["a"] == 1
    assert exporter.spans == []


def test_only_traces_that_are_recorded_are_flipped(recorder: Recorder) -> None:
    """A span that no cassette wants stays what OTel's sampler made it."""
    recorder.start(sample_rate=0.0)
    tracer = provider_of(ALWAYS_OFF).get_tracer("app")
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER) as root:
        assert not root.is_recording()
        assert not tracer.start_span("child").is_recording()


def test_calls_of_a_trace_that_is_not_recorded_pass_unseen(recorder: Recorder) -> None:
    """They must not end up in the cassette of the process."""
    recorder.start(sample_rate=0.0)
    exporter = Kept()
    tracer = provider_of(exporter=exporter).get_tracer("app")
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER), tracer.start_as_current_span("child"):
        assert SESSIONS.current() is UNSEEN
        assert SESSIONS.side(PLUGIN) is None
    assert names(exporter.spans) == ["child", "root"]
    assert recorder.done == []


def test_a_provider_that_was_there_first_is_equipped(recorder: Recorder) -> None:
    """Tracers made before get processor and sampler as soon as the provider makes another one."""
    telemetry.detach()
    provider = provider_of(ALWAYS_OFF)
    early = provider.get_tracer("early")
    recorder.start()
    provider.get_tracer("late")
    early.start_span("root", kind=SpanKind.SERVER).end()
    assert len(recorder.done) == 1


def test_attaching_twice_gives_each_span_once(recorder: Recorder) -> None:
    """Another configuration, or a second start, adds no second processor and no second sampler."""
    provider = provider_of()
    tracer = provider.get_tracer("app")
    telemetry.detach()
    recorder.start()
    recorder.start()
    provider.get_tracer("other")
    tracer.start_span("root", kind=SpanKind.SERVER).end()
    assert [names(done.finished_spans) for done in recorder.done] == [["root"]]


def test_detaching_leaves_the_provider_as_it_was(recorder: Recorder) -> None:
    """The sampler is the provider's own again, and no span opens a session."""
    real = provider_of(ALWAYS_OFF)
    tracer = real.get_tracer("app")
    telemetry.detach()
    assert real.sampler is ALWAYS_OFF
    assert not tracer.start_span("root").is_recording()
    assert TracerProvider.get_tracer.__name__ == "get_tracer"
    assert not hasattr(TracerProvider.get_tracer, "__wrapped__")


def test_the_root_says_that_it_is_recorded(recorder: Recorder) -> None:
    """Attributes known at the start and at the end stand on the exported root."""
    exporter = Kept()
    provider_of(exporter=exporter).get_tracer("app").start_span("root", kind=SpanKind.SERVER).end()
    assert exporter.spans[0].attributes is not None
    assert exporter.spans[0].attributes["timetracer.mode"] == "record"


def test_what_is_known_at_the_end_is_written_on_the_root(recorder: Recorder) -> None:
    """A root's cassette and its misses are known when it ends, and no warning is logged."""
    exporter = Kept()
    known: dict[str, Any] = {"timetracer.misses": 0}
    session = Recording(recorder.terms)
    session.attributes = lambda: known  # type: ignore[method-assign]
    session.hold()
    with current(session):
        span = provider_of(exporter=exporter).get_tracer("app").start_span("root", kind=SpanKind.SERVER)
        known["timetracer.misses"] = 2
        span.end()
    session.release()
    assert dict(exporter.spans[0].attributes or {}) == {"timetracer.misses": 2}


def test_a_span_that_outlives_its_session_leaves_nothing(recorder: Recorder) -> None:
    """The process's own session may be full and written before a span of it ends."""
    session = Recording(recorder.terms, turn_over=lambda full: None)
    with current(session):
        span = provider_of().get_tracer("app").start_span("long", kind=SpanKind.CLIENT)
    session.close_now()
    assert list(SESSIONS.by_span.values()) == [session]
    span.end()
    assert SESSIONS.by_span == {}


def test_failures_of_ours_do_not_reach_the_app(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK lets a processor's exceptions through; ours end in the guard and are logged."""

    class Broken:
        closed = False

        def __getattr__(self, name: str) -> Any:
            raise ZeroDivisionError(name)

    with current(Broken()):  # type: ignore[arg-type]
        provider_of().get_tracer("app").start_span("root").end()
    assert "taking a span that began failed" in caplog.text
