"""The Flask application of these tests."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request, send_file, stream_with_context
from upstream import CHUNKS, CONFIG, SETUP, ask, digest

app = Flask(__name__)
tenants = Blueprint("tenants", __name__, url_prefix="/tenants/<tenant>")


@app.get("/health/")
def health() -> str:
    return "up"


@app.get("/one/<int:n>")
def one(n: int) -> Response:
    answer = jsonify({"n": n, "upstream": ask(f"one-{n}")})
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer


@app.get("/threaded/<n>")
async def threaded(n: str) -> dict[str, Any]:
    return ask(f"threaded-{n}")


@app.post("/form")
def form() -> dict[str, Any]:
    return {"note": request.form["note"], "digest": digest(request.files["file"].read()), "upstream": ask("form")}


@app.post("/big")
def big() -> dict[str, Any]:
    return {"items": request.get_json()["items"], "upstream": ask("big")}


@app.post("/upload")
def upload() -> dict[str, Any]:
    found, pieces = hashlib.sha256(), 0
    while chunk := request.stream.read(65536):
        found.update(chunk)
        pieces += 1
    return {"digest": found.hexdigest(), "several": pieces > 1, "upstream": ask("upload")}


@app.get("/stream")
def stream() -> Response:
    def chunks() -> Iterator[bytes]:
        for n in range(CHUNKS):
            yield f"{n} {request.path} {ask('stream')}\n".encode()

    return Response(stream_with_context(chunks()), mimetype="text/plain")


@app.get("/events")
def events() -> Response:
    def each() -> Iterator[str]:
        for n in range(CHUNKS):
            yield f"event: count\ndata: {n} {ask('events')}\n\n"

    return Response(each(), mimetype="text/event-stream")


@app.get("/endless")
def endless() -> Response:
    def chunks() -> Iterator[bytes]:
        yield f"{ask('endless')}\n".encode()
        while True:
            yield b"more\n"
            time.sleep(0.02)

    return Response(chunks(), mimetype="text/plain")


@app.get("/background")
def background() -> Response:
    answer = jsonify({"later": True})
    answer.call_on_close(lambda: ask("background"))
    return answer


@app.get("/file")
def file() -> Response:
    return send_file(io.BytesIO(bytes(range(256)) * 1000), "application/octet-stream")


@app.get("/fail")
def fail() -> str:
    raise ValueError(f"no such thing: {ask('fail')}")


@tenants.get("/items/<n>")
def item(tenant: str, n: str) -> dict[str, Any]:
    return {"params": {"tenant": tenant, "n": n}, "upstream": ask("item")}


app.register_blueprint(tenants)

if SETUP == "middleware":
    from timetracer.integrations.flask import TimeTracerMiddleware

    app.wsgi_app = TimeTracerMiddleware(app.wsgi_app, CONFIG)
elif SETUP == "auto_setup":
    from timetracer.integrations.flask import auto_setup

    auto_setup(app, CONFIG)
