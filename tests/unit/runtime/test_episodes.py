"""Which scope a cassette gets in which record mode, and how two cassettes become one."""

from __future__ import annotations

from pathlib import Path

import pytest

from timetracer.cassette.model import Cassette, Draw, Event, Result, Sent, Signature, Trace
from timetracer.engine.cards import Card
from timetracer.engine.extending import renewed
from timetracer.engine.matching import Index
from timetracer.errors import ConfigError
from timetracer.runtime import episodes
from timetracer.runtime.scopes import replay


@pytest.mark.parametrize(
    ("mode", "absent", "present"),
    [
        ("none", episodes.unrecorded, replay),
        ("once", episodes.renew, replay),
        ("new_episodes", episodes.renew, episodes.extend),
        ("all", episodes.renew, episodes.renew),
        ("rewrite", episodes.renew, episodes.renew),
    ],
)
def test_scopes(tmp_path: Path, mode: str, absent: type, present: type) -> None:
    """By mode, and by whether the cassette is there; only `rewrite` takes it away."""
    path = tmp_path / "x.json"
    assert type(episodes.episode(path, mode)) is absent
    path.write_text("{}")
    assert type(episodes.episode(path, mode)) is present
    assert path.exists() is (mode != "rewrite")


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    """The message names what is allowed, and nothing is touched."""
    with pytest.raises(
        ConfigError, match="record='twice' is not allowed: one of none, once, new_episodes, all, rewrite"
    ):
        episodes.episode(tmp_path / "x.json", "twice")


def _event(eid: int, url: str, lane: str = "") -> Event:
    signature = Signature(lib="httpx", method="GET", url=url)
    return Event(eid=eid, type="http.client", signature=signature, request=Sent(), result=Result(), lane=lane)


def _card(*events: Event) -> Card:
    cassette = Cassette(
        trace=Trace(trace_id="old", root_id="old"),
        events=list(events),
        draws=[Draw(lane="", source="uuid", values=[1])],
    )
    return Card("old.json", cassette, Index(cassette, lambda event: b""), lambda body: [])


def test_what_is_recorded_again_replaces_every_equal_call() -> None:
    """The rest stays, in front; numbers are distinct; draws and trace are the new ones."""
    fresh = Cassette(
        trace=Trace(trace_id="new", root_id="new"), events=[_event(0, "/a"), _event(1, "/a"), _event(2, "/c")]
    )
    both = renewed(_card(_event(0, "/a"), _event(1, "/b"), _event(2, "/a"), _event(3, "/a")), fresh)
    assert [(event.eid, event.signature.url) for event in both.events] == [(1, "/b"), (2, "/a"), (3, "/a"), (4, "/c")]
    assert both.trace.trace_id == "new"
    assert both.draws == []


def test_calls_that_differ_in_an_id_are_replaced_one_by_one() -> None:
    """A new id in the path is the old call asked again; another recorded one is not taken for it."""
    ids = [f"/items/{n}1111111-1111-4111-8111-111111111111" for n in (1, 2, 3)]
    fresh = Cassette(trace=Trace(trace_id="new", root_id="new"), events=[_event(0, ids[2])])
    both = renewed(_card(_event(0, ids[0]), _event(1, ids[1])), fresh)
    assert [event.signature.url for event in both.events] == [ids[1], ids[2]]
    exact = Cassette(trace=Trace(trace_id="new", root_id="new"), events=[_event(0, ids[0])])
    both = renewed(_card(_event(0, ids[0]), _event(1, ids[1])), exact)
    assert [event.signature.url for event in both.events] == [ids[1], ids[0]]
