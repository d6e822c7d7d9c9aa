"""Emits the exchanges of a cassette as OTel log records, for who asked for payloads beside the spans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from opentelemetry import trace
from opentelemetry._logs import Logger, LogRecord, SeverityNumber, get_logger
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from timetracer.cassette.model import Cassette, Event, data_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_NAME = "timetracer.exchange"


def export_exchanges(cassette: Cassette) -> None:
    """Emits one log record an exchange, with the trace and span that it belongs to.

    Args:
        cassette: redacted already; what it holds leaves the process as it is.
    """
    emit_exchanges(get_logger("timetracer"), cassette)


def emit_exchanges(logger: Logger, cassette: Cassette) -> None:
    """Emits the records on `logger`; a body is what the cassette's file holds of it."""
    from timetracer.cassette.bodies import packed  # only here: a start does not need what reads bodies

    cassette = packed(cassette)
    start = _nanoseconds(cassette.trace.start)
    for event in cassette.events:
        context = _context(cassette, event)
        logger.emit(
            LogRecord(
                timestamp=start + round(event.start_offset_ms * 1e6) if start else None,
                context=context,
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                event_name=EVENT_NAME,
                body=data_of(event),
                attributes={
                    "timetracer.event.type": event.type,
                    "timetracer.event.eid": event.eid,
                    "timetracer.plugin": event.signature.lib,
                    "timetracer.root_span_id": cassette.trace.root_id,
                },
            )
        )


def _context(cassette: Cassette, event: Event) -> Context:
    span = SpanContext(
        trace_id=int(cassette.trace.trace_id, 16),
        span_id=int(event.span_id or cassette.trace.root_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(NonRecordingSpan(span), Context())


def _nanoseconds(start: str) -> int:
    return (datetime.fromisoformat(start) - _EPOCH) // timedelta(microseconds=1) * 1000 if start else 0
