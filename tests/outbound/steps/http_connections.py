"""http.client's steps: everything an app does with a connection of its own, and what stands on one."""

from __future__ import annotations

import array
import contextlib
import hashlib
import http.client
import http.cookiejar
import io
import json
import logging
import logging.handlers
import ssl
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from tests.outbound.steps import Steps, address

steps = Steps()

BASE, SECURE, REFUSED, PROXY = address("http"), address("https"), address("refused"), address("proxy")
HOST = urlsplit(BASE).netloc


def connect(url: str = BASE, timeout: float = 5) -> http.client.HTTPConnection:
    """A connection that is yet to be opened."""
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)


def trusted(url: str = SECURE) -> http.client.HTTPSConnection:
    """A connection that trusts the upstream's certificate."""
    context = ssl.create_default_context(cafile=address("ca"))
    return http.client.HTTPSConnection(urlsplit(url).netloc, timeout=5, context=context)


def head(response: http.client.HTTPResponse) -> dict[str, Any]:
    """What an app can tell of a response without its body."""
    return {
        "status": (response.status, response.code, response.getcode()),
        "reason": response.reason,
        "version": response.version,
        "headers": response.getheaders(),
        "message": (type(response.msg).__name__, response.msg.items(), response.info() is response.headers),
        "length": (response.length, response.chunked, response.will_close),
        "closed": (response.isclosed(), response.closed),
        "debuglevel": response.debuglevel,
        "class": type(response).__name__,
    }


def all_of(response: http.client.HTTPResponse) -> dict[str, Any]:
    """What an app can tell of a response."""
    with response:
        before = head(response)
        return {**before, "body": response.read(), "after": head(response)}


def asked(connection: http.client.HTTPConnection, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
    """A whole exchange, and in what state it leaves the connection."""
    connection.request(method, url, *args, **kwargs)
    seen = all_of(connection.getresponse())
    return seen, connection.sock is None


def raised(call: Callable[[], Any]) -> Any:
    """The error of a call, with what it says of itself."""
    try:
        return call()
    except (OSError, http.client.HTTPException, ValueError, TypeError, AttributeError) as error:
        return [error, repr(error), {key: value for key, value in vars(error).items() if key != "object"}]


def echoed(response: http.client.HTTPResponse) -> Any:
    """What the upstream got."""
    got = json.loads(response.read())
    return {**got, "headers": [each for each in got["headers"] if each[0].lower() not in ("traceparent", "tracestate")]}


def _get(path: str) -> Callable[[], Any]:
    def step() -> Any:
        connection = connect()
        first = raised(lambda: asked(connection, "GET", path))
        return first, connection.sock is None, raised(lambda: connection.request("GET", "/json"))

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
    "/1xx/103",
    "/trailers",
    "/gzip",
    "/br",
    "/status/418",
    "/status/599",
    "/redirect/1",
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
    "/slow-body/0",
    "/garbage",
    "/other-protocol",
    "/long-header",
    "/many-headers",
    "/odd-head",
):
    steps(_get(_path))


# -- one connection ----------------------------------------------------------------------------------------------------


@steps
def keep_alive() -> Any:
    connection = connect()
    seen = [asked(connection, "GET", f"/{each}") for each in ("json", "text", "stream/2", "empty", "bytes/10")]
    sock = connection.sock
    seen.append(asked(connection, "HEAD", "/json"))
    return seen, connection.sock is sock


@steps
def methods() -> Any:
    connection = connect()
    return [asked(connection, method, "/json") for method in ("HEAD", "OPTIONS", "DELETE", "PATCH", "PUT", "TRACE")]


@steps
def options_of_the_server() -> Any:
    return raised(lambda: asked(connect(), "OPTIONS", "*"))


@steps
def closed_and_used_again() -> Any:
    connection = connect()
    seen = [asked(connection, "GET", "/counter/closed-and-used-again")[0]["status"]]
    connection.close()
    connection.close()
    return seen, connection.sock, asked(connection, "GET", "/json"), asked(connection, "GET", "/http10")


@steps
def connected_first() -> Any:
    connection = connect()
    connection.connect()
    peer = connection.sock.getpeername()
    connection.sock.settimeout(3)
    return peer == (connection.host, connection.port), asked(connection, "GET", "/json")


@steps
def not_opened_by_itself() -> Any:
    connection = connect()
    connection.auto_open = 0
    seen = [raised(lambda: connection.request("GET", "/json"))]
    connection.close()
    connection.connect()
    return seen, asked(connection, "GET", "/json")


@steps
def identical_calls() -> Any:
    one, two = connect(), connect()
    return [asked(each, "GET", "/counter/identical")[0]["body"] for each in (one, two, one, one, two)]


@steps
def two_connections_at_once() -> Any:
    one, two = connect(), connect()
    one.request("GET", "/counter/at-once")
    two.request("GET", "/text")
    return all_of(two.getresponse()), all_of(one.getresponse())


@steps
def asked_again_before_the_answer_is_read() -> Any:
    connection = connect()
    connection.request("GET", "/text")
    first = connection.getresponse()
    connection.request("GET", "/json")
    early = raised(connection.getresponse)
    return head(first), early, first.read(), all_of(connection.getresponse())


@steps
def wrong_order() -> Any:
    connection = connect()
    seen = [raised(connection.getresponse), raised(connection.endheaders), raised(lambda: connection.putheader("a"))]
    connection.request("GET", "/json")
    seen += [raised(lambda: connection.request("GET", "/text")), raised(connection.endheaders)]
    seen += [all_of(connection.getresponse()), raised(connection.getresponse)]
    return seen, asked(connection, "GET", "/text")


@steps
def wrong_requests() -> Any:
    connection = connect()
    seen = []
    for method, url, headers in (("GET", "/a b", {}), ("G\nT", "/", {}), ("GET", "/", {"a": "b\nc"})):
        seen.append(raised(lambda m=method, u=url, h=headers: connection.request(m, u, headers=h)))  # type: ignore[misc]
        connection.close()
    seen.append(raised(lambda: http.client.HTTPConnection("127.0.0.1:nine")))
    return seen


@steps
def an_answer_left_unread() -> Any:
    connection = connect()
    connection.request("GET", "/json")
    response = connection.getresponse()
    response.close()
    return head(response), response.read(), response.fp


@steps
def an_answer_never_asked_for() -> Any:
    connection = connect()
    connection.request("GET", "/json")
    connection.close()
    return asked(connection, "GET", "/text")


@steps
def threads() -> Any:
    with ThreadPoolExecutor(3) as pool:
        # The context goes along, as OTel's ThreadingInstrumentor would have it.
        calls = [pool.submit(copy_context().run, asked, connect(), "GET", f"/bytes/{each}") for each in range(6)]
        return [each.result()[0]["body"] for each in calls]


@steps
def debuglevel() -> Any:
    connection, said = connect(), io.StringIO()
    connection.set_debuglevel(1)
    with contextlib.redirect_stdout(said):
        seen = asked(connection, "POST", "/echo", b"abc", {"X-Mine": "yes"})
    return seen[0]["status"], seen[0]["debuglevel"], said.getvalue().splitlines()[:4]


@steps
def response_class_of_its_own() -> Any:
    class Loud(http.client.HTTPResponse):
        def read(self, amt: int | None = None) -> bytes:
            return super().read(amt).upper()

    connection = connect()
    connection.response_class = Loud
    return asked(connection, "GET", "/json")


@steps
def connection_class_of_its_own() -> Any:
    class Own(http.client.HTTPConnection):
        def connect(self) -> None:  # takes no notice of its parent's
            import socket

            self.sock = socket.create_connection((self.host, self.port), 5)

    connection = Own(HOST)
    seen = [asked(connection, "GET", "/json"), asked(connection, "GET", "/http10"), asked(connection, "GET", "/text")]
    return seen, raised(lambda: asked(Own(urlsplit(REFUSED).netloc), "GET", "/json"))


@steps
def http10_requests() -> Any:
    class Old(http.client.HTTPConnection):
        _http_vsn, _http_vsn_str = 10, "HTTP/1.0"

    return asked(Old(HOST), "GET", "/json"), asked(Old(HOST), "GET", "/http10")


# -- reading -----------------------------------------------------------------------------------------------------------


def opened(path: str) -> http.client.HTTPResponse:
    connection = connect()
    connection.request("GET", path)
    return connection.getresponse()


@steps
def headers_of_a_response() -> Any:
    response = opened("/duplicate-headers")
    names = ("x-multi", "X-OTHER", "set-cookie", "absent")
    return (
        [response.getheader(name) for name in names],
        response.getheader("absent", "none"),
        response.getheader("absent", ["a", "b"]),
        response.headers.get_all("X-Multi"),
        "x-other" in response.headers,
        response.headers.as_string(),
    )


@steps
def lines() -> Any:
    return list(opened("/text")), [opened("/text").readline(4), opened("/text").readlines()]


@steps
def streamed_lines() -> Any:
    response = opened("/sse?count=3&delay=0.01")
    return [response.readline() for _ in range(5)], response.read()


@steps
def pieces() -> Any:
    response = opened("/stream/5?delay=0.01")
    return response.read(3), response.read1(100), response.peek(4)[:4], response.read(10), response.read()


@steps
def pieces_of_a_known_length() -> Any:
    response = opened("/bytes/1000")
    seen = [response.read(0), response.read(10), response.length, response.read1(5), response.length]
    return seen, response.peek()[:3], response.readline(3), len(response.read()), response.read(), response.read(5)


@steps
def into_a_buffer() -> Any:
    buffer, response, chunked = bytearray(50), opened("/bytes/120"), opened("/stream/3")
    seen = [(response.readinto(buffer), bytes(buffer)) for _ in range(4)]
    return seen, [(chunked.readinto(buffer), bytes(buffer)) for _ in range(3)]


@steps
def partly() -> Any:
    response = opened("/bytes/3000000")
    return response.read(100), response.length, response.isclosed()


@steps
def through_its_file() -> Any:
    response = opened("/bytes/100")
    return response.fp.read(10), response.readable(), response.flush(), response.geturl(), response.begin()


@steps
def truncated_in_pieces() -> Any:
    def read(path: str) -> Any:
        response = opened(path)
        return [raised(lambda: response.read(50)) for _ in range(4)], response.length

    return read("/truncated"), read("/truncated-chunked")


@steps
def big() -> Any:
    digest, response = hashlib.sha256(), opened("/big/3?chunked=1")
    while data := response.read(65536):
        digest.update(data)
    return digest.hexdigest(), response.isclosed()


# -- sending -----------------------------------------------------------------------------------------------------------


def sent(body: Any, headers: dict[str, str] | None = None, method: str = "POST", **kwargs: Any) -> Any:
    """What the upstream got of a body."""
    connection = connect()
    connection.request(method, "/echo", body, headers or {}, **kwargs)
    return echoed(connection.getresponse())


@steps
def bodies() -> Any:
    buffers: list[Any] = [bytearray(b"array"), memoryview(b"view"), array.array("B", b"bytes")]
    return [sent(each) for each in (b"bytes", "text, n\xe4mlich", b"", None, *buffers)]


@steps
def files() -> Any:
    file = io.BytesIO(b"f" * 200_000)
    return (
        sent(file)["sha256"],
        file.tell(),
        sent(io.BytesIO(b"known"), {"Content-Length": "5"}),
        sent(io.StringIO("n\xe4")),
    )


@steps
def iterables() -> Any:
    listed = [b"one", b"", b"two"]
    made = (b"part %d," % index for index in range(4))
    return sent(listed), sent(made), sent((b"ab", b"cd"), {"Content-Length": "4"}), sent(iter([]))


@steps
def chunks_of_its_own() -> Any:
    framed = [b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"]
    own = sent(framed, {"Transfer-Encoding": "chunked"})
    return own, sent(iter([b"abc", b"de"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)


@steps
def a_generator_that_calls() -> Any:
    def body() -> Iterator[bytes]:
        connection = connect()
        connection.request("GET", "/json")
        yield connection.getresponse().read()
        yield b"and more"

    return sent(body())


@steps
def a_generator_that_fails() -> Any:
    def body() -> Iterator[bytes]:
        yield b"something"
        raise ValueError("no more")

    connection = connect()
    seen = raised(lambda: connection.request("POST", "/echo", body()))
    connection.close()
    return seen, asked(connection, "GET", "/json")


@steps
def bodies_that_are_none() -> Any:
    connection = connect()
    return [raised(lambda b=body: connection.request("POST", "/echo", b)) for body in (5,)]  # type: ignore[misc]


def by_hand(*pieces: Any, headers: Iterable[tuple[str, Any]] = (), method: str = "POST") -> Any:
    """Sends head and body by separate calls."""
    connection = connect()
    connection.putrequest(method, "/echo", skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    for piece in pieces:
        connection.send(piece)
    return echoed(connection.getresponse())


@steps
def by_hand_without_a_body() -> Any:
    return by_hand(method="GET", headers=[("X-Number", 5), ("X-Bytes", b"b")])


@steps
def by_hand_in_pieces() -> Any:
    return by_hand(b"one ", memoryview(b"two "), b"three", headers=[("Content-Length", 13)])


@steps
def by_hand_in_chunks() -> Any:
    return by_hand(b"3\r\none\r\n", b"4\r\n two", b"\r\n0\r\n\r\n", headers=[("Transfer-Encoding", "chunked")])


@steps
def by_hand_from_files() -> Any:
    length = [("Content-Length", 11)]
    return by_hand(io.BytesIO(b"fish "), io.StringIO("p\xe4ste"), b".", headers=length), by_hand(
        [b"eleven", b" here"], headers=length
    )


@steps
def by_hand_with_a_last_piece() -> Any:
    connection = connect()
    connection.putrequest("POST", "/echo")
    connection.putheader("Content-Length", "3")
    connection.endheaders(b"abc")
    return echoed(connection.getresponse())


@steps
def by_hand_twice() -> Any:
    connection = connect()
    seen = []
    for body in (b"first", b"second"):
        connection.putrequest("PUT", "/echo")
        connection.putheader("Content-Length", len(body))
        connection.endheaders()
        connection.send(body)
        seen.append(echoed(connection.getresponse()))
    return seen, asked(connection, "GET", "/json")


@steps
def header_lines() -> Any:
    connection = connect()
    connection.putrequest("GET", "/text", skip_host=True)
    connection.putheader("Host", HOST)
    connection.putheader("X-Many", "one", "two")
    connection.endheaders()
    return all_of(connection.getresponse())


@steps
def ranges() -> Any:
    return [asked(connect(), "GET", "/range", headers={"Range": f"bytes={each}"}) for each in ("0-99", "100-199")]


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@steps
def refused() -> Any:
    connection = connect(REFUSED)
    seen = [raised(lambda: connection.request("GET", "/x")), raised(lambda: connection.request("GET", "/x"))]
    connection.close()
    return seen, raised(lambda: connection.request("POST", "/x", iter([b"never read"])))


@steps
def refused_while_connecting() -> Any:
    connection = connect(REFUSED)
    return raised(connection.connect), connection.sock, raised(connection.connect)


@steps
def refused_by_hand() -> Any:
    connection = connect(REFUSED)
    connection.putrequest("POST", "/x")
    connection.putheader("Content-Length", "3")
    return raised(connection.endheaders)


@steps
def no_such_host() -> Any:
    return raised(lambda: http.client.HTTPConnection("nowhere.invalid").request("GET", "/x"))


@steps
def read_timeout() -> Any:
    def body() -> Any:
        connection = connect(timeout=0.15)
        connection.request("GET", "/slow-body/2")
        return raised(connection.getresponse().read)

    connection = connect(timeout=0.1)
    connection.request("GET", "/slow/2")
    return (
        raised(connection.getresponse),
        connection.sock is None,
        raised(lambda: connection.request("GET", "/")),
        body(),
    )


@steps
def tried_again() -> Any:
    seen = []
    connection = connect()
    for _ in range(3):
        try:
            seen.append(asked(connection, "GET", "/flaky/2?key=http.client&how=reset"))
        except http.client.RemoteDisconnected as error:
            seen.append(error)
    return seen


@steps
def tls() -> Any:
    connection = trusted()
    strict = http.client.HTTPSConnection(urlsplit(SECURE).netloc, timeout=5)
    return [asked(connection, "GET", "/json") for _ in range(2)], raised(lambda: strict.request("GET", "/json"))


@steps
def tls_connected_first() -> Any:
    connection = trusted()
    connection.connect()
    strict = http.client.HTTPSConnection(urlsplit(SECURE).netloc, timeout=5)
    return asked(connection, "POST", "/echo", b"secret")[0]["status"], raised(strict.connect)


@steps
def tls_handshake_timeout() -> Any:
    return raised(lambda: http.client.HTTPSConnection(HOST, timeout=0.3).request("GET", "/"))


@steps
def forbidding_proxy() -> Any:
    connection = connect(PROXY)
    return asked(connection, "GET", f"{BASE}/json#part"), asked(connection, "GET", f"{BASE}/json")


@steps
def tunnel() -> Any:
    connection = connect()
    connection.set_tunnel(HOST, headers={"Proxy-Authorization": "Basic dXNlcjpwYXNzd2Q="})
    seen = [asked(connection, "GET", "/json"), asked(connection, "GET", "/text")]
    said = getattr(connection, "get_proxy_response_headers", lambda: None)()
    return seen, said and said.items(), raised(lambda: connection.set_tunnel("elsewhere"))


@steps
def tls_tunnel() -> Any:
    connection = trusted(BASE)
    host, port = urlsplit(SECURE).hostname, urlsplit(SECURE).port
    connection.set_tunnel(str(host), port)
    return asked(connection, "GET", "/json")


@steps
def tunnel_refused_by_proxy() -> Any:
    connection = connect(PROXY)
    connection.set_tunnel("127.0.0.1:9")
    return raised(lambda: connection.request("GET", "/json")), raised(connection.connect)


# -- what stands on it -------------------------------------------------------------------------------------------------


@steps
def xml_rpc() -> Any:
    with xmlrpc.client.ServerProxy(f"{BASE}/xmlrpc") as server:
        seen = [server.seven("a", 1), server.seven("a", 2)]
        try:
            server.eight()
        except xmlrpc.client.Fault as fault:
            seen.append([fault.faultCode, fault.faultString])
    return seen


@steps
def log_handler() -> Any:
    handler = logging.handlers.HTTPHandler(HOST, "/upload", method="POST")
    record = logging.LogRecord("steps", logging.WARNING, "steps.py", 1, "careful", (), None)
    record.created = record.msecs = record.relativeCreated = 0
    record.process = record.thread = 0
    logged = {"name": record.name, "msg": record.msg}
    handler.mapLogRecord = lambda record: logged  # type: ignore[method-assign]
    handler.emit(record)
    return logged


@steps
def cookies() -> Any:
    jar = http.cookiejar.CookieJar()
    using = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    with using.open(f"{BASE}/cookies/set?a=1&b=2") as response:
        return response.read(), [(each.name, each.value) for each in jar]


@steps
def beneath_other_clients() -> Any:
    with requests.Session() as session, urllib3.PoolManager() as pool:
        session.trust_env = False
        body = session.get(f"{BASE}/counter/beneath").json()
        return body, pool.request("GET", f"{BASE}/counter/beneath").data, asked(connect(), "GET", "/counter/beneath")
