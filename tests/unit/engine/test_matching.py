"""Which recorded event answers a call: exact, masked, bound; by lane and order; and never anything looser."""

from __future__ import annotations

import base64
import json
import pickle
import time
import uuid
from datetime import UTC, datetime

import msgspec
import pytest

from tests.unit.engine.decks import Asking, cassette, event
from timetracer.cassette.model import Trace
from timetracer.engine.bindings import swap, swap_bytes, swap_data

A, B, C, D = (str(uuid.UUID(int=n + (4 << 76))) for n in range(4))


def test_equal_calls_answer_in_recorded_order() -> None:
    """The same question three times gets the three answers in order, and no fourth."""
    asking = Asking(cassette(event(0, "/a"), event(1, "/b"), event(2, "/a")))
    assert [asking.ask("/a"), asking.ask("/a"), asking.ask("/a")] == [(0, "exact"), (2, "exact"), None]


def test_other_calls_never_answer() -> None:
    """Another target, method, field or body is another question."""
    asking = Asking(cassette(event(0, "/a", body=b"x", page=1)))
    assert asking.ask("/b", body=b"x", page=1) is None
    assert asking.ask("/a", method="POST", body=b"x", page=1) is None
    assert asking.ask("/a", body=b"y", page=1) is None
    assert asking.ask("/a", body=b"x", page=2) is None
    assert asking.ask("/a", body=b"x") is None
    assert asking.ask("/a", body=b"x", page=1) == (0, "exact")


def test_the_lane_decides_between_equal_calls() -> None:
    """Concurrent tasks that ask alike each get what their own lane got, in whatever order they ask."""
    asking = Asking(cassette(event(0, "/n", lane="2"), event(1, "/n", lane="1"), event(2, "/n", lane="3")))
    assert [asking.ask("/n", lane=lane) for lane in ("1", "2", "3")] == [(1, "exact"), (0, "exact"), (2, "exact")]


def test_a_lane_that_was_not_recorded_is_served_in_order() -> None:
    """Lanes are a preference: a run with other tasks still gets answers."""
    asking = Asking(cassette(event(0, "/n", lane="1"), event(1, "/n", lane="2")))
    assert [asking.ask("/n"), asking.ask("/n")] == [(0, "exact"), (1, "exact")]


def test_json_bodies_are_equal_whatever_their_layout() -> None:
    """A JSON body is compared as JSON, keys in any order."""
    asking = Asking(cassette(event(0, "/a", method="POST", body=b'{"a": 1, "b": [2]}')))
    assert asking.ask("/a", method="POST", body=b'{"b":[2],"a":1}') == (0, "exact")


def test_ids_and_times_are_masked_where_nothing_is_exact() -> None:
    """A fresh uuid or time does not hide the event; the ids must agree with each other throughout."""
    asking = Asking(cassette(event(0, f"/t/{A}", at="2026-01-02T03:04:05+00:00"), event(1, f"/t/{B}/x")))
    assert asking.ask(f"/t/{C}", at="2027-11-12 13:14:15.123") == (0, "masked")
    assert asking.matcher.live == {A: C}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_times_in_pickles_are_masked_and_nothing_else_of_them(protocol: int) -> None:
    """A throttle's history or a cached model holds the moment it was made at; what else was cached still tells."""

    def cached(name: str, at: float) -> dict[str, str]:
        data = pickle.dumps({"name": name, "seen": [at, at - 2], "made": datetime.fromtimestamp(at, UTC)}, protocol)
        return {"$base64": base64.b64encode(data).decode()}

    asking = Asking(cassette(event(0, "/set", value=cached("anna", 1_790_000_000.25))))
    if protocol > 3:  # before, a datetime's state is a text of other lengths
        assert asking.ask("/set", value=cached("bert", 1_790_000_003.5)) is None
        assert asking.ask("/set", value=cached("anna", 1_790_000_003.5)) == (0, "masked")
    else:
        plain = [base64.b64encode(pickle.dumps([at, "x"], protocol)).decode() for at in (1.79e9, 1.79e9 + 7)]
        asking = Asking(cassette(event(0, "/set", value=plain[0])))
        assert asking.ask("/set", value=plain[1]) == (0, "masked")


@pytest.mark.parametrize("before", ["\t", "\n", "\r\n", "\0", '{"a": "\\n'])
def test_ids_and_times_are_masked_after_a_control_character(before: str) -> None:
    """In JSON a tab is a backslash and a letter: the row of a COPY, or a line of a text, begins none the less there."""
    asking = Asking(cassette(event(0, "/copy", data=f"1{before}{A}{before}2026-11-20 21:58:31.858681+00:00")))
    assert asking.ask("/copy", data=f"2{before}{B}{before}2026-11-20 21:58:31.858764+00:00") is None
    assert asking.ask("/copy", data=f"1{before}{B}{before}2026-11-20 21:58:31.858764+00:00") == (0, "masked")


def test_times_in_messagepack_are_masked_and_nothing_else_of_it() -> None:
    """A session as Flask-Session keeps it in redis may hold a date and a time as a number."""

    def packed(user: str, at: float) -> dict[str, str]:
        made = datetime.fromtimestamp(at, UTC)
        data = msgspec.msgpack.encode({"user": user, "at": at, "made": made, "whole": made.replace(microsecond=0)})
        return {"$base64": base64.b64encode(data).decode()}

    asking = Asking(cassette(event(0, "/set", value=packed("anna", 1_790_000_000.25))))
    assert asking.ask("/set", value=packed("bert", 1_790_000_003.5)) is None
    assert asking.ask("/set", value=packed("anna", 1_790_000_003.5)) == (0, "masked")


def test_the_time_of_http_is_masked() -> None:
    """A cached page says when it expires."""
    asking = Asking(cassette(event(0, "/save", until="Fri, 20 Nov 2026 17:33:59 GMT", page="a")))
    assert asking.ask("/save", until="Fri, 20 Nov 2026 17:34:00 GMT", page="b") is None
    assert asking.ask("/save", until="Fri, 20 Nov 2026 17:34:00 GMT", page="a") == (0, "masked")


@pytest.mark.parametrize("scale", [1, 1_000, 1_000_000, 1_000_000_000])
def test_times_as_numbers_are_masked(scale: int) -> None:
    """`time.time()` in a body is another one in each run, in seconds or in whole parts of them."""
    trace = Trace(trace_id="1" * 32, root_id="2" * 16, start="2026-11-20T20:52:35.000001+00:00", duration_ms=40.0)
    recorded, now, other = (
        json.dumps({"at": at if scale == 1 else int(at * scale), "id": 7}).encode()
        for at in (1_795_207_955.25, 1_795_207_955.5, 1_595_207_955.5)
    )
    asking = Asking(cassette(event(0, "/set", body=recorded), trace=trace))
    assert asking.ask("/set", body=other) is None
    assert asking.ask("/set", body=now.replace(b'"id": 7', b'"id": 8')) is None
    assert asking.ask("/set", body=now) == (0, "masked")


def test_an_id_that_is_as_long_as_a_time_is_none() -> None:
    """A number of a far day stays what it is, and so does one where nobody knows when it was recorded."""
    trace = Trace(trace_id="1" * 32, root_id="2" * 16, start="2026-11-20T20:52:35.000001+00:00")
    assert Asking(cassette(event(0, "/get/1234567890"), trace=trace)).ask("/get/1234567891") is None
    assert Asking(cassette(event(0, "/get/v1795207955"), trace=trace)).ask("/get/v1795207956") is None
    assert Asking(cassette(event(0, "/get/1795207955"))).ask("/get/1795207956") is None


def test_bound_ids_lead_to_exact_answers() -> None:
    """Once a live id stands for a recorded one, later calls with it are exact, and no other id passes for it."""
    asking = Asking(cassette(event(0, f"/make/{A}"), event(1, f"/get/{A}"), event(2, f"/get/{B}")))
    assert asking.ask(f"/make/{C}") == (0, "masked")
    assert asking.ask(f"/get/{D}") == (2, "masked")
    assert asking.ask(f"/get/{C}") == (1, "exact")


def test_volatile_values_are_masked_by_family_and_wherever_they_stand() -> None:
    """A value that a plugin calls volatile is left out in the second attempt, in the body as well."""
    asking = Asking(cassette(event(0, "/up", body=b"--bound-1\r\nx", boundary={"$volatile": ["boundary", "bound-1"]})))
    again = {"$volatile": ["boundary", "bound-77"]}
    assert asking.ask("/up", body=b"--bound-77\r\nx", boundary=again) == (0, "masked")


def test_the_only_database_of_a_cassette_may_have_another_name() -> None:
    """A test runner makes its own; but two at once are two, and strict means the name as well."""
    made = cassette(event(0, "shop", sql="one"), event(1, "shop", sql="two"))
    asking = Asking(made, kind="db")
    assert asking.ask("test_shop", sql="one") == (0, "exact")
    assert asking.ask("other", sql="two") is None
    assert asking.ask("test_shop", sql="two") == (1, "exact")
    asking = Asking(made, kind="db")
    assert [asking.ask("shop", sql="one"), asking.ask("test_shop", sql="two")] == [(0, "exact"), None]
    assert Asking(made, kind="db", strict=True).ask("test_shop", sql="one") is None
    assert Asking(made).ask("test_shop", sql="one") is None
    two = cassette(event(0, "shop", sql="one"), event(1, "stock", sql="one"))
    assert Asking(two, kind="db").ask("test_shop", sql="one") is None


def test_strict_masks_nothing() -> None:
    """With strict replay a fresh id is a miss."""
    assert Asking(cassette(event(0, f"/t/{A}")), strict=True).ask(f"/t/{C}") is None


def test_what_redaction_replaced_matches_any_live_value_once_and_then_that_one() -> None:
    """A replacement is a wildcard at its place: it is bound to the live value, and the binding holds."""
    made = cassette(event(0, "/login?key=qzRpl1", user="anna"), event(1, "/me?key=qzRpl1"), replacements=("qzRpl1",))
    asking = Asking(made)
    assert asking.ask("/login?key=live-key", user="berta") is None
    assert asking.ask("/login?key=live-key", user="anna") == (0, "masked")
    assert asking.ask("/me?key=other") is None
    assert asking.ask("/me?key=live-key") == (1, "exact")


def test_ignored_fields_are_left_out_of_matching() -> None:
    """A query parameter, field or JSON key that is ignored may differ."""
    made = cassette(event(0, "/a?nonce=1&x=2", method="POST", body=b'{"nonce": 1, "y": 2}'))
    asking = Asking(made, ignore=frozenset({"nonce"}))
    assert asking.ask("/a?nonce=9&x=2", method="POST", body=b'{"nonce": 8, "y": 2}') == (0, "exact")


def test_repeats_answer_again_where_allowed() -> None:
    """With repeats the last answer is given again and again."""
    asking = Asking(cassette(event(0, "/a"), event(1, "/a")), repeats=True)
    assert [asking.ask("/a") for _ in range(4)] == [(0, "exact"), (1, "exact"), (1, "exact"), (1, "exact")]


def test_a_call_costs_the_same_in_a_large_cassette() -> None:
    """Ten thousand equal and ten thousand different questions are answered without scanning."""
    asking = Asking(cassette(*(event(n, "/same" if n % 2 else f"/{n}") for n in range(20_000))))
    began = time.process_time()
    assert all(asking.ask("/same") for _ in range(10_000))
    assert all(asking.ask(f"/{n}") for n in range(0, 20_000, 2))
    assert time.process_time() - began < 20  # scanning would take minutes


def test_values_are_swapped_wherever_they_stand() -> None:
    """Bound values are put in place in text, data and bytes, keys included."""
    table = {A: C, "token-1": "token-2"}
    assert swap(f"x {A} token-1", table) == f"x {C} token-2"
    assert swap_data({A: [f"<{A}>", 1, None]}, table) == {C: [f"<{C}>", 1, None]}
    assert swap_bytes(f"{A}".encode(), table) == C.encode()


def test_text_that_is_no_unicode_is_compared_all_the_same() -> None:
    """A path whose bytes are no UTF-8 stands as lone surrogates, and is one question like any other."""
    asking = Asking(cassette(event(0, "/\udce9", name="\udce9"), replacements=("\udcff-x",)))
    assert asking.ask("/\udce8", name="\udce9") is None
    assert asking.ask("/\udce9", name="\udce9") == (0, "exact")


def signed(payload: str, stamp: str, mark: str) -> str:
    """What Django signs with the time: a session, a cookie."""
    return f"{payload}:{stamp}:{mark * 43}"


def test_a_signed_time_is_another_in_each_run() -> None:
    """A session that was signed in the next second is the same question; what was signed has to be the same."""
    before, after = signed("e30", "1xUSZE", "R"), signed("e30", "1xUSZF", "g")
    asking = Asking(cassette(event(0, "/s", params=[before]), event(1, "/s", params=[before], again=True)))
    assert asking.ask("/s", params=[signed("e31", "1xUSZF", "g")]) is None
    assert asking.ask("/s", params=["e30:1xUSZF:short"]) is None
    assert asking.ask("/s", params=[after]) == (0, "masked")
    assert asking.ask("/s", params=[after], again=True) == (1, "exact")
    assert Asking(cassette(event(0, "/s", params=[before])), strict=True).ask("/s", params=[after]) is None


def test_sessions_at_once_share_an_index_that_is_made_at_first_use() -> None:
    """While one session builds the masks, another that asks sees all of them or builds them, too: never some."""
    asking = Asking(cassette(*(event(n, f"/{n}/{A}") for n in range(300))))
    index, seen = asking.matcher.index, list[int]()
    real = index.mask_of
    index.mask_of = lambda entry: (seen.append(len(index.by_mask)), real(entry))[1]  # type: ignore[method-assign]
    assert asking.ask(f"/299/{B}") == (299, "masked")
    assert set(seen) == {0}


def test_who_holds_the_bindings_sees_them_unchanged() -> None:
    """Threads of a session put live values into answers while another one binds: what they read does not change."""
    asking = Asking(cassette(event(0, f"/a/{A}"), event(1, f"/b/{B}")))
    assert asking.ask(f"/a/{C}") == (0, "masked")
    held = asking.matcher.live
    assert asking.ask(f"/b/{D}") == (1, "masked")
    assert (held, asking.matcher.live) == ({A: C}, {A: C, B: D})
