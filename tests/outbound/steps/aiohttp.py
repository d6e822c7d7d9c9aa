"""aiohttp's steps: everything an app does with a session."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp

from tests.outbound.steps import Steps, address

steps = Steps()

BASE, REFUSED, PROXY = address("http"), address("refused"), address("proxy")


def session(**options: Any) -> aiohttp.ClientSession:
    """A session of the upstream."""
    return aiohttp.ClientSession(BASE, **options)


def head(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """What an app can tell of a response without its body."""
    return {
        "status": response.status,
        "reason": response.reason,
        "version": tuple(response.version),
        "headers": list(response.headers.items()),
        "raw": response.raw_headers,
        "url": str(response.url),
        "real url": str(response.real_url),
        "history": [(each.status, str(each.url)) for each in response.history],
        "cookies": {name: morsel.OutputString() for name, morsel in response.cookies.items()},
        "type": (response.content_type, response.charset, response.content_length),
        "request": (response.request_info.method, str(response.request_info.url)),
        "ok": response.ok,
        "class": type(response).__name__,
    }


async def all_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """What an app can tell of a response."""
    body = await response.read()
    return {**head(response), "body": body, "encoding": response.get_encoding(), "closed": response.closed}


async def raised(call: Awaitable[Any]) -> Any:
    """The error of a call."""
    try:
        return await call
    except (aiohttp.ClientError, TimeoutError) as error:
        request = getattr(error, "request_info", None)
        where = (error.host, error.port, error.ssl) if isinstance(error, aiohttp.ClientConnectorError) else None
        return [_Said(error), None if request is None else str(request.url), where]


class _Said:
    """An error by what does not hold this run's live objects."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __repr__(self) -> str:
        causes, cause = [], self._error.__cause__
        while cause is not None:
            causes.append(repr(cause))
            cause = cause.__cause__
        return f"{type(self._error).__name__}: {self._error} because {causes}"


async def get(path: str, **options: Any) -> Any:
    """A GET in a session of its own."""
    async with session() as http, http.get(path, **options) as response:
        return await all_of(response)


def _get(path: str) -> Callable[[], Any]:
    async def step() -> Any:
        return await raised(get(path))

    step.__name__ = "get_" + path.strip("/").replace("/", "_").replace("-", "_")
    return step


for _path in (
    "/json",
    "/text",
    "/latin1",
    "/empty",
    "/bytes/100000",
    "/no-content",
    "/304",
    "/reason",
    "/http10",
    "/duplicate-headers",
    "/1xx",
    "/trailers",
    "/gzip",
    "/deflate",
    "/br",
    "/zstd",
    "/bad-gzip",
    "/status/418",
    "/status/503",
    "/truncated",
    "/truncated-chunked",
    "/odd-chunks/size",
    "/odd-chunks/middle",
    "/odd-chunks/no-trailer",
    "/odd-chunks/half-trailer",
    "/odd-chunks/half-size",
    "/reset",
    "/reset/hard",
    "/reset/body",
    "/stream/5",
):
    steps(_get(_path))


@steps
async def head_options_delete() -> Any:
    async with session() as http:
        return [await all_of(await http.request(m, "/json")) for m in ("HEAD", "OPTIONS", "DELETE")]


@steps
async def query_and_fragment() -> Any:
    return await get("/json?a=1#part", params={"b": "ü"})


@steps
async def redirects() -> Any:
    return await get("/redirect/3")


@steps
async def redirect_not_followed() -> Any:
    return await get("/redirect/1", allow_redirects=False)


@steps
async def redirect_post() -> Any:
    async with session() as http:
        answers = [await http.post(f"/redirect/1?status={s}", data=b"abc") for s in (302, 303, 307, 308)]
        return [(await each.json())["body"] for each in answers]


@steps
async def redirect_loop() -> Any:
    return await raised(get("/redirect-loop", max_redirects=3))


@steps
async def redirect_generator_307() -> Any:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async with session() as http:
        return await raised(http.post("/redirect/1?status=307", data=body()))


@steps
async def basic_auth() -> Any:
    right, wrong = aiohttp.BasicAuth("user", "passwd"), aiohttp.BasicAuth("user", "wrong")
    return await get("/basic-auth", auth=right), await get("/basic-auth", auth=wrong)


@steps
async def digest_auth() -> Any:
    digest = aiohttp.DigestAuthMiddleware("user", "passwd")
    async with session(middlewares=(digest,)) as http:
        return [await (await http.get(path)).json() for path in ("/digest-auth", "/digest-auth?algorithm=SHA-256")]


@steps
async def middlewares() -> Any:
    seen = []

    async def note(request: Any, handler: Any) -> Any:
        request.headers["X-Noted"] = "yes"
        response = await handler(request)
        seen.append((request.method, response.status))
        return response

    async with session() as http:
        answer = await (await http.get("/echo", middlewares=(note,))).json()
        return seen, [each for each in answer["headers"] if each[0] == "X-Noted"]


@steps
async def cookies() -> Any:
    async with session(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        first = await all_of(await http.get("/cookies/set?a=1&b=2"))
        kept = {cookie.key: cookie.value for cookie in http.cookie_jar}
        return first, kept, await (await http.get("/cookies")).json()


@steps
async def stream_any() -> Any:
    async with session() as http, http.get("/stream/5?delay=0.02") as response:
        return head(response), [chunk async for chunk in response.content.iter_any()], response.content.at_eof()


@steps
async def stream_chunked() -> Any:
    async with session() as http, http.get("/bytes/10000") as response:
        return [len(chunk) async for chunk in response.content.iter_chunked(4000)][:1], response.content.at_eof()


@steps
async def stream_http_chunks() -> Any:
    async with session() as http, http.get("/stream/5?delay=0.02") as response:
        return [pair async for pair in response.content.iter_chunks()]


@steps
async def stream_http_chunks_in_parts() -> Any:
    async with session() as http, http.get("/split-chunks") as response:
        return [each async for each in response.content.iter_chunks()]


@steps
async def waited_for_the_end() -> Any:
    async with session() as http, http.get("/stream/5") as response:
        await response.content.wait_eof()
        return response.closed, await response.read()


@steps
async def read_long_after_it_came() -> Any:
    async with session(timeout=aiohttp.ClientTimeout(total=0.3)) as http, http.get("/json") as response:
        before = response.closed
        await asyncio.sleep(0.4)
        return before, await response.read()


@steps
async def read_long_after_it_came_in_parts() -> Any:
    async with session(timeout=aiohttp.ClientTimeout(total=1)) as http, http.get("/slow-body/0.1") as response:
        before = response.closed
        await asyncio.sleep(1.1)
        return before, await response.read()


@steps
async def stream_lines() -> Any:
    async with session() as http, http.get("/sse?count=3&delay=0.02") as response:
        return [line async for line in response.content]


@steps
async def stream_until_eof() -> Any:
    pieces = []
    async with session() as http, http.get("/json") as response:
        while not response.content.at_eof():
            pieces.append(await response.content.readany())
    return pieces


@steps
async def stream_exactly() -> Any:
    async with session() as http, http.get("/bytes/100") as response:
        first = await response.content.readexactly(10)
        try:
            await response.content.readexactly(1000)
        except asyncio.IncompleteReadError as error:
            return first, error.args, len(error.partial), error.expected


@steps
async def stream_partly() -> Any:
    async with session() as http, http.get("/stream/50?delay=0.01") as response:
        return await response.content.readany(), await response.content.readline()


@steps
async def stream_unread() -> Any:
    async with session() as http:
        response = await http.get("/bytes/3000000")
        response.release()
        return head(response), await raised(response.read())


@steps
async def read_twice() -> Any:
    async with session() as http, http.get("/json") as response:
        return await response.json(), await response.text(), await response.content.read()


@steps
async def wrong_content_type() -> Any:
    async with session() as http, http.get("/text") as response:
        return await raised(response.json())


@steps
async def refused() -> Any:
    async with aiohttp.ClientSession() as http:
        return await raised(http.get(f"{REFUSED}/x"))


@steps
async def total_timeout() -> Any:
    return await raised(get("/slow/2", timeout=aiohttp.ClientTimeout(total=0.1)))


@steps
async def total_timeout_in_body() -> Any:
    return await raised(get("/slow-body/2", timeout=aiohttp.ClientTimeout(total=0.15)))


@steps
async def read_timeout() -> Any:
    return await raised(get("/slow/2", timeout=aiohttp.ClientTimeout(sock_read=0.1)))


@steps
async def read_timeout_in_body() -> Any:
    return await raised(get("/slow-body/2", timeout=aiohttp.ClientTimeout(sock_read=0.15)))


@steps
async def forbidding_proxy() -> Any:
    async with aiohttp.ClientSession() as http:
        plain = await all_of(await http.get(f"{BASE}/json", proxy=PROXY))
        return plain, type(await raised(http.get("https://127.0.0.1:9/json", proxy=PROXY))).__name__


@steps
async def forbidden_tunnel() -> Any:
    async with aiohttp.ClientSession(headers={"X-App": "yes"}) as http:
        try:
            await http.get("https://127.0.0.1:9/json", proxy=PROXY)
        except aiohttp.ClientHttpProxyError as error:
            asked = error.request_info
            answered = [type(error.headers).__name__, list(error.headers.items())]
            return error.status, error.message, answered, asked.method, dict(asked.headers), str(asked.url)


@steps
async def refused_proxy() -> Any:
    async with aiohttp.ClientSession() as http:
        return await raised(http.get(f"{BASE}/json", proxy=REFUSED))


@steps
async def tls_error() -> Any:
    async with aiohttp.ClientSession() as http:
        return await raised(http.get(f"{address('https')}/json"))


@steps
async def tls_verified() -> Any:
    async with aiohttp.ClientSession() as http:
        trusting = ssl.create_default_context(cafile=address("ca"))
        return await all_of(await http.get(f"{address('https')}/json", ssl=trusting))


@steps
async def tls_wrong_fingerprint() -> Any:
    async with aiohttp.ClientSession() as http:
        return await raised(http.get(f"{address('https')}/json", ssl=aiohttp.Fingerprint(b"x" * 32)))


@steps
async def tls_handshake_timeout() -> Any:
    async with aiohttp.ClientSession() as http:
        return await raised(http.get(f"{BASE.replace('http', 'https')}/json", timeout=aiohttp.ClientTimeout(total=0.3)))


@steps
async def no_such_host() -> Any:
    async with aiohttp.ClientSession() as http:
        return await raised(http.get("http://nowhere.invalid/x"))


@steps
async def tls_unverified() -> Any:
    async with aiohttp.ClientSession() as http:
        return await all_of(await http.get(f"{address('https')}/json", ssl=False))


@steps
async def post_json() -> Any:
    async with session() as http:
        return _echoed(await (await http.post("/echo", json={"b": [1, 2], "a": "ü"})).json())


@steps
async def post_form() -> Any:
    async with session() as http:
        return _echoed(await (await http.post("/echo", data={"a": "1", "b": "2"})).json())


@steps
async def post_text() -> Any:
    async with session() as http:
        return _echoed(await (await http.put("/echo", data="tëxt")).json())


@steps
async def post_multipart() -> Any:
    async with session() as http:
        form = aiohttp.FormData({"a": "1"})
        form.add_field("file", io.BytesIO(b"content of the file"), filename="name.txt")
        return (await (await http.post("/upload", data=form)).json())["size"]


@steps
async def post_generator() -> Any:
    seen = []

    async def body() -> AsyncIterator[bytes]:
        for index in range(4):
            seen.append(index)
            yield b"part %d," % index

    async with session() as http:
        return await (await http.post("/upload", data=body())).json(), seen


@steps
async def post_generator_that_fails() -> Any:
    async def body(error: Exception) -> AsyncIterator[bytes]:
        yield b"begun"
        raise error

    async with session() as http:
        return [
            await raised(http.post("/echo", data=body(error)))
            for error in (KeyError("of the app"), OSError(5, "disk"), TimeoutError("late"))
        ]


@steps
async def post_file() -> Any:
    async with session() as http:
        return await (await http.post("/upload", data=io.BytesIO(b"x" * 200_000))).json()


@steps
async def post_generator_that_calls() -> Any:
    async with session() as http:

        async def body() -> AsyncIterator[bytes]:
            yield await (await http.get("/json")).read()
            yield b"and more"

        return await (await http.post("/upload", data=body())).json()


@steps
async def post_other_answer() -> Any:
    """One response's reader is the next request's body."""
    async with session() as http, http.get("/bytes/1000") as response:
        return (await (await http.post("/upload", data=response.content)).json())["sha256"]


@steps
async def raise_for_status() -> Any:
    async with session(raise_for_status=True) as http:
        return await raised(http.get("/status/500"))


@steps
async def ranges() -> Any:
    answers = [await get("/range", headers={"Range": r}) for r in ("bytes=0-99", "bytes=100-199")]
    return [(each["status"], each["body"][:8]) for each in answers]


@steps
async def gathered() -> Any:
    async with session() as http:

        async def one(path: str) -> Any:
            async with http.get(path) as response:
                return await response.json()

        different = await asyncio.gather(*(one(f"/json?n={n}") for n in range(5)))
        return different, await asyncio.gather(*(one("/counter/aiohttp") for _ in range(3)))


@steps
async def retried_by_aiohttp() -> Any:
    """A kept connection that the server closed is opened again, once, by aiohttp itself."""
    async with session() as http:
        await (await http.get("/json")).read()
        return await (await http.get("/flaky/1?key=aiohttp&how=reset")).json()


@steps
async def tracing() -> Any:
    seen = []
    config = aiohttp.TraceConfig()

    async def note(_: Any, context: Any, params: Any) -> None:
        seen.append(type(params).__name__)

    for signal in (config.on_request_start, config.on_request_end, config.on_request_redirect):
        signal.append(note)
    async with session(trace_configs=[config]) as http:
        await (await http.get("/redirect/1")).read()
    return seen


@steps
async def cancelled() -> Any:
    task = asyncio.create_task(get("/slow/5"))
    await asyncio.sleep(0.1)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as error:
        return ["cancelled", error.args]


@steps
async def wait_for() -> Any:
    try:
        await asyncio.wait_for(get("/slow/5"), 0.1)
    except TimeoutError as error:
        return ["timed out", error.args]


@steps
async def cancelled_in_body() -> Any:
    try:
        async with asyncio.timeout(0.15):
            await get("/slow-body/5")
    except TimeoutError as error:
        return ["timed out", error.args]


def _echoed(got: dict[str, Any]) -> Any:
    """What the upstream got, without what no two runs share."""
    return {**got, "headers": [each for each in got["headers"] if each[0].lower() not in ("traceparent", "tracestate")]}
