"""A lean HTTP upstream in a process of its own: `python -m tests.benchmarks.upstream PORT`.

`/N` answers with about N bytes of JSON. It does next to nothing else, so that the client's work is what is measured: a
slower upstream would flatter every ratio.
"""

from __future__ import annotations

import asyncio
import json
import sys

_HEAD = (
    "HTTP/1.1 200 OK\r\ndate: Fri, 20 Nov 2026 12:00:00 GMT\r\nserver: bench\r\ncontent-type: application/json\r\n"
    "cache-control: no-store\r\nx-request-id: 4f1d6c1e\r\ncontent-length: {}\r\n\r\n"
)


def answer(size: int) -> bytes:
    """Returns a whole response: orders, as services give them."""
    rows: list[dict[str, object]] = []
    length = 2
    while length < size:
        number = len(rows)
        rows.append(
            {"id": number, "name": f"article {number}", "price": number * 1.25, "tags": ["new", "blue"], "stock": True}
        )
        length += len(json.dumps(rows[-1])) + 2
    body = json.dumps(rows).encode()
    return _HEAD.format(len(body)).encode() + body


class Connection(asyncio.Protocol):
    """One client: each head of a request gets its answer."""

    answers: dict[bytes, bytes] = {}  # noqa: RUF012 (shared on purpose: an answer is made once)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        while b"\r\n\r\n" in self._head:
            head, _, self._head = self._head.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path not in self.answers:
                self.answers[path] = answer(int(path.rpartition(b"/")[2] or 0))
            self._transport.write(self.answers[path])


async def serve(port: int) -> None:
    """Serves until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
