"""Records the app with the rates service running, then replays it with the service gone."""

from __future__ import annotations

import io
from http.server import ThreadingHTTPServer
from pathlib import Path

from app import app

import timetracer


def ask() -> tuple[int, str]:
    with app.test_client() as client:
        response = client.post("/convert/EUR", data={"amounts": (io.BytesIO(b"10 20 30"), "amounts.txt")})
    return response.status_code, response.text


def test_replay_needs_no_rates_service(rates: ThreadingHTTPServer, tmp_path: Path) -> None:
    """Live, the rates differ each time; replayed, a conversion comes again, with nothing to ask."""
    with timetracer.record(tmp_path / "cassette.json"):
        live = ask()
    rates.shutdown()
    rates.server_close()
    with timetracer.replay(tmp_path / "cassette.json"):
        replayed = ask()
    assert replayed == live
    assert live[0] in (200, 201)
