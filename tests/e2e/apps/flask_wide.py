"""What Flask applications are made of besides routes: nested blueprints, handlers, hooks, classes, files, mounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import redis
from flask import Blueprint, Flask, Response, abort, after_this_request, g, jsonify, redirect, request, send_file
from flask.views import MethodView
from upstream import CONFIG, SETUP, ask, digest
from werkzeug.middleware.dispatcher import DispatcherMiddleware

FILE = Path(os.environ["APP_FILE"])
app = Flask(__name__)
app.secret_key = "for tests"
store = redis.Redis.from_url(os.environ["APP_REDIS"])


class Known(Exception):
    """What a handler of the application answers for."""


@app.before_request
def before() -> None:
    if request.path != "/health/":
        g.before = ask("before")


@app.after_request
def after(response: Response) -> Response:
    if request.path != "/health/":
        response.headers["X-Stamp"] = f"{g.before['count']} {ask('after')['count']}"
    return response


@app.teardown_request
def teardown(error: BaseException | None) -> None:
    if request.path != "/health/":
        ask("teardown")


@app.errorhandler(Known)
def known(error: Known) -> tuple[dict[str, Any], int]:
    return {"known": str(error), "upstream": ask("handler")}, 418


@app.errorhandler(404)
def missing(error: Exception) -> tuple[dict[str, Any], int]:
    return {"missing": request.path, "upstream": ask("missing")}, 404


@app.get("/health/")
def health() -> str:
    return "up"


@app.get("/clients")
def clients() -> dict[str, Any]:
    return {"count": store.incr("clients"), "started": str(store.get("started")), "upstream": ask("clients")}


@app.get("/known")
def raises_known() -> None:
    raise Known(ask("known")["count"])


@app.get("/aborted")
def aborted() -> None:
    abort(409, ask("aborted")["count"])


@app.get("/unhandled")
def unhandled() -> None:
    raise RuntimeError(ask("unhandled"))


@app.get("/away")
def away() -> Response:
    return redirect("/known", 303)  # type: ignore[return-value]


@app.get("/file")
def file() -> Response:
    ask("file")
    return send_file(FILE, conditional=True)


@app.get("/late")
def late() -> dict[str, Any]:
    @after_this_request
    def mark(response: Response) -> Response:
        response.headers["X-Late"] = str(ask("late")["count"])
        return response

    return {"late": True}


@app.post("/unread")
def unread() -> dict[str, Any]:
    return ask("unread")


@app.post("/streamed")
def streamed() -> dict[str, Any]:
    return {"size": len(request.get_data()), "upstream": ask("streamed")}


@app.post("/spooled")
def spooled() -> dict[str, Any]:
    sent = request.files["file"]
    return {"digest": digest(sent.read()), "name": sent.filename, "upstream": ask("spooled")}


class Things(MethodView):
    """A class-based view."""

    def get(self, id: int) -> dict[str, Any]:
        return {"id": id, "upstream": ask("get")}

    def post(self, id: int) -> Response:
        return jsonify({"id": id, "sent": request.get_json(), "upstream": ask("post")})


app.add_url_rule("/classes/<int:id>", view_func=Things.as_view("things"))
outer = Blueprint("outer", __name__, url_prefix="/outer/<a>")
inner = Blueprint("inner", __name__, url_prefix="/inner/<b>")


@inner.get("/leaf/<c>")
def leaf(a: str, b: str, c: str) -> dict[str, Any]:
    return {"abc": [a, b, c], "upstream": ask("leaf")}


@inner.errorhandler(KeyError)
def of_blueprint(error: KeyError) -> tuple[dict[str, Any], int]:
    return {"key": str(error), "upstream": ask("blueprint")}, 400


@inner.get("/key")
def key(a: str, b: str) -> dict[str, Any]:
    raise KeyError(ask("key")["count"])


outer.register_blueprint(inner)
app.register_blueprint(outer)

sub = Flask("sub")


@sub.get("/things/<int:id>")
def sub_thing(id: int) -> dict[str, Any]:
    return {"id": id, "upstream": ask("sub")}


app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/sub": sub})  # type: ignore[method-assign]

if "middleware" in SETUP:
    from timetracer.integrations.flask import TimeTracerMiddleware

    app.wsgi_app = TimeTracerMiddleware(app.wsgi_app, CONFIG)  # type: ignore[method-assign]
if "auto_setup" in SETUP:
    from timetracer.integrations.flask import auto_setup

    auto_setup(app, CONFIG)
if "wsgi" in SETUP:
    from timetracer.integrations.wsgi import TimeTracerMiddleware as Plain

    app = Plain(app, CONFIG)  # type: ignore[assignment]

store.set("started", "yes")  # once timetracer runs: what was called before it started is not recorded
