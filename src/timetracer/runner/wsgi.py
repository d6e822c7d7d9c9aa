"""Asks a WSGI application in this process, as a server would, without a socket.

Upstream: PEP 3333 (https://peps.python.org/pep-3333/); RAW_URI is what gunicorn and werkzeug add.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from timetracer.runner.questions import Answer, Question


class Driver:
    """One WSGI application."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def open(self) -> None:
        """Nothing is to be started."""

    def ask(self, question: Question) -> Answer:
        """Returns what the application answers; what it raises is part of the answer."""
        answer = Answer()
        body: list[bytes] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            code, _, answer.reason = status.partition(" ")
            answer.status, answer.headers = int(code), tuple(headers)
            return body.append

        with answer:
            result = self._app(environ_of(question), start_response)
            try:
                for chunk in result:
                    body.append(chunk)
                    if question.limit is not None and sum(map(len, body)) >= question.limit:
                        break
            finally:
                if hasattr(result, "close"):
                    result.close()
        answer.body = b"".join(body)[: question.limit]
        return answer

    def close(self) -> None:
        """Nothing is to be ended."""


def environ_of(question: Question) -> dict[str, Any]:
    """Returns a request as a server describes it."""
    host, port = question.place
    environ: dict[str, Any] = {
        "REQUEST_METHOD": question.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(question.path).decode("latin-1"),
        "QUERY_STRING": question.query,
        "RAW_URI": question.target,
        "REQUEST_URI": question.target,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": question.scheme,
        "wsgi.input": io.BytesIO(question.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if question.chunked:
        environ["wsgi.input_terminated"] = True
    for name, value in question.headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    return environ
