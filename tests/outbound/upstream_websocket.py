"""The upstream's route that switches to a websocket and sends every text message back."""

from __future__ import annotations

import base64
import hashlib

from tests.outbound.upstream_wire import Request, Wire, route

# https://www.rfc-editor.org/rfc/rfc6455#section-1.3
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT = 1


@route("websocket")
async def websocket(request: Request, wire: Wire, rest: str) -> None:
    key = request.header("sec-websocket-key").encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    if not key:
        await wire.reply(426, b"a websocket lives here")
        return
    await wire.head(101, [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)])
    wire.open = False
    while True:
        head = await wire.read_exactly(2)
        # Messages of the tests are short and masked, as a client's must be.
        size, mask = head[1] & 0x7F, await wire.read_exactly(4)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await wire.read_exactly(size)))
        await wire.send(bytes([head[0], size]) + data)
        if head[0] & 0x0F != _TEXT:
            return
