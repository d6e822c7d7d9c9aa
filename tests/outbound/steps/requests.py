"""requests' steps: everything an app does with a session."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from urllib3.util.retry import Retry

from tests.outbound.steps import Steps, address

steps = Steps()

BASE, REFUSED, PROXY = address("http"), address("refused"), address("proxy")


def session(**mounted: Any) -> requests.Session:
    """A session that takes nothing from the environment."""
    made = requests.Session()
    made.trust_env = False
    if mounted:
        made.mount("http://", HTTPAdapter(**mounted))
    return made


def head(response: requests.Response) -> dict[str, Any]:
    """What an app can tell of a response without its body."""
    return {
        "status": response.status_code,
        "reason": response.reason,
        "version": response.raw.version,
        "headers": list(response.headers.items()),
        "raw headers": list(response.raw.headers.items()),
        "wire headers": response.raw._original_response.msg.items(),
        "url": response.url,
        "history": [(each.status_code, each.url, each.content) for each in response.history],
        "cookies": response.cookies.get_dict(),
        "encoding": response.encoding,
        "request": (response.request.method, response.request.url, response.request.body),
        "ok": response.ok,
        "links": response.links,
        "next": None if response.next is None else response.next.url,
    }


def all_of(response: requests.Response) -> dict[str, Any]:
    """What an app can tell of a response."""
    return {**head(response), "content": response.content, "text": response.text, "told": response.raw.tell()}


def raised(call: Callable[[], Any]) -> Any:
    """The error of a call, with its request."""
    try:
        return call()
    except requests.RequestException as error:
        request = error.request
        return [error, None if request is None else (request.method, request.url), error.response is None]


def get(path: str, **options: Any) -> requests.Response:
    """A GET in a session of its own."""
    with session() as http:
        return http.get(BASE + path, **{"timeout": 5, **options})


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
def head_options_delete() -> Any:
    with session() as http:
        return [
            all_of(http.head(f"{BASE}/json")),
            all_of(http.options(f"{BASE}/json")),
            http.delete(f"{BASE}/echo").text,
        ]


@steps
def query_and_fragment() -> Any:
    return get("/json?a=1#part", params={"b": ["ü", " "]}).json()


@steps
def userinfo_in_url() -> Any:
    with session() as http:
        return http.get(BASE.replace("http://", "http://user:passwd@") + "/basic-auth").json()


@steps
def redirects() -> Any:
    return all_of(get("/redirect/3"))


@steps
def redirect_not_followed() -> Any:
    return all_of(get("/redirect/1", allow_redirects=False))


@steps
def redirect_post() -> Any:
    with session() as http:
        return [http.post(f"{BASE}/redirect/1?status={s}", data=b"abc").json()["body"] for s in (302, 303, 307, 308)]


@steps
def redirect_file_307() -> Any:
    with session() as http:
        answer = http.post(f"{BASE}/redirect/1?status=307", data=io.BytesIO(b"rewound"))
        return answer.json()["body"], answer.request.body.read()


@steps
def redirect_loop() -> Any:
    def loop() -> Any:
        with session() as http:
            http.max_redirects = 3
            return http.get(f"{BASE}/redirect-loop")

    try:
        return loop()
    except requests.TooManyRedirects as error:
        return error, error.response.status_code, error.request.url


@steps
def basic_auth() -> Any:
    return all_of(get("/basic-auth", auth=("user", "passwd"))), get("/basic-auth", auth=("user", "no")).status_code


@steps
def digest_auth() -> Any:
    auth = HTTPDigestAuth("user", "passwd")
    answers = [get(path, auth=auth) for path in ("/digest-auth", "/digest-auth?algorithm=SHA-256")]
    return [(each.json(), [before.status_code for before in each.history]) for each in answers]


@steps
def cookies() -> Any:
    with session() as http:
        first = all_of(http.get(f"{BASE}/cookies/set?a=1&b=2"))
        return first, http.cookies.get_dict(), http.get(f"{BASE}/cookies").json()


@steps
def stream_content() -> Any:
    with get("/stream/5?delay=0.01", stream=True) as response:
        return head(response), list(response.iter_content(None))


@steps
def stream_pieces() -> Any:
    with get("/stream/5?delay=0.01", stream=True) as response:
        return list(response.iter_content(4)), response.raw.isclosed()


@steps
def stream_lines() -> Any:
    with get("/sse?count=3&delay=0.01", stream=True) as response:
        return list(response.iter_lines(decode_unicode=True))


@steps
def stream_lines_by_byte() -> Any:
    with get("/text", stream=True) as response:
        return list(response.iter_lines(chunk_size=1))


@steps
def stream_raw() -> Any:
    with get("/gzip", stream=True) as response:
        return response.raw.read(10), response.raw.read(), response.raw.read()


@steps
def stream_raw_decoded() -> Any:
    with get("/gzip", stream=True) as response:
        return response.raw.read(10, decode_content=True), response.raw.read(decode_content=True)


@steps
def stream_raw_to_file() -> Any:
    import shutil

    with get("/bytes/50000", stream=True) as response:
        target = io.BytesIO()
        shutil.copyfileobj(response.raw, target)
        return len(target.getvalue()), target.getvalue()[-10:]


@steps
def stream_partly() -> Any:
    with get("/bytes/3000000", stream=True) as response:
        return response.raw.read(100), len(next(response.iter_content(1000)))


@steps
def stream_chunks_partly() -> Any:
    with get("/stream/50?delay=0.005", stream=True) as response:
        chunks = response.iter_content(None)
        return next(chunks), next(chunks)


@steps
def stream_unread() -> Any:
    response = get("/json", stream=True)
    response.close()
    return head(response), raised(lambda: response.raw.read())


@steps
def stream_big() -> Any:
    import hashlib

    digest = hashlib.sha256()
    with get("/big/2", stream=True) as response:
        for piece in response.iter_content(65536):
            digest.update(piece)
    return digest.hexdigest()


@steps
def stream_gzip_content() -> Any:
    with get("/gzip", stream=True) as response:
        return list(response.iter_content(200))


@steps
def refused() -> Any:
    with session() as http:
        return raised(lambda: http.get(f"{REFUSED}/x"))


@steps
def no_such_scheme() -> Any:
    return raised(lambda: requests.get("gopher://127.0.0.1/x", timeout=1))


@steps
def read_timeout() -> Any:
    return raised(lambda: get("/slow/2", timeout=(5, 0.1)))


@steps
def read_timeout_in_body() -> Any:
    return raised(lambda: get("/slow-body/2", timeout=(5, 0.15)))


@steps
def read_timeout_in_streamed_body() -> Any:
    with get("/slow-body/2", timeout=(5, 0.15), stream=True) as response:
        return raised(lambda: list(response.iter_content(10)))


@steps
def forbidding_proxy() -> Any:
    with session() as http:
        http.proxies = {"http": PROXY, "https": PROXY}
        return all_of(http.get(f"{BASE}/json")), raised(lambda: http.get("https://127.0.0.1:9/json"))


@steps
def refused_proxy() -> Any:
    with session() as http:
        http.proxies = {"http": REFUSED}
        return raised(lambda: http.get(f"{BASE}/json"))


@steps
def tls_error() -> Any:
    with session() as http:
        return raised(lambda: http.get(f"{address('https')}/json"))


@steps
def tls_verified() -> Any:
    with session() as http:
        return all_of(http.get(f"{address('https')}/json", verify=address("ca")))


@steps
def no_such_host() -> Any:
    with session() as http:
        return raised(lambda: http.get("http://nowhere.invalid/x"))


@steps
def tls_handshake_timeout() -> Any:
    with session() as http:
        return raised(lambda: http.get(f"{BASE.replace('http', 'https')}/json", timeout=0.3))


@steps
def post_json() -> Any:
    with session() as http:
        return _echoed(http.post(f"{BASE}/echo", json={"b": [1, 2], "a": "ü"}))


@steps
def post_form() -> Any:
    with session() as http:
        return _echoed(http.post(f"{BASE}/echo", data={"a": "1", "b": ["2", "3"]}))


@steps
def post_text() -> Any:
    with session() as http:
        return _echoed(http.put(f"{BASE}/echo", data="text"))


@steps
def post_multipart() -> Any:
    with session() as http:
        files = {"file": ("name.txt", io.BytesIO(b"content of the file"), "text/plain")}
        first = http.post(f"{BASE}/upload", data={"a": "1"}, files=files)
        second = http.post(f"{BASE}/upload", data={"a": "2"}, files={"file": ("name.txt", b"content of the file")})
        return first.json()["size"], second.json()["size"]


@steps
def post_generator() -> Any:
    seen = []

    def body() -> Iterator[bytes]:
        for index in range(4):
            seen.append(index)
            yield b"part %d," % index

    with session() as http:
        return http.post(f"{BASE}/upload", data=body()).json(), seen


@steps
def post_file() -> Any:
    with TemporaryDirectory() as folder, session() as http:
        path = Path(folder) / "file"
        path.write_bytes(b"x" * 200_000)
        with path.open("rb") as file:
            answer = http.post(f"{BASE}/upload", data=file)
            return answer.json(), answer.request.body is file, file.tell()


@steps
def post_generator_that_calls() -> Any:
    with session() as http:

        def body() -> Iterator[bytes]:
            yield get("/json").content
            yield b"and more"

        return http.post(f"{BASE}/upload", data=body()).json()


@steps
def post_generator_that_fails() -> Any:
    def body() -> Iterator[bytes]:
        yield b"some"
        raise ValueError("no more")

    with session() as http:
        return raised(lambda: http.post(f"{BASE}/upload", data=body()))


@steps
def hooks() -> Any:
    seen: list[Any] = []

    def note(response: requests.Response, *args: Any, **options: Any) -> requests.Response:
        seen.append((response.status_code, response.text, response.elapsed.total_seconds() >= 0, sorted(options)))
        return response

    get("/redirect/1", hooks={"response": note})
    return [(status, len(text) > 0, elapsed, options) for status, text, elapsed, options in seen]


@steps
def raise_for_status() -> Any:
    try:
        get("/status/500").raise_for_status()
    except requests.HTTPError as error:
        return error, error.response.status_code, error.request.url


@steps
def ranges() -> Any:
    answers = [get("/range", headers={"Range": asked}) for asked in ("bytes=0-99", "bytes=100-199", "bytes=99999-")]
    return [(each.status_code, each.headers.get("content-range"), each.content[:8]) for each in answers]


@steps
def retried() -> Any:
    with session(max_retries=Retry(3, status_forcelist=[503], backoff_factor=0)) as http:
        response = http.get(f"{BASE}/flaky/2?key=requests")
        history = [tuple(each) for each in response.raw.retries.history]
        return response.json(), history, response.raw.retries.total


@steps
def retried_reset() -> Any:
    with session(max_retries=Retry(3, backoff_factor=0)) as http:
        response = http.get(f"{BASE}/flaky/1?key=requests-reset&how=reset")
        return response.json(), [tuple(each) for each in response.raw.retries.history]


@steps
def retries_used_up() -> Any:
    with session(max_retries=Retry(1, status_forcelist=[503], backoff_factor=0)) as http:
        return raised(lambda: http.get(f"{BASE}/flaky/5?key=requests-used-up"))


@steps
def identical_calls() -> Any:
    with session() as http:
        return [http.get(f"{BASE}/counter/requests").json() for _ in range(3)]


@steps
def threads() -> Any:
    with ThreadPoolExecutor(3) as pool:
        # The context goes along, as OTel's ThreadingInstrumentor would have it.
        asked = [pool.submit(copy_context().run, get, "/json") for _ in range(6)]
        return [each.result().json() for each in asked]


@steps
def prepared_twice() -> Any:
    with session() as http:
        prepared = http.prepare_request(requests.Request("POST", f"{BASE}/echo", data=b"abc"))
        return [http.send(prepared).json()["body"] for _ in range(2)], prepared.body


@steps
def prepared_file_after_refusal() -> Any:
    with session() as http:
        file = io.BytesIO(b"abc")
        prepared = http.prepare_request(requests.Request("POST", f"{REFUSED}/echo", data=file))
        return raised(lambda: http.send(prepared)), prepared.body is file


def _echoed(response: requests.Response) -> Any:
    """What the upstream got, without what no two runs share."""
    got = response.json()
    return {**got, "headers": [each for each in got["headers"] if each[0].lower() not in ("traceparent", "tracestate")]}
