"""urllib3's steps: everything an app does with a pool manager or a pool."""

from __future__ import annotations

import io
import json
import warnings
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import urllib3
from urllib3.util.retry import Retry

from tests.outbound.steps import Steps, address

steps = Steps()

BASE, REFUSED, PROXY = address("http"), address("refused"), address("proxy")


def head(response: Any) -> dict[str, Any]:
    """What an app can tell of a response without its body."""
    return {
        "status": response.status,
        "reason": response.reason,
        "version": (response.version, getattr(response, "version_string", None)),
        "headers": list(response.headers.items()),
        "multi": list(response.headers.iteritems()),
        "wire headers": response._original_response.msg.items(),
        "url": response.geturl(),
        "retries": [tuple(each) for each in response.retries.history],
        "left": (response.retries.total, response.retries.connect, response.retries.redirect),
        "decode": response.decode_content,
        "read": (response.tell(), getattr(response, "length_remaining", None), response.chunked),
        "class": type(response).__name__,
    }


def all_of(response: Any) -> dict[str, Any]:
    """What an app can tell of a response."""
    return {**head(response), "data": response.data, "again": response.data, "closed": response.closed}


def raised(call: Callable[[], Any]) -> Any:
    """The error of a call, with the pool it was raised in."""
    try:
        return call()
    except urllib3.exceptions.HTTPError as error:
        pool = vars(error).get("pool")
        return [error, vars(error).get("url"), type(pool).__name__, repr(vars(error).get("reason"))]


def get(path: str, **options: Any) -> Any:
    """A GET of a manager of its own."""
    with urllib3.PoolManager(retries=False) as http:
        return http.request("GET", BASE + path, **{"timeout": 5.0, **options})


def json_of(response: Any) -> Any:
    """The JSON of a response; 1.26 does not read it by itself."""
    return json.loads(response.data)


def _get(path: str) -> Callable[[], Any]:
    def step() -> Any:
        return raised(lambda: all_of(get(path, retries=Retry(0))))

    step.__name__ = "get_" + path.strip("/").replace("/", "_").replace("-", "_")
    return step


for _path in (
    "/json",
    "/text",
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
    "/deflate",
    "/br",
    "/zstd",
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
):
    steps(_get(_path))


@steps
def head_options_delete() -> Any:
    with urllib3.PoolManager() as http:
        return [all_of(http.request(method, f"{BASE}/json")) for method in ("HEAD", "OPTIONS", "DELETE")]


@steps
def fields_and_fragment() -> Any:
    with urllib3.PoolManager() as http:
        return json_of(http.request("GET", f"{BASE}/json#part", fields={"a": "ü"}))


@steps
def redirects() -> Any:
    with urllib3.PoolManager() as http:
        return all_of(http.request("GET", f"{BASE}/redirect/3")), all_of(http.request("POST", f"{BASE}/redirect/1"))


@steps
def redirects_of_a_pool() -> Any:
    with urllib3.connection_from_url(BASE) as pool:
        return all_of(pool.request("GET", "/redirect/2")), all_of(pool.urlopen("GET", "/redirect/1", redirect=False))


@steps
def redirect_loop() -> Any:
    with urllib3.PoolManager() as http:
        return raised(lambda: http.request("GET", f"{BASE}/redirect-loop", retries=Retry(redirect=2)))


@steps
def basic_auth() -> Any:
    return all_of(get("/basic-auth", headers=urllib3.make_headers(basic_auth="user:passwd")))


@steps
def unloaded_stream() -> Any:
    response = get("/stream/5?delay=0.01", preload_content=False)
    return head(response), list(response.stream()), response.closed


@steps
def unloaded_chunks() -> Any:
    response = get("/stream/5?delay=0.01", preload_content=False)
    return list(response.read_chunked())


@steps
def unloaded_pieces() -> Any:
    response = get("/bytes/10000", preload_content=False)
    return [len(piece) for piece in response.stream(3000)], response.tell()


@steps
def unloaded_reads() -> Any:
    response = get("/gzip", preload_content=False)
    return response.read(10, decode_content=False), response.read(decode_content=False), response.read()


@steps
def unloaded_decoded() -> Any:
    response = get("/gzip", preload_content=False)
    return response.read(10), response.read(), response.read()


@steps
def unloaded_lines() -> Any:
    response = get("/text", preload_content=False)
    response.auto_close = False
    return [bytes(line) for line in io.TextIOWrapper(response, encoding="latin-1").buffer]


@steps
def unloaded_partly() -> Any:
    response = get("/bytes/3000000", preload_content=False)
    return response.read(100), response.read(50)


@steps
def unloaded_unread() -> Any:
    response = get("/json", preload_content=False)
    response.drain_conn()
    response.release_conn()
    return head(response), response.read()


@steps
def shut_down() -> Any:
    seen: list[Any] = []
    for path, preload in (("/stream/5", False), ("/json", False), ("/empty", False), ("/json", True)):
        response = get(path, preload_content=preload)
        try:
            seen.append(getattr(response, "shutdown", lambda: "added in 2.3")())
        except RuntimeError as error:
            seen.append(error)
        response.close()
    return seen


@steps
def undecoded() -> Any:
    return all_of(get("/gzip", decode_content=False))


@steps
def positional_arguments() -> Any:
    with urllib3.connection_from_url(BASE) as pool:
        return json_of(pool.urlopen("POST", "/echo", b"body", {"X-A": "1"}, Retry(1), False))["body"]


@steps
def refused() -> Any:
    with urllib3.PoolManager() as http:
        return [raised(lambda r=r: http.request("GET", f"{REFUSED}/x", retries=r)) for r in (False, Retry(1))]


@steps
def read_timeout() -> Any:
    timeout = urllib3.Timeout(connect=5, read=0.1)
    return [raised(lambda r=r: get("/slow/2", timeout=timeout, retries=r)) for r in (False, Retry(0))]


@steps
def read_timeout_in_body() -> Any:
    return raised(lambda: get("/slow-body/2", timeout=urllib3.Timeout(connect=5, read=0.15)))


@steps
def read_timeout_in_streamed_body() -> Any:
    response = get("/slow-body/2", timeout=urllib3.Timeout(connect=5, read=0.15), preload_content=False)
    return raised(lambda: response.read(15))


@steps
def forbidding_proxy() -> Any:
    with urllib3.ProxyManager(PROXY, retries=Retry(0)) as http:
        plain = all_of(http.request("GET", f"{BASE}/json"))
        return plain, raised(lambda: http.request("GET", "https://127.0.0.1:9/json"))


@steps
def refused_proxy() -> Any:
    with urllib3.ProxyManager(REFUSED, retries=Retry(0)) as http:
        return raised(lambda: http.request("GET", f"{BASE}/json"))


@steps
def tls_error() -> Any:
    with urllib3.PoolManager(retries=Retry(0)) as http:
        return raised(lambda: http.request("GET", f"{address('https')}/json"))


@steps
def tls_verified() -> Any:
    with urllib3.PoolManager(ca_certs=address("ca")) as http:
        return all_of(http.request("GET", f"{address('https')}/json"))


@steps
def tls_unverified() -> Any:
    with urllib3.PoolManager(cert_reqs="CERT_NONE") as http, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return all_of(http.request("GET", f"{address('https')}/json"))


@steps
def no_such_host() -> Any:
    with urllib3.PoolManager(retries=1) as http:
        return raised(lambda: http.request("GET", "http://nowhere.invalid/x"))


@steps
def tls_handshake_timeout() -> Any:
    with urllib3.PoolManager(retries=False) as http:
        return raised(lambda: http.request("GET", f"{BASE.replace('http', 'https')}/json", timeout=0.3))


@steps
def pool_exhausted() -> Any:
    with urllib3.connection_from_url(BASE, maxsize=1, block=True, retries=False) as pool:
        first = pool.request("GET", "/stream/3", preload_content=False)
        said = raised(lambda: pool.request("GET", "/json", pool_timeout=0.1))
        return said, first.read()


@steps
def post_json() -> Any:
    with urllib3.PoolManager() as http:
        return _echoed(
            http.request("POST", f"{BASE}/echo", body=b'{"a": 1}', headers={"Content-Type": "application/json"})
        )


@steps
def post_form() -> Any:
    with urllib3.PoolManager() as http:
        return _echoed(http.request("POST", f"{BASE}/echo", fields={"a": "1"}, encode_multipart=False))


@steps
def post_multipart() -> Any:
    with urllib3.PoolManager() as http:
        return json_of(http.request("POST", f"{BASE}/upload", fields={"a": "1", "file": ("name.txt", b"content")}))[
            "size"
        ]


@steps
def post_generator() -> Any:
    seen = []

    def body() -> Iterator[bytes]:
        for index in range(4):
            seen.append(index)
            yield b"part %d," % index

    with urllib3.PoolManager() as http:
        return json_of(http.request("POST", f"{BASE}/upload", body=body(), chunked=True)), seen


@steps
def post_buffers() -> Any:
    """Whatever lends its bytes is sent in one piece."""
    bodies = (array("i", [1, 2]), bytearray(b"bytes"), memoryview(b"lent"))
    with urllib3.PoolManager() as http:
        return [_echoed(http.request("POST", f"{BASE}/echo", body=each)) for each in bodies]


@steps
def post_file() -> Any:
    with urllib3.PoolManager() as http:
        file = io.BytesIO(b"x" * 200_000)
        return json_of(http.request("PUT", f"{BASE}/upload", body=file))["size"], file.tell()


@steps
def post_file_redirected() -> Any:
    with urllib3.PoolManager() as http:
        return json_of(http.request("POST", f"{BASE}/redirect/1?status=307", body=io.BytesIO(b"rewound")))["body"]


@steps
def post_generator_that_calls() -> Any:
    def body() -> Iterator[bytes]:
        yield get("/json").data
        yield b"and more"

    with urllib3.PoolManager() as http:
        return json_of(http.request("POST", f"{BASE}/upload", body=body(), chunked=True))


@steps
def retried() -> Any:
    with urllib3.PoolManager(retries=Retry(3, status_forcelist=[503], backoff_factor=0)) as http:
        return all_of(http.request("GET", f"{BASE}/flaky/2?key=urllib3"))


@steps
def retried_reset() -> Any:
    with urllib3.PoolManager(retries=Retry(3, backoff_factor=0)) as http:
        return all_of(http.request("GET", f"{BASE}/flaky/1?key=urllib3-reset&how=reset"))


@steps
def retries_used_up() -> Any:
    with urllib3.PoolManager(retries=Retry(1, status_forcelist=[503], backoff_factor=0)) as http:
        return raised(lambda: http.request("GET", f"{BASE}/flaky/5?key=urllib3-used-up"))


@steps
def ranges() -> Any:
    answers = [get("/range", headers={"Range": asked}) for asked in ("bytes=0-99", "bytes=100-199")]
    return [(each.status, each.headers.get("content-range"), each.data[:8]) for each in answers]


@steps
def identical_calls() -> Any:
    with urllib3.PoolManager() as http:
        return [json_of(http.request("GET", f"{BASE}/counter/urllib3")) for _ in range(3)]


@steps
def threads() -> Any:
    with ThreadPoolExecutor(3) as pool:
        # The context goes along, as OTel's ThreadingInstrumentor would have it.
        asked = [pool.submit(copy_context().run, get, "/json") for _ in range(6)]
        return [json_of(each.result()) for each in asked]


@steps
def another_host_than_the_pool() -> Any:
    with urllib3.connection_from_url(BASE) as pool:
        return raised(lambda: pool.urlopen("GET", "http://127.0.0.2:9/"))


def _echoed(response: Any) -> Any:
    """What the upstream got, without what no two runs share."""
    got = json_of(response)
    return {**got, "headers": [each for each in got["headers"] if each[0].lower() not in ("traceparent", "tracestate")]}
