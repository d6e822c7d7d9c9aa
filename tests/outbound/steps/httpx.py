"""httpx's steps: everything an app does with a client, sync and async."""

from __future__ import annotations

import asyncio
import inspect
import io
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from tests.outbound.steps import Steps, address

steps = Steps()

BASE, REFUSED, PROXY = address("http"), address("refused"), address("proxy")
VIA = "proxy" if "proxy" in inspect.signature(httpx.Client).parameters else "proxies"  # since 0.26


def head(response: httpx.Response) -> dict[str, Any]:
    """What an app can tell of a response without its body."""
    return {
        "status": response.status_code,
        "reason": response.reason_phrase,
        "version": response.http_version,
        "headers": response.headers.raw,
        "url": str(response.url),
        "history": [(each.status_code, str(each.url)) for each in response.history],
        "cookies": dict(response.cookies),
        "encoding": response.encoding,
        "request": (response.request.method, str(response.request.url)),
    }


def all_of(response: httpx.Response) -> dict[str, Any]:
    """What an app can tell of a response."""
    return {**head(response), "content": response.content, "text": response.text}


def raised(call: Any) -> Any:
    """The error of a call, with its request."""
    try:
        return call()
    except httpx.RequestError as error:
        return [error, str(error.request.url), error.request.method]


def client(**options: Any) -> httpx.Client:
    """A client of the upstream."""
    return httpx.Client(base_url=BASE, trust_env=False, **options)


def async_client(**options: Any) -> httpx.AsyncClient:
    """An async client of the upstream."""
    return httpx.AsyncClient(base_url=BASE, trust_env=False, **options)


def _get(path: str) -> Any:
    def step() -> Any:
        with client(timeout=5) as http:
            response = http.get(path)
            return all_of(response)

    step.__name__ = "get_" + path.strip("/").replace("/", "_").replace("-", "_").replace("?", "_").replace("=", "_")
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
def head_and_options() -> Any:
    with client() as http:
        return [all_of(http.head("/json")), all_of(http.options("/json")), all_of(http.request("DELETE", "/echo"))]


@steps
def query_and_fragment() -> Any:
    with client() as http:
        return http.get("/json?a=1&b=%20x#part", params={"a": "1", "b": "ü"}).json()


@steps
def redirects() -> Any:
    with client(follow_redirects=True) as http:
        return all_of(http.get("/redirect/3"))


@steps
def redirect_not_followed() -> Any:
    with client() as http:
        response = http.get("/redirect/1")
        return all_of(response), str(response.next_request.url)


@steps
def redirect_post_307() -> Any:
    with client(follow_redirects=True) as http:
        return http.post("/redirect/1?status=307", json={"a": 1}).json()["body"]


@steps
def redirect_loop() -> Any:
    with client(follow_redirects=True, max_redirects=3) as http:
        return raised(lambda: http.get("/redirect-loop"))


@steps
def redirect_generator_307() -> Any:
    with client(follow_redirects=True) as http:
        return raised(lambda: http.post("/redirect/1?status=307", content=(b"%d" % i for i in range(3))))


@steps
def basic_auth() -> Any:
    with client(auth=("user", "passwd")) as http:
        return all_of(http.get("/basic-auth")), all_of(http.get("/basic-auth", auth=("user", "wrong")))


@steps
def digest_auth() -> Any:
    with client(auth=httpx.DigestAuth("user", "passwd")) as http:
        return http.get("/digest-auth").json(), http.get("/digest-auth?algorithm=SHA-256").json()


@steps
def cookies() -> Any:
    with client(follow_redirects=True) as http:
        return all_of(http.get("/cookies/set?a=1&b=2")), dict(http.cookies), http.get("/cookies").json()


@steps
def stream_bytes() -> Any:
    with client() as http, http.stream("GET", "/stream/5?delay=0.01") as response:
        return head(response), list(response.iter_bytes())


@steps
def stream_lines() -> Any:
    with client() as http, http.stream("GET", "/sse?count=3&delay=0.01") as response:
        return list(response.iter_lines())


@steps
def stream_raw_gzip() -> Any:
    with client() as http, http.stream("GET", "/gzip") as response:
        return b"".join(response.iter_raw()), response.num_bytes_downloaded


@steps
def stream_text() -> Any:
    with client() as http, http.stream("GET", "/text") as response:
        return list(response.iter_text(5))


@steps
def stream_partly() -> Any:
    with client() as http, http.stream("GET", "/stream/50?delay=0.005") as response:
        chunks = response.iter_raw()
        return next(chunks), next(chunks), response.is_stream_consumed


@steps
def stream_unread() -> Any:
    with client() as http:
        with http.stream("GET", "/json") as response:
            pass
        try:
            return response.content
        except httpx.ResponseNotRead as error:
            return str(error)[:40], response.is_closed


@steps
def refused() -> Any:
    return raised(lambda: httpx.get(f"{REFUSED}/x", trust_env=False))


@steps
def no_such_scheme() -> Any:
    return raised(lambda: httpx.get("gopher://127.0.0.1/x", trust_env=False))


@steps
def read_timeout() -> Any:
    with client(timeout=httpx.Timeout(5, read=0.1)) as http:
        return raised(lambda: http.get("/slow/2"))


@steps
def read_timeout_in_body() -> Any:
    with client(timeout=httpx.Timeout(5, read=0.15)) as http:
        return raised(lambda: http.get("/slow-body/2"))


@steps
def forbidding_proxy() -> Any:
    with httpx.Client(**{VIA: PROXY}, trust_env=False) as http:
        return all_of(http.get(f"{BASE}/json")), raised(lambda: http.get("https://127.0.0.1:9/json"))


@steps
def tls_error() -> Any:
    with httpx.Client(trust_env=False) as http:
        return raised(lambda: http.get(f"{address('https')}/json"))


@steps
def refused_proxy() -> Any:
    with httpx.Client(**{VIA: REFUSED}, trust_env=False) as http:
        return raised(lambda: http.get(f"{BASE}/json"))


@steps
def no_such_host() -> Any:
    return raised(lambda: httpx.get("http://nowhere.invalid/x", trust_env=False))


@steps
def tls_handshake_timeout() -> Any:
    with httpx.Client(trust_env=False, timeout=0.3) as http:
        return raised(lambda: http.get(f"{BASE.replace('http', 'https')}/json"))


@steps
def tls_verified() -> Any:
    with httpx.Client(trust_env=False, verify=ssl.create_default_context(cafile=address("ca"))) as http:
        return all_of(http.get(f"{address('https')}/json"))


@steps
def pool_timeout() -> Any:
    limits = httpx.Limits(max_connections=1)
    with client(limits=limits, timeout=httpx.Timeout(5, pool=0.1)) as http, http.stream("GET", "/stream/3"):
        return raised(lambda: http.get("/json"))


@steps
def post_json() -> Any:
    with client() as http:
        return _echoed(http.post("/echo", json={"b": [1, 2], "a": "ü"}))


@steps
def post_form() -> Any:
    with client() as http:
        return _echoed(http.post("/echo", data={"a": "1", "b": ["2", "3"]}))


@steps
def post_multipart() -> Any:
    with client() as http:
        files = {"file": ("name.txt", io.BytesIO(b"content of the file"), "text/plain")}
        first = http.post("/upload", data={"a": "1"}, files=files)
        second = http.post("/upload", data={"a": "2"}, files={"file": ("name.txt", b"content of the file")})
        return first.status_code, first.json()["size"], second.json()["size"]


@steps
def post_generator() -> Any:
    seen = []

    def body() -> Iterator[bytes]:
        for index in range(4):
            seen.append(index)
            yield b"part %d," % index

    with client() as http:
        return http.post("/upload", content=body()).json(), seen


@steps
def post_file() -> Any:
    with client() as http:
        return http.post("/upload", content=io.BytesIO(b"x" * 200_000)).json()


@steps
def post_generator_that_calls() -> Any:
    with client() as http:

        def body() -> Iterator[bytes]:
            yield http.get("/json").content
            yield b"and more"

        return http.post("/upload", content=body()).json()


@steps
def post_generator_that_fails() -> Any:
    def body() -> Iterator[bytes]:
        yield b"some"
        raise ValueError("no more")

    with client() as http:
        return raised(lambda: http.post("/upload", content=body()))


@steps
def hooks() -> Any:
    seen: list[Any] = []
    listen = {
        "request": [lambda request: seen.append(request.method)],
        "response": [lambda response: seen.append((response.status_code, len(response.read())))],
    }
    with client(event_hooks=listen) as http:
        http.get("/json")
        http.get("/status/404")
    return seen


@steps
def raise_for_status() -> Any:
    with client() as http:
        return http.get("/status/500").raise_for_status()


@steps
def ranges() -> Any:
    with client() as http:
        return [
            (response.status_code, response.headers["content-range"], response.content[:8])
            for response in (http.get("/range", headers={"Range": r}) for r in ("bytes=0-99", "bytes=100-199"))
        ]


@steps
def identical_calls() -> Any:
    with client() as http:
        return [http.get("/counter/httpx").json() for _ in range(3)]


@steps
def retried_by_the_app() -> Any:
    with client() as http:
        return [http.get("/flaky/2?key=httpx").status_code for _ in range(3)]


@steps
async def async_get() -> Any:
    async with async_client() as http:
        return all_of(await http.get("/json")), all_of(await http.get("/gzip"))


@steps
async def async_gathered() -> Any:
    async with async_client() as http:
        answers = await asyncio.gather(*(http.get(f"/json?n={n}") for n in range(5)))
        same = await asyncio.gather(*(http.get("/counter/gathered") for _ in range(3)))
        return [each.json()["path"] for each in answers], [each.json() for each in same]


@steps
async def async_stream() -> Any:
    async with async_client() as http, http.stream("GET", "/stream/5?delay=0.01") as response:
        return head(response), [chunk async for chunk in response.aiter_bytes()]


@steps
async def async_lines_partly() -> Any:
    async with async_client() as http, http.stream("GET", "/sse?count=50") as response:
        lines = response.aiter_lines()
        return [await anext(lines) for _ in range(3)]


@steps
async def async_post_generator() -> Any:
    async def body() -> AsyncIterator[bytes]:
        for index in range(3):
            await asyncio.sleep(0)
            yield b"part %d," % index

    async with async_client() as http:
        return (await http.post("/upload", content=body())).json()


@steps
async def async_multipart() -> Any:
    async with async_client() as http:
        answer = await http.post("/upload", files={"file": ("name.txt", b"content")})
        return answer.json()["size"]


@steps
async def async_refused() -> Any:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"{REFUSED}/x")


@steps
async def async_read_timeout() -> Any:
    async with async_client(timeout=httpx.Timeout(5, read=0.1)) as http:
        return await http.get("/slow/2")


@steps
async def async_tls_error() -> Any:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"{address('https')}/json")


@steps
async def async_refused_proxy() -> Any:
    async with httpx.AsyncClient(**{VIA: REFUSED}, trust_env=False) as http:
        return await http.get(f"{BASE}/json")


@steps
async def async_no_such_host() -> Any:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get("http://nowhere.invalid/x")


@steps
async def async_truncated() -> Any:
    async with async_client() as http:
        return await http.get("/truncated")


@steps
async def async_cancelled() -> Any:
    async with async_client() as http:
        task = asyncio.create_task(http.get("/slow/5"))
        await asyncio.sleep(0.1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            return ["cancelled", error.args, task.cancelled()]


@steps
async def async_wait_for() -> Any:
    async with async_client() as http:
        try:
            await asyncio.wait_for(http.get("/slow/5"), 0.1)
        except TimeoutError as error:
            return ["timed out", error.args]


@steps
async def async_cancelled_in_body() -> Any:
    async with async_client() as http:
        try:
            async with asyncio.timeout(0.15):
                await http.get("/slow-body/5")
        except TimeoutError as error:
            return ["timed out", error.args]


def _echoed(response: httpx.Response) -> Any:
    """What the upstream got, without what no two runs share."""
    got = response.json()
    return {**got, "headers": [each for each in got["headers"] if each[0].lower() not in ("traceparent", "tracestate")]}
