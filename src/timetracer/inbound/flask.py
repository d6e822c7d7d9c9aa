"""Flask requests: around the whole WSGI application, its SERVER span included.

Upstream: `Flask.__call__` is what servers and test clients call; werkzeug's request, which knows its `url_rule`, leaves
itself in the environ while it is answered
(https://github.com/pallets/flask/blob/3.1.0/src/flask/app.py,
https://github.com/pallets/werkzeug/blob/3.1.0/src/werkzeug/wrappers/request.py).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from flask import Flask, request
from flask.signals import got_request_exception

from timetracer.inbound import wsgi
from timetracer.plugin import Door, Visit

_INSTALLED = "_timetracer_real"


class Middleware(wsgi.Middleware):
    """For `app.wsgi_app = Middleware(app.wsgi_app, door)`."""

    def __init__(self, app: wsgi.Application, door: Door) -> None:
        super().__init__(app, door, template)
        _watch_exceptions()


def install(door: Door) -> None:
    """Puts the door around every Flask application, once."""
    real = Flask.__call__
    if hasattr(real, _INSTALLED):
        return

    @functools.wraps(real)
    def __call__(self: Any, environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Iterable[bytes]:
        return wsgi.serve(functools.partial(real, self), door, template, environ, start_response)

    setattr(__call__, _INSTALLED, real)
    Flask.__call__ = __call__  # type: ignore[method-assign]
    _watch_exceptions()


def template(environ: wsgi.Environ) -> str | None:
    """Returns the rule that routing chose, beneath what its application is mounted at; None where none was."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    mounted: str = environ.get("SCRIPT_NAME", "").removeprefix(environ.get(wsgi.SCRIPT_NAME, ""))
    return None if rule is None else f"{mounted}{rule.rule}"


def _watch_exceptions() -> None:
    got_request_exception.connect(_note_exception)


def _note_exception(sender: Any, exception: BaseException | None = None, **more: Any) -> None:
    """Notes what a view raised, before Flask turns it into an answer."""
    visit: Visit | None = request.environ.get(wsgi.VISIT)
    if visit is not None and exception is not None:
        visit.note(_failed, visit, exception)


def _failed(visit: Visit, exception: BaseException) -> None:
    visit.error(exception)
    name = template(request.environ)
    if name is not None:
        visit.route(name)
