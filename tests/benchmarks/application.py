"""The served application: five outbound calls a request."""

from __future__ import annotations

import os

import flask
import requests

app = flask.Flask(__name__)
UPSTREAM = os.environ.get("BENCH_UPSTREAM", "")
_session = requests.Session()
_session.trust_env = False


@app.get("/")
def index() -> dict[str, int]:
    """Asks five times."""
    return {"articles": sum(len(_session.get(f"{UPSTREAM}/{1000 + number}").json()) for number in range(5))}
