"""Emits the exchanges of a cassette as OTel log records, for who asked for payloads beside the spans."""

from __future__ import annotations

from datetime import datetime

import msgspec
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from timetracer.cassette.bodies import packed
from timetracer.cassette.model import Cassette, Event

EVENT_NAME = "timetracer.exchange"


def export_exchanges(cassette: Cassette) -> None:
    """Emits one log record an exchange, with the trace and span that it belongs to.

    Args:
        cassette: redacted already; what it holds leaves the process as it is.
    """
    cassette = packed(cassette)
    logger = get_logger("timetracer")
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
                body=msgspec.to_builtins(event),
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
    return round(datetime.fromisoformat(start).timestamp() * 1e9) if start else 0
