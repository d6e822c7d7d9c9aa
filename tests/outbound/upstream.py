"""The HTTP upstream of the tests, a process of its own: `python -m tests.outbound.upstream PORT`.

Every route answers every method; HEAD gets the headers alone, OPTIONS (but on /echo) the methods allowed. N, K, MB and
SECONDS in a path may be left out.

    /json /echo /text /latin1 /empty             answers as they should be; /echo gives method, headers and body back
    /bytes/N /big/MB?chunked=1                   N bytes; MB megabytes, streamed
    /stream/N?delay=S /sse?count=N&delay=S       chunks; server-sent events
    /split-chunks                                chunks that come in parts
    /trailers /gzip /deflate /br /zstd           chunks with trailers; compressed bodies (Content-Encoding)
    /duplicate-headers /reason /http10           header multimap; own reason phrase; HTTP/1.0 ended by closing
    /no-content /304 /1xx/STATUS                 without a body; 100 and 103, or the one named, ahead of the answer
    /redirect/N?status=302&absolute=1            N redirects (any status), then /json; /redirect-loop never ends
    /basic-auth /digest-auth?algorithm=SHA-256   user:passwd
    /cookies /cookies/set?name=value             what the client sent; sets and redirects to /cookies
    /status/N /slow/SECONDS /slow-body/SECONDS   any status; late head; late second half of the body
    /truncated /truncated-chunked /bad-gzip      bodies that break off or cannot be decoded
    /reset /reset/hard /reset/body               closed without an answer; RST; RST in the middle of the body
    /upload /range                               counts and hashes a body as it streams; honours Range
    /counter/KEY /flaky/K?key=KEY&how=reset      another answer each time; fails K times (503 or reset), then 200
    /openai /anthropic                           language models, see tests/outbound/upstream_models.py
    /garbage /other-protocol /odd-head           no HTTP, or hardly; /long-header and /many-headers are too much
    /odd-chunks/KIND                             chunks that end otherwise than they should, in one of five ways
    /xmlrpc                                      XML-RPC's `seven`, and a fault for any other method
    /websocket                                   switches protocols and sends back each text it gets
    /hits /log                                   how many requests came in; the last 100 (these two are not counted)

CONNECT opens a tunnel to wherever it is asked to. Three more ports: `--https` serves the same routes with a self-signed
certificate, `--proxy` is a proxy that forbids everything, `--refused` is bound but does not listen: connections to it
are refused for as long as this process lives.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections import deque
from contextlib import AsyncExitStack
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# Importing them registers their routes.
from tests.outbound import (  # noqa: F401
    upstream_answers,
    upstream_dialogues,
    upstream_models,
    upstream_nonsense,
    upstream_websocket,
)
from tests.outbound.upstream_wire import ROUTES, Request, Wire

HOST = "127.0.0.1"
ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Upstream:
    """The server: takes connections, counts requests, hands them to the routes."""

    def __init__(self) -> None:
        self._hits = 0
        self._log: deque[dict[str, object]] = deque(maxlen=100)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until either side ends it."""
        wire = Wire(reader, writer)
        try:
            while wire.open and (request := await wire.next_request()):
                await self._answer(request, wire)
                await wire.finish()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # The client has gone, which is its right.
        finally:
            writer.close()

    async def _answer(self, request: Request, wire: Wire) -> None:
        if request.method == "CONNECT":
            await wire.tunnel(request.target)
            return
        first, _, rest = request.path.strip("/").partition("/")
        if first == "hits":
            await wire.json({"hits": self._hits})
            return
        if first == "log":
            await wire.json(list(self._log))
            return
        self._hits += 1
        headers = [list(pair) for pair in request.headers]
        self._log.append({"method": request.method, "target": request.target, "headers": headers})
        handler = ROUTES.get(first)
        if handler is None:
            await wire.reply(404, b"no such route")
        elif request.method == "OPTIONS" and first != "echo":
            await wire.reply(204, headers=[("Allow", ALLOWED)])
        else:
            await handler(request, wire, rest)


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be the proxy that forbids whatever it is asked."""
    wire = Wire(reader, writer)
    if await wire.next_request():
        wire.open = False
        await wire.reply(403, b"this proxy forbids everything", reason="Forbidden By Proxy")
    await wire.close()


def make_certificate(path: Path) -> None:
    """Write a self-signed certificate for loopback, with its key, to `path`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "timetracer test upstream")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(encoding))


async def main(arguments: argparse.Namespace) -> None:
    """Listen on the ports asked for until the process is ended."""
    upstream = Upstream()
    async with AsyncExitStack() as listeners:
        if arguments.refused:
            refused = listeners.enter_context(socket.socket())
            refused.bind((HOST, arguments.refused))
        if arguments.https:
            # Made once: a client that trusts it still does after a restart.
            if not arguments.certificate.exists():
                make_certificate(arguments.certificate)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(arguments.certificate)
            listener = await asyncio.start_server(upstream.serve, HOST, arguments.https, ssl=context)
            await listeners.enter_async_context(listener)
        if arguments.proxy:
            await listeners.enter_async_context(await asyncio.start_server(refuse, HOST, arguments.proxy))
        await listeners.enter_async_context(await asyncio.start_server(upstream.serve, HOST, arguments.port))
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The HTTP upstream of timetracer's tests.")
    parser.add_argument("port", type=int)
    parser.add_argument("--https", type=int)
    parser.add_argument("--proxy", type=int)
    parser.add_argument("--refused", type=int)
    parser.add_argument("--certificate", type=Path, default=Path("upstream.pem"))
    asyncio.run(main(parser.parse_args()))
