"""The report of a miss names the call and what differs, and shows no secret: it is printed, and put into spans."""

from __future__ import annotations

import pytest

from timetracer.cassette.model import Body, Cassette, Event, Result, Sent, Signature, Trace
from timetracer.cassette.redaction import Redactor
from timetracer.engine import miss
from timetracer.engine.matching import Index, Matcher
from timetracer.errors import ReplayError
from timetracer.plugin import Plugin, Request

PLUGIN = Plugin(name="x", kind="http", library="x", patches=())
THEN, NOW = "Zk3nP0wq7Lm2Xv9Bt5Rd", "Qw8eR6tyU4iO2pA1sD3f"


def reported(redactor: Redactor) -> ReplayError:
    """Returns the report of a call whose secrets, and one other field, are not the recorded ones."""
    url = "https://ann:{0}@api/reset/MQ/{0}/?token={0}"
    sql = "UPDATE t SET password = '{0}'"
    fields = {"args": ["HSET", "k"], "api_key": THEN, "sql": sql.format(THEN), "page": 1}
    body = Body(raw=[b"password=" + THEN.encode() + b"&note=then"])
    event = Event(7, "http.client", Signature("x", "GET", url.format(THEN), fields=fields), Sent(body=body), Result())
    cassette = Cassette(trace=Trace(trace_id="a1" * 16, root_id="b2" * 8), events=[event])
    request = Request(type="http.client", method="GET", target=url.format(NOW))
    return miss.report(
        PLUGIN,
        request,
        fields | {"api_key": NOW, "sql": sql.format(NOW), "page": 2},
        b"password=" + NOW.encode() + b"&note=now",
        matcher=Matcher(
            Index(cassette, lambda each: b"".join(each.request.body.raw or []) if each.request.body else b"")
        ),
        text="",
        cassette="a.json",
        rerecord="record again",
        hide=redactor.shown,
    )


def test_a_report_shows_marks_in_place_of_secrets() -> None:
    """Neither the recorded nor the live secret is in it, and what else differs is."""
    error = reported(Redactor())
    said = f"{error} {error.details} {error.args}"
    assert THEN not in said
    assert NOW not in said
    assert "page: recorded 1, asked 2" in said
    assert "note=then" in said
    assert "note=now" in said
    assert "api_key: recorded '<secret" in said


@pytest.mark.parametrize("mode", ["seal", "redact"])
def test_whatever_is_done_about_secrets_in_files_reports_hide_them(mode: str) -> None:
    """Sealed cassettes are open while they replay; what is said of them is not."""
    assert THEN not in str(reported(Redactor(mode, key=bytes(32))))  # type: ignore[arg-type]


def test_kept_secrets_are_shown() -> None:
    """Who keeps secrets in cassettes sees them in reports."""
    assert NOW in str(reported(Redactor("keep")))


def test_users_name_further_secrets() -> None:
    """Names that a configuration adds are hidden as well."""
    said = str(reported(Redactor(fields=["note"])))
    assert "note=then" not in said
    assert "page: recorded 1, asked 2" in said
