"""The demo's upstream: another service that knows prices and taxes, and takes its time.

python -m timetracer.cli.demo_upstream
"""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SECONDS = 0.06


class Prices(BaseHTTPRequestHandler):
    """Answers `GET /price/<item>` and `POST /tax`."""

    def do_GET(self) -> None:
        """Answers a price, made of the item's name."""
        item = self.path.rpartition("/")[2]
        self._answer({"item": item, "price": 10 * len(item) + 9})

    def do_POST(self) -> None:
        """Answers a fifth of what it is given."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer({"tax": round(asked["net"] * 0.2, 2)})

    def _answer(self, value: dict[str, Any]) -> None:
        time.sleep(_SECONDS)
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Prices) as server:
        print(f"listening\t{server.server_port}", flush=True)
        server.serve_forever()
