"""Cassettes for the tests of the command line: recorded from a real server that answers nastily."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

import timetracer

ESCAPES = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202eleft\u2066 [red]markup[/red] [link=http://x]x[/link]"
BODIES = {
    "/json": b'{"name": "\\u001b[31mAda", "markup": "[bold red]x[/]", "numbers": [1, 2, 3]}',
    "/text": ESCAPES.encode(),
    "/bytes": bytes(range(256)),
    "/huge": b'["' + b"x" * 300_000 + b'"]',
}


class _Nasty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = BODIES.get(self.path, b"")
        self.send_response(200 if body else 500)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Markup", "[red]x[/red]")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def nasty_server() -> Iterator[str]:
    """A server on a free port; gives its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Nasty) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def record_nasty(path: Path) -> Path:
    """Records each of the server's answers, a refused connection and some SQL."""
    with nasty_server() as url, timetracer.record(path, service=ESCAPES), httpx.Client() as client:
        for name in (*BODIES, "/nothing"):
            client.get(url + name)
        with suppress(httpx.ConnectError):
            client.get("http://127.0.0.1:1/")
        connection = sqlite3.connect(":memory:")
        connection.execute("create table names (name text)")
        connection.execute("insert into names values (?)", (ESCAPES,))
        connection.execute("select * from names").fetchall()
        connection.close()
    return path


def record_small(path: Path) -> Path:
    """Records two statements."""
    with timetracer.record(path):
        connection = sqlite3.connect(":memory:")
        connection.execute("select 1").fetchall()
        connection.execute("select 'two'").fetchall()
        connection.close()
    return path
