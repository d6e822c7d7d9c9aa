"""The service that knows the rates: `python rates.py [PORT]`. Only needed while a test is recorded."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Rates(BaseHTTPRequestHandler):
    """Answers every request with one rate."""

    def do_GET(self) -> None:
        body = b'{"currency": "EUR", "rate": 0.9}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8377), Rates).serve_forever()
