"""http.client: a request is sent and its answer taken on one connection; `urllib.request` and all that stands on it.

The seam is the connection. The library's own code runs in replay, its state machine and its parser among it, against a
peer in the socket's place. So does what lies above: redirects, authentication and cookies of `urllib.request`,
`xmlrpc.client`, `logging.handlers.HTTPHandler`. Libraries that capture their own calls own this layer (urllib3).

Every private name of `http.client` that this file leans on, read in 3.11 to 3.13:
  _buffer: request line and headers, one an element, until they are sent
    https://github.com/python/cpython/blob/3.13/Lib/http/client.py (HTTPConnection._output, _send_output)
  _tunnel_host, _tunnel_port, _raw_proxy_headers (since 3.12)
    https://github.com/python/cpython/blob/3.13/Lib/http/client.py (HTTPConnection.set_tunnel, _tunnel)
"""

from __future__ import annotations

import http.client
import io
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, cast

from timetracer.errors import UnsupportedError
from timetracer.outbound.http_message import RawHeaders, http_request
from timetracer.outbound.http_wire import Unchunker, answer_file, copy_body, error_file
from timetracer.plugin import Call, Capture, Close, Open, Patch, Plugin, Receive, Reply, Request, Send, Upload, Value

_PIECES = "_timetracer_pieces"

# ------------------------------------------------------------------------------------------------------- what is asked


def named(call: Call) -> Call:
    """Names the body, so that it can be replaced; what was left of an earlier request is forgotten."""
    vars(call.owner).pop(_PIECES, None)
    return Call(call.owner, (), {"message_body": call.args[0], **call.kwargs}) if call.args else call


def describe(call: Call) -> Request | None:
    """Describes what the connection is about to send; None where no request was begun, which `http.client` refuses."""
    lines: list[bytes] = call.owner._buffer
    if not lines:
        return None
    method, _, rest = lines[0].decode("latin-1").partition(" ")
    headers = RawHeaders(tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines[1:])))
    return http_request(method, _url(call.owner, rest.rpartition(" ")[0]), headers, _body(call, headers))


def server(call: Call) -> Request:
    """Names the server of a connection about to be made."""
    made = call.owner
    fields = {"proxy": f"{made.host}:{made.port}"} if made._tunnel_host else {}
    return Request(type="http.client", method="CONNECT", target=_origin(made), fields=fields)


def _url(made: Any, target: str) -> str:
    if "://" in target:
        return target  # asked of a proxy
    return _origin(made) + ("" if target.startswith("/") else "/") + target


def _origin(made: Any) -> str:
    host, port = (made._tunnel_host, made._tunnel_port) if made._tunnel_host else (made.host, made.port)
    if ":" in host:
        host = f"[{host}]"
    scheme = "https" if made.default_port == http.client.HTTPS_PORT else "http"
    return f"{scheme}://{host}" + ("" if port == made.default_port else f":{port}")


def _body(call: Call, headers: RawHeaders) -> bytes | Upload | None:
    arguments = cast("dict[str, Any]", call.kwargs)
    body = arguments.get("message_body")

    def replace(stream: Any) -> None:
        arguments["message_body"] = stream

    if body is None:
        return _announced(call.owner, headers)
    if hasattr(body, "read"):  # before bytes, as there: an mmap is read from where it stands
        file: Any = _Encoded(body) if isinstance(body, io.TextIOBase) else body
        return Upload(file, replace)
    whole = _bytes_of(body)
    if whole is None and isinstance(body, Iterable) and not isinstance(body, str):
        return Upload(body, replace)
    return whole


def _bytes_of(data: Any) -> bytes | None:
    """Returns data that is all there, or None."""
    try:
        return data if isinstance(data, bytes) else bytes(memoryview(data))
    except TypeError:
        return None


class _Encoded:
    """A text file as `http.client` sends it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size).encode("iso-8859-1")  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------ a body sent piece by piece


class Pieces:
    """A body that is sent after its head by calls of its own: a file of what came since it was last read.

    Args:
        length: how long it will be; None: it is chunked, and taken out of its chunks.
    """

    def __init__(self, length: int | None) -> None:
        self._left, self._chunks = length, Unchunker() if length is None else None
        self._waiting: list[bytes] = []
        self._head_sent = False
        self.copy: Any = None

    def read(self, size: int = -1) -> bytes:
        """Returns what came; nothing at its end."""
        came, self._waiting = b"".join(self._waiting), []
        return came

    def sent(self, data: bytes) -> None:
        """Takes what the connection sends: the head, then the body."""
        if not data or not self._head_sent:
            self._head_sent = True
            return
        if self._chunks is not None:
            self._chunks.take(data, self._waiting.append)
            ended = self._chunks.done
        else:
            self._left = (self._left or 0) - len(data)
            self._waiting.append(data)
            ended = self._left <= 0
        if self.copy is not None:
            if self._waiting:
                self.copy.read()
            if ended:
                self.copy.read()


def _announced(made: Any, headers: RawHeaders) -> Upload | None:
    """Returns the body that the headers announce and that did not come with them."""
    said = {name.lower(): value for name, value in headers}
    length = said.get("content-length", "")
    if said.get("transfer-encoding", "").lower() == "chunked":
        pieces = Pieces(None)
    elif length.isdecimal() and int(length):
        pieces = Pieces(int(length))
    else:
        return None
    setattr(made, _PIECES, pieces)

    def replace(stream: Any) -> None:
        pieces.copy = stream

    return Upload(cast("Iterable[bytes]", pieces), replace, late=True)


def watched(call: Call) -> Call:
    """Shows what is sent to a body that is waited for; hardly ever there is one."""
    pieces: Pieces | None = vars(call.owner).get(_PIECES)
    if pieces is None:
        return call
    data = call.arg(0, "data")
    whole = _bytes_of(data)
    if whole is not None:
        pieces.sent(whole)
        return call
    if hasattr(data, "read"):
        return Call(call.owner, (_Watched(_Encoded(data) if isinstance(data, io.TextIOBase) else data, pieces),), {})
    return Call(call.owner, (_each(data, pieces),), {}) if isinstance(data, Iterable) else call


class _Watched:
    """A file that shows what is read of it."""

    def __init__(self, file: Any, pieces: Pieces) -> None:
        self._file, self._pieces = file, pieces

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._pieces.sent(bytes(data))
        return data


def _each(data: Iterable[bytes], pieces: Pieces) -> Iterator[bytes]:
    for piece in data:
        pieces.sent(_bytes_of(piece) or b"")
        yield piece


# ---------------------------------------------------------------------------------------------------- what is answered


def keep(call: Call, response: http.client.HTTPResponse, capture: Capture) -> http.client.HTTPResponse:
    """Keeps the head, and copies the body while the app reads it."""
    headers: Any = response.headers
    value = {"reason": response.reason, "version": response.version}
    capture.reply(value, status=response.status, headers=list(headers.items()))
    copy_body(response, capture.body())
    return response


def not_asked(answer: object) -> bool:
    """Whether `getresponse` was called when it may not be: no answer, and the next call may get one."""
    return isinstance(answer, http.client.ImproperConnectionState)


class Peer:
    """Stands where the socket stood: takes all that is sent, and gives the recorded answers, one to each response."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._files: deque[Any] = deque()

    def give(self, file: Any) -> None:
        """Takes the next answer."""
        self._files.append(file)

    def makefile(self, mode: str, *args: Any, **kwargs: Any) -> Any:
        """Returns what the next response is read from."""
        if self._files:
            return self._files.popleft()
        return error_file(UnsupportedError("http.client: another answer is asked for than those that were recorded"))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Drops what is sent. Only bytes are sent: of anything else `http.client` sends the parts."""
        try:
            memoryview(data)
        except TypeError:
            raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None

    def getpeername(self) -> tuple[str, int]:
        """Returns where the connection was made to."""
        return self._address

    def fileno(self) -> int:
        """Returns what a closed socket returns."""
        return -1

    def __getattr__(self, name: str) -> Any:
        if name in ("close", "shutdown", "settimeout", "setblocking", "setsockopt"):
            return _nothing
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(f"http.client: the socket of a connection has no `{name}` in replay")


def _nothing(*args: Any) -> None:
    return None


def _peer(made: Any) -> Peer:
    if not isinstance(made.sock, Peer):
        made.sock = Peer(made.host, made.port)
    return cast(Peer, made.sock)


def answer(call: Call, reply: Reply | BaseException | None) -> None:
    """Puts a peer in the socket's place, and gives it what `http.client` is to read."""
    peer = _peer(call.owner)
    if isinstance(reply, BaseException):
        peer.give(error_file(reply))
    elif reply is not None:
        peer.give(answer_file(reply, reason=reply.value["reason"], version=reply.value["version"]))


# --------------------------------------------------------------------------------------------------------- connections


def connection(call: Call) -> object:
    """The link: the connection itself."""
    return call.owner


def connect(call: Call, real: Any, known: Value) -> None:
    """Makes a connection to nobody."""
    call.owner.sock = Peer(call.owner.host, call.owner.port)
    if known is not None:
        call.owner._raw_proxy_headers = known


def proxy_headers(call: Call, result: Any) -> Value:
    """Returns what a proxy said when it opened a tunnel."""
    return getattr(call.owner, "_raw_proxy_headers", None)


def leave(made: Any) -> None:
    """Ends what the connection stands on, and not the request that is being made on it: `close` would."""
    sock, made.sock = made.sock, None
    if sock is not None:
        sock.close()


OPEN = Open(
    stand_in=connect, describe=server, encode=proxy_headers, link=connection, leave=leave, holds=False
)  # fmt: skip
PLUGIN = Plugin(
    name="http_client",
    kind="http",
    library="python>=3.11",
    patches=(
        Patch("http.client:HTTPConnection.connect", OPEN),
        Patch("http.client:HTTPSConnection.connect", OPEN),
        Patch(
            "http.client:HTTPConnection.endheaders",
            Send(link=connection, describe=describe, answer=answer),
            prepare=named,
        ),
        Patch("http.client:HTTPConnection.send", prepare=watched),
        Patch(
            "http.client:HTTPConnection.getresponse",
            Receive(link=connection, keep=keep, decode=None, idle=not_asked),
        ),
        Patch("http.client:HTTPConnection.close", Close(link=connection)),
    ),
)
