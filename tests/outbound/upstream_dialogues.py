"""The upstream's routes that take several requests or go wrong: redirects, credentials, slow and broken answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
from collections import Counter
from http.cookies import SimpleCookie

from tests.outbound.upstream_answers import BLOCK, echo
from tests.outbound.upstream_wire import Request, Wire, number, route

RANGED = BLOCK[:10_000]
COUNTERS: Counter[str] = Counter()


# -- redirects, credentials, cookies -----------------------------------------------------------------------------------


@route("redirect")
async def redirect(request: Request, wire: Wire, rest: str) -> None:
    left = int(number(rest, 1))
    if left < 1:
        await echo(request, wire, "")
        return
    prefix = f"{wire.scheme}://{request.header('host')}" if "absolute" in request.query else ""
    query = request.target.partition("?")[2]
    where = f"{prefix}/redirect/{left - 1}" + (f"?{query}" if query else "")
    await wire.reply(int(request.query.get("status", "302")), b"moved", [("Location", where)])


@route("redirect-loop")
async def redirect_loop(request: Request, wire: Wire, rest: str) -> None:
    await wire.reply(302, headers=[("Location", "/redirect-loop")])


@route("basic-auth")
async def basic_auth(request: Request, wire: Wire, rest: str) -> None:
    if request.header("authorization") == "Basic " + base64.b64encode(b"user:passwd").decode():
        await wire.json({"authenticated": True})
    else:
        await wire.reply(401, b"who?", [("WWW-Authenticate", 'Basic realm="upstream"')])


@route("digest-auth")
async def digest_auth(request: Request, wire: Wire, rest: str) -> None:
    algorithm = request.query.get("algorithm", "MD5")
    if _digest_is_right(request, algorithm):
        await wire.json({"authenticated": True, "algorithm": algorithm})
        return
    nonce, opaque = os.urandom(16).hex(), os.urandom(8).hex()
    challenge = f'Digest realm="upstream", qop="auth", nonce="{nonce}", opaque="{opaque}", algorithm={algorithm}'
    await wire.reply(401, b"who?", [("WWW-Authenticate", challenge)])


def _digest_is_right(request: Request, algorithm: str) -> bool:
    kind, _, fields = request.header("authorization").partition(" ")
    if kind != "Digest":
        return False
    given = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', fields)}

    def digest(*parts: str) -> str:
        name = "sha256" if algorithm == "SHA-256" else "md5"
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    secret = digest("user", "upstream", "passwd")
    what = digest(request.method, given.get("uri", ""))
    names = ("nonce", "nc", "cnonce", "qop")
    return given.get("response") == digest(secret, *(given.get(name, "") for name in names), what)


@route("cookies")
async def cookies(request: Request, wire: Wire, rest: str) -> None:
    if rest == "set":
        headers = [("Set-Cookie", f"{name}={value}; Path=/") for name, value in request.query.items()]
        await wire.reply(302, headers=[*headers, ("Location", "/cookies")])
        return
    sent = SimpleCookie(request.header("cookie"))
    await wire.json({"cookies": {name: morsel.value for name, morsel in sent.items()}})


# -- slow, broken and changing answers ---------------------------------------------------------------------------------


@route("slow")
async def slow(request: Request, wire: Wire, rest: str) -> None:
    await asyncio.sleep(number(rest, 1))
    await wire.json({"slow": rest})


@route("slow-body")
async def slow_body(request: Request, wire: Wire, rest: str) -> None:
    await wire.head(200, [("Content-Length", "20")])
    if wire.head_only:
        return
    await wire.send(b"first half")
    await asyncio.sleep(number(rest, 1))
    await wire.send(b"other half")


@route("truncated")
async def truncated(request: Request, wire: Wire, rest: str) -> None:
    await wire.head(200, [("Content-Length", "1000")])
    await wire.send(b"" if wire.head_only else b"x" * 100)
    await wire.close()


@route("truncated-chunked")
async def truncated_chunked(request: Request, wire: Wire, rest: str) -> None:
    await wire.start_chunks()
    await wire.send(b"" if wire.head_only else b"e\r\nthe only chunk\r\n")
    await wire.close()


@route("bad-gzip")
async def bad_gzip(request: Request, wire: Wire, rest: str) -> None:
    await wire.reply(200, b"this is not gzip", [("Content-Encoding", "gzip")])


@route("reset")
async def reset(request: Request, wire: Wire, rest: str) -> None:
    if rest == "body":
        await wire.head(200, [("Content-Length", "1000")])
        await wire.send(b"" if wire.head_only else b"x" * 100)
        # Otherwise the reset may overtake the bytes, and what the client sees is a matter of luck.
        await asyncio.sleep(0.05)
    await wire.close(hard=rest in ("hard", "body"))


@route("upload")
async def upload(request: Request, wire: Wire, rest: str) -> None:
    digest, size, chunks = hashlib.sha256(), 0, 0
    async for chunk in wire.body_chunks():
        digest.update(chunk)
        size, chunks = size + len(chunk), chunks + 1
    answer: dict[str, object] = {"size": size, "sha256": digest.hexdigest(), "type": request.header("content-type")}
    # How many reads it took is the network's affair, unless the client framed the chunks itself.
    if "chunked" in request.header("transfer-encoding"):
        answer["chunks"] = chunks
    await wire.json(answer)


@route("range")
async def range_(request: Request, wire: Wire, rest: str) -> None:
    size, kind = len(RANGED), [("Accept-Ranges", "bytes"), ("Content-Type", "application/octet-stream")]
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.header("range"))
    if not asked or asked[0] == "bytes=-":
        await wire.reply(200, RANGED, kind)
        return
    first = int(asked[1]) if asked[1] else size - int(asked[2])
    last = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
    if not 0 <= first <= last:
        await wire.reply(416, headers=[("Content-Range", f"bytes */{size}")])
        return
    await wire.reply(206, RANGED[first : last + 1], [*kind, ("Content-Range", f"bytes {first}-{last}/{size}")])


@route("counter")
async def counter(request: Request, wire: Wire, rest: str) -> None:
    COUNTERS[rest] += 1
    nonce = f"n{os.urandom(8).hex()}"  # digits alone may be a card number, which is redacted: one suite in a hundred
    await wire.json({"count": COUNTERS[rest], "nonce": nonce})


@route("flaky")
async def flaky(request: Request, wire: Wire, rest: str) -> None:
    key = f"flaky {request.query.get('key', '')}"
    COUNTERS[key] += 1
    if COUNTERS[key] > number(rest, 1):
        await wire.json({"attempts": COUNTERS[key]})
    elif request.query.get("how") == "reset":
        await wire.close()
    else:
        await wire.json({"attempt": COUNTERS[key]}, 503, [("Retry-After", "0")])
