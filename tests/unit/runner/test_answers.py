"""How answers are compared: status, headers, and bodies as JSON, text or bytes."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from tests.unit.runner.recordings import recorded
from timetracer.cassette import bodies
from timetracer.cassette.model import Body
from timetracer.runner.answers import differences
from timetracer.runner.likeness import Likeness
from timetracer.runner.questions import Answer


def told(
    then: bytes,
    now: bytes,
    *,
    headers: tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = ((), ()),
    ignore: tuple[str, ...] = (),
    replacements: tuple[str, ...] = (),
    method: str = "GET",
) -> list[tuple[str, str | None, str | None]]:
    """What is said of two answers."""
    inbound = recorded(body=then, headers=headers[0], method=method).inbound
    assert inbound is not None
    answer = Answer(200, "OK", headers[1], now)
    found = differences(inbound, answer, Likeness(ignore, replacements))
    return [(each.where, each.recorded, each.replayed) for each in found]


def as_json(value: Any) -> bytes:
    """A body."""
    return msgspec.json.encode(value)


def test_json_is_compared_by_structure() -> None:
    """Order of keys and spaces do not matter; each path that differs is named."""
    assert told(b'{"a": 1, "b": [1, 2]}', b'{"b":[1,2],"a":1}') == []
    then, now = {"a": {"b": [1, 2, 3]}, "gone": None}, {"a": {"b": [1, 5]}, "new key": "x"}
    assert told(as_json(then), as_json(now)) == [
        ("body $.a.b[1]", "2", "5"),
        ("body $.a.b[2]", "3", None),
        ("body $.gone", "null", None),
        ('body $["new key"]', None, '"x"'),
    ]


def test_types_are_kept_apart() -> None:
    """True is no 1, 1 is no 1.0, null is not nothing."""
    assert [where for where, *_ in told(b"[true,1,null]", b"[1,1.0,0]")] == ["body $[0]", "body $[1]", "body $[2]"]


def test_many_differences_are_counted() -> None:
    """A list of thousands says no more than fifty times that it differs."""
    found = told(as_json([*range(100)]), as_json([*range(1, 101)]))
    assert len(found) == 51
    assert found[-1] == ("body: 50 more differences", None, None)


@pytest.mark.parametrize("ignore", ["id", "ID", "$.items[*].id", "items[0].id", "$.items[0].id"])
def test_a_json_field_can_be_ignored(ignore: str) -> None:
    """By its name anywhere, or by its path."""
    assert told(b'{"items": [{"id": 1}]}', b'{"items": [{"id": 2}]}', ignore=(ignore,)) == []


def test_text_and_bytes_say_where_they_begin_to_differ() -> None:
    """The line, or the byte."""
    assert told(b"one\ntwo\n", b"one\nTWO\n") == [("body line 2", '"two\\n"', '"TWO\\n"')]
    assert told(b"one\n", b"one\ntwo\n") == [("body line 2", None, '"two\\n"')]
    assert told(b"\xff\x00\x01", b"\xff\x00\x02") == [("body byte 2", "01 (3 bytes in all)", "02 (3 bytes in all)")]


def test_a_content_coding_is_taken_off() -> None:
    """Compressed anew the bytes differ, and what they hold does not."""
    coded = (("Content-Encoding", "gzip"),)
    assert told(gzip.compress(b"text", mtime=1), gzip.compress(b"text", mtime=2), headers=(coded, coded)) == []


def test_a_recorded_body_that_is_kept_without_its_coding() -> None:
    """However it was read before: a replay has put the coding on again by the time it is compared."""
    coded = (("Content-Encoding", "gzip"),)
    inbound = recorded(headers=coded).inbound
    assert inbound is not None
    inbound.result.body = Body(text="text", encoding="gzip")
    answer = Answer(200, "OK", coded, gzip.compress(b"text", 1, mtime=5))
    assert differences(inbound, answer, Likeness()) == []
    inbound.result.body.raw = bodies.unpack(inbound.result.body)
    assert differences(inbound, answer, Likeness()) == []


def test_headers_are_compared_without_what_servers_add() -> None:
    """Date, Server and the times of cookies are left out; the others count, in their order."""
    then = (("Date", "a"), ("X-Kind", "a"), ("Set-Cookie", "a=1; Max-Age=5; Path=/"), ("Vary", "A"), ("Vary", "B"))
    now = (("server", "b"), ("x-kind", "b"), ("set-cookie", " a=1; Max-Age=4; Path=/"), ("vary", "B"), ("vary", "A"))
    assert told(b"", b"", headers=(then, now)) == [("header X-Kind", "a", "b"), ("header Vary", "A, B", "B, A")]
    assert told(b"", b"", headers=(then, now), ignore=("x-kind", "VARY")) == []


def test_methods_allowed_have_no_order() -> None:
    """Flask keeps them in a set, so each process says them in another order; which ones they are counts."""
    same = (("Allow", "GET, HEAD, OPTIONS"),), (("allow", "OPTIONS,GET,HEAD"),)
    assert told(b"", b"", headers=same) == []
    fewer = (("Allow", "GET, HEAD"),), (("Allow", "GET"),)
    assert told(b"", b"", headers=fewer) == [("header Allow", "GET, HEAD", "GET")]


def test_a_length_counts_where_there_is_no_body() -> None:
    """An answer to HEAD says it, and no body does."""
    headers = (("Content-Length", "5"),), (("Content-Length", "6"),)
    assert told(b"", b"", headers=headers) == []
    assert told(b"", b"", headers=headers, method="HEAD") == [("header Content-Length", "5", "6")]


def test_an_ignored_query_parameter_may_differ_in_a_redirect() -> None:
    """`Location` is compared without it."""
    headers = (("Location", "/x?a=1&state=2"),), (("Location", "/x?a=1&state=3"),)
    assert told(b"", b"", headers=headers) == [("header Location", "/x?a=1&state=2", "/x?a=1&state=3")]
    assert told(b"", b"", headers=headers, ignore=("state",)) == []


def test_what_redaction_replaced_may_be_anything() -> None:
    """And what stands around it may not."""
    assert told(b'{"token": "Bearer r3pl"}', b'{"token": "Bearer other"}', replacements=("r3pl",)) == []
    assert told(b'{"token": "Bearer r3pl"}', b'{"token": "Basic other"}', replacements=("r3pl",))


def test_times_may_be_off_by_a_second() -> None:
    """A replay's clock runs from the recorded start, at its own speed."""
    then, near, far = "2026-01-31T12:00:00.5+00:00", "2026-01-31T12:00:01Z", "2026-01-31T12:00:09Z"
    assert told(as_json(then).join([b"[", b"]"]), as_json(near).join([b"[", b"]"])) == []
    assert told(as_json([then]), as_json([far])) != []
    assert told(b"[1795210758.25]", b"[1795210758.251]") == []
    assert told(b"[1795210758.25]", b"[1795210768.25]") != []
    assert told(b"[1795210758]", b"[1795210759]") != []  # an id may be that long
    assert told(b"[12.5]", b"[12.25]") != []


def test_an_error_that_reached_the_server_counts_as_500() -> None:
    """What a client sees then is up to the server."""
    inbound = recorded(status=500).inbound
    assert inbound is not None
    assert differences(inbound, Answer(error=RuntimeError("x")), Likeness()) == []
    (found,) = differences(recorded(status=200).inbound, Answer(error=RuntimeError("x")), Likeness())  # type: ignore[arg-type]
    assert (found.recorded, found.replayed) == ("200", "500 (RuntimeError: x)")
