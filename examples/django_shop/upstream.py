"""A service that the shop leans on: it tells exchange rates. `python upstream.py 9000`."""

import json
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Rates(BaseHTTPRequestHandler):
    """Answers every GET with a rate that is another one each time."""

    def do_GET(self):
        """Answers."""
        body = json.dumps({"currency": self.path.strip("/"), "rate": random.randint(100, 999) / 100}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Rates).serve_forever()
