"""urllib.request's steps: everything an app does with an opener."""

from __future__ import annotations

import hashlib
import http.cookiejar
import io
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

from tests.outbound.steps import Steps, address

steps = Steps()

BASE, REFUSED, PROXY = address("http"), address("refused"), address("proxy")


def opener(*handlers: Any) -> urllib.request.OpenerDirector:
    """An opener that takes nothing from the environment."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)


def head(response: Any) -> dict[str, Any]:
    """What an app can tell of a response without its body."""
    return {
        "status": (response.status, response.code, response.getcode()),
        "reason": (response.reason, response.msg),
        "version": response.version,
        "headers": response.getheaders(),
        "info": response.info().items(),
        "url": (response.url, response.geturl()),
        "length": response.length,
        "class": type(response).__name__,
    }


def all_of(response: Any) -> dict[str, Any]:
    """What an app can tell of a response."""
    with response:
        return {**head(response), "body": response.read(), "closed": response.isclosed()}


def raised(call: Callable[[], Any]) -> Any:
    """The error of a call; an HTTP error is an answer too."""
    try:
        return call()
    except urllib.error.HTTPError as error:
        with error:
            return [error.code, error.reason, error.headers.items(), error.url, error.read()]
    except (OSError, http.client.HTTPException) as error:
        return [error, getattr(error, "reason", None)]


def get(path: str, timeout: float = 5) -> Any:
    """Opens a path of the upstream."""
    return opener().open(BASE + path, timeout=timeout)


def _get(path: str) -> Callable[[], Any]:
    def step() -> Any:
        return raised(lambda: all_of(get(path)))

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
    "/1xx/100",
    "/trailers",
    "/gzip",
    "/bad-gzip",
    "/status/418",
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
    "/redirect/3",
    "/redirect-loop",
    "/slow-body/0",
):
    steps(_get(_path))


@steps
def methods() -> Any:
    asked = [urllib.request.Request(f"{BASE}/json", method=method) for method in ("HEAD", "OPTIONS", "DELETE")]
    return [all_of(opener().open(each)) for each in asked]


@steps
def query_and_fragment() -> Any:
    return all_of(get("/json?a=1#part"))


@steps
def lines() -> Any:
    with get("/text") as response:
        return list(response)


@steps
def streamed_lines() -> Any:
    with get("/sse?count=3&delay=0.01") as response:
        return [response.readline() for _ in range(5)], response.read()


@steps
def pieces() -> Any:
    with get("/stream/5?delay=0.01") as response:
        return response.read(3), response.read1(100), response.peek(4)[:4], response.read(10), response.read()


@steps
def into_a_buffer() -> Any:
    buffer = bytearray(50)
    with get("/bytes/120") as response:
        return [(response.readinto(buffer), bytes(buffer)) for _ in range(4)]


@steps
def partly() -> Any:
    with get("/bytes/3000000") as response:
        return response.read(100), response.length


@steps
def unread() -> Any:
    response = get("/json")
    response.close()
    return head(response), response.read()


@steps
def basic_auth() -> Any:
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, BASE, "user", "passwd")
    return all_of(opener(urllib.request.HTTPBasicAuthHandler(passwords)).open(f"{BASE}/basic-auth"))


@steps
def cookies() -> Any:
    jar = http.cookiejar.CookieJar()
    using = opener(urllib.request.HTTPCookieProcessor(jar))
    return all_of(using.open(f"{BASE}/cookies/set?a=1&b=2")), [(c.name, c.value) for c in jar]


@steps
def refused() -> Any:
    return raised(lambda: opener().open(f"{REFUSED}/x"))


@steps
def read_timeout() -> Any:
    return raised(lambda: get("/slow/2", timeout=0.1)), raised(lambda: get("/slow-body/2", timeout=0.15).read())


@steps
def forbidding_proxy() -> Any:
    using = urllib.request.build_opener(urllib.request.ProxyHandler({"http": PROXY}))
    return raised(lambda: using.open(f"{BASE}/json"))


@steps
def tls() -> Any:
    trusting = ssl.create_default_context(cafile=address("ca"))
    using = opener(urllib.request.HTTPSHandler(context=trusting))
    return all_of(using.open(f"{address('https')}/json")), raised(lambda: opener().open(f"{address('https')}/json"))


@steps
def tls_handshake_timeout() -> Any:
    return raised(lambda: opener().open(f"{BASE.replace('http', 'https')}/json", timeout=0.3))


@steps
def no_such_host() -> Any:
    return raised(lambda: opener().open("http://nowhere.invalid/x"))


@steps
def no_such_scheme() -> Any:
    return raised(lambda: opener().open("gopher://127.0.0.1/x"))


@steps
def refused_proxy() -> Any:
    using = urllib.request.build_opener(urllib.request.ProxyHandler({"http": REFUSED}))
    return raised(lambda: using.open(f"{BASE}/json"))


@steps
def tunnel_refused_by_proxy() -> Any:
    using = urllib.request.build_opener(urllib.request.ProxyHandler({"https": PROXY}))
    return raised(lambda: using.open("https://127.0.0.1:9/json"))


@steps
def digest_auth() -> Any:
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, BASE, "user", "passwd")
    using = opener(urllib.request.HTTPDigestAuthHandler(passwords))
    return all_of(using.open(f"{BASE}/digest-auth")), all_of(using.open(f"{BASE}/digest-auth"))


@steps
def headers_sent() -> Any:
    request = urllib.request.Request(f"{BASE}/echo", headers={"X-Mine": "yes", "accept": "text/plain"})
    request.add_unredirected_header("X-Once", "1")
    return _echoed(opener().open(request))


@steps
def redirect_post() -> Any:
    def post(status: int) -> Any:
        return raised(lambda: _echoed(opener().open(f"{BASE}/redirect/1?status={status}", data=b"abc")))

    return [post(status) for status in (302, 303, 307)]


@steps
def ranges() -> Any:
    asked = [
        urllib.request.Request(f"{BASE}/range", headers={"Range": f"bytes={each}"}) for each in ("0-99", "100-199")
    ]
    return [all_of(opener().open(each)) for each in asked]


@steps
def retrieved_to_file() -> Any:
    urllib.request.install_opener(opener())
    name, headers = urllib.request.urlretrieve(f"{BASE}/bytes/100000")
    try:
        return Path(name).read_bytes()[:300], headers.items()
    finally:
        urllib.request.urlcleanup()


@steps
def copied_to_file() -> Any:
    into = io.BytesIO()
    with get("/big/1") as response:
        shutil.copyfileobj(response, into)
    return hashlib.sha256(into.getvalue()).hexdigest(), response.isclosed()


@steps
def post_text_file() -> Any:
    request = urllib.request.Request(f"{BASE}/upload", data=SizedFile(b"once"), headers={"Content-Type": "text/plain"})
    return all_of(opener().open(request))


@steps
def threads() -> Any:
    with ThreadPoolExecutor(3) as pool:
        # The context goes along, as OTel's ThreadingInstrumentor would have it.
        asked = [pool.submit(copy_context().run, get, "/json") for _ in range(6)]
        return [all_of(each.result())["body"] for each in asked]


@steps
def post_bytes() -> Any:
    return _echoed(opener().open(f"{BASE}/echo", data=b"a=1"))


class SizedFile(io.BytesIO):
    """A file with a length: OTel's instrumentor of urllib breaks uploads that have none."""

    def __len__(self) -> int:
        return len(self.getvalue())


class SizedParts:
    """A body that is made while it is sent, with a length for OTel's instrumentor."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def __len__(self) -> int:
        return 1


@steps
def post_file() -> Any:
    file = SizedFile(b"x" * 200_000)
    request = urllib.request.Request(f"{BASE}/upload", data=file, headers={"Content-Length": "200000"}, method="PUT")
    return all_of(opener().open(request)), request.data is file, file.tell()


@steps
def post_generator() -> Any:
    body = SizedParts(b"part %d," % index for index in range(4))
    return all_of(opener().open(urllib.request.Request(f"{BASE}/upload", data=body)))


@steps
def post_generator_that_calls() -> Any:
    def body() -> Iterator[bytes]:
        with get("/json") as inner:
            yield inner.read()
        yield b"and more"

    return all_of(opener().open(urllib.request.Request(f"{BASE}/upload", data=SizedParts(body()))))


@steps
def identical_calls() -> Any:
    return [all_of(get("/counter/urllib"))["body"] for _ in range(3)]


def _echoed(response: Any) -> Any:
    """What the upstream got."""
    import json

    got = json.loads(response.read())
    return {**got, "headers": [each for each in got["headers"] if each[0].lower() not in ("traceparent", "tracestate")]}
