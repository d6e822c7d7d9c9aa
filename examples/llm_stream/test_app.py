"""Records a story while the model streams it, then replays it with no model: at once, and at the model's pace."""

from __future__ import annotations

import time
from http.server import ThreadingHTTPServer
from pathlib import Path

from app import story
from conftest import WORDS

import timetracer


def test_replay_needs_no_model(model: ThreadingHTTPServer, tmp_path: Path) -> None:
    """The same words one by one; by default without waiting, with stream_timing="recorded" as slowly as they came."""
    cassette, url = tmp_path / "cassette.json", f"http://127.0.0.1:{model.server_port}/v1"
    with timetracer.record(cassette):
        assert list(story("snow", url)) == WORDS
    model.shutdown()
    model.server_close()

    with timetracer.replay(cassette):
        assert list(story("snow", url)) == WORDS

    started = time.perf_counter()
    with timetracer.replay(cassette, stream_timing="recorded"):
        assert list(story("snow", url)) == WORDS
    assert time.perf_counter() - started >= 0.2
