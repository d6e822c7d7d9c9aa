"""Asks a server that replays, over HTTP; makes sure beforehand that it is one, for recorded requests change things."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from typing import Any
from urllib.parse import quote, urlsplit

from timetracer.engine.reruns import HEADER
from timetracer.errors import ConfigError, ReplayError
from timetracer.runner.inbox import Inbox
from timetracer.runner.questions import Answer, Question

SECONDS = 60.0
"""A server gets so long for each answer."""

PROBE_SECONDS = 5.0


class Driver:
    """One server. Each request has a connection of its own, so threads may share this.

    Raises:
        ConfigError: the URL is none of a server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("--url", url, "a server's URL, such as http://127.0.0.1:8000")
        self.url, self._host, self._prefix = url, parts.hostname, parts.path.rstrip("/")
        self._secure, self._port = parts.scheme == "https", parts.port

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=SECONDS, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=SECONDS)

    def probe(self, inbox: Inbox) -> None:
        """Asks something harmless, and sees whether an outcome comes back.

        Raises:
            ReplayError: nobody answers, or the server does not replay.
        """
        question = Question(
            method="HEAD", target="/", scheme="http", headers=(("Host", self._host), (HEADER, inbox.run(0))), chunks=()
        )
        answer = self.ask(question)
        if answer.error is not None and answer.status is None:
            raise ReplayError(f"nobody answers at {self.url}: {answer.error}", reason="no server")
        if inbox.take(0, PROBE_SECONDS) is None:
            raise ReplayError(
                f"the server at {self.url} does not replay, or not on this machine as this user; no recorded request"
                " was sent to it.\n  start it with TIMETRACER_MODE=replay, under opentelemetry-instrument or with"
                " TimeTracerMiddleware, and give both the same TMPDIR",
                reason="no server",
            )

    def ask(self, question: Question) -> Answer:
        """Returns what the server answers; an error of the connection is part of the answer."""
        answer = Answer()
        connection = self._connection()
        try:
            self._send(connection, question)
            response = connection.getresponse()
            answer.status, answer.reason = response.status, response.reason
            answer.headers = tuple(response.getheaders())
            answer.body = _body(response, question.limit)
        except (OSError, http.client.HTTPException) as error:
            answer.error = error
        finally:
            with contextlib.suppress(OSError):
                connection.close()
        return answer

    def _send(self, connection: http.client.HTTPConnection, question: Question) -> None:
        target = quote(self._prefix + question.target, safe="%/:;=,@!$&'()*+~?#[]|^`{}\"<>\\")
        connection.putrequest(question.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in question.headers:
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.putheader("Connection", "close")
        body: Any = iter(question.chunks) if question.chunked else question.body or None
        connection.endheaders(body, encode_chunked=question.chunked)


def _body(response: http.client.HTTPResponse, limit: int | None) -> bytes:
    if limit is None:
        return response.read()
    found = b""
    while len(found) < limit:
        piece = response.read1(limit - len(found))
        if not piece:
            break
        found += piece
    return found
