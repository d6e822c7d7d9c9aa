"""Exchanges as OTel log records, in the shape that an exporter really sends."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from timetracer.cassette import bodies, model
from timetracer.telemetry.logs import emit_exchanges

CASSETTE = model.Cassette(
    trace=model.Trace(trace_id="1" * 32, root_id="2" * 16, start="2026-01-02T03:04:05.000001+00:00"),
    events=[
        model.Event(
            eid=0,
            type="http.client",
            signature=model.Signature(lib="httpx", method="GET", url="https://api.example/x"),
            request=model.Sent(),
            result=model.Result(status=200, body=bodies.pack([b'{"a": [1, null, 2.5]}'])),
            span_id="3" * 16,
            start_offset_ms=1.5,
        ),
        model.Event(
            eid=1,
            type="db.query",
            signature=model.Signature(lib="sqlite3", method="SELECT", url=":memory:"),
            request=model.Sent(),
            result=model.Result(),
        ),
    ],
)


def test_each_exchange_is_one_record_with_its_trace_and_span() -> None:
    """A backend joins the payload to the span; an exchange without a span goes to the root's."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    emit_exchanges(provider.get_logger("timetracer"), CASSETTE)
    first, second = (data.log_record for data in exporter.get_finished_logs())
    provider.shutdown()
    assert first.event_name == "timetracer.exchange"
    assert (first.trace_id, first.span_id) == (int("1" * 32, 16), int("3" * 16, 16))
    assert second.span_id == int("2" * 16, 16)
    assert first.timestamp == 1767323045_001501000
    assert isinstance(first.body, dict)
    assert first.body["signature"] == {"lib": "httpx", "method": "GET", "url": "https://api.example/x"}
    assert first.body["result"]["body"]["json"] == {"a": [1, None, 2.5]}
    assert (first.attributes or {})["timetracer.plugin"] == "httpx"


def test_what_is_emitted_can_be_sent() -> None:
    """OTLP has every kind of value that a cassette has."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    emit_exchanges(provider.get_logger("timetracer"), CASSETTE)
    sent = encode_logs(exporter.get_finished_logs()).SerializeToString()
    provider.shutdown()
    assert b"https://api.example/x" in sent
