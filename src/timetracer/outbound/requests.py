"""requests: one exchange is one `send` of an adapter, beneath redirects, authentication, cookies and hooks."""

from __future__ import annotations

import weakref
from typing import Any

import requests
import requests.adapters

from timetracer.outbound.http_message import RawHeaders, http_request
from timetracer.outbound.urllib3_wire import Body, body_of, give_live_parts, keep, rebuild
from timetracer.plugin import Call, Capture, Exchange, Patch, Plugin, Reply, Request


def describe(call: Call) -> Request:
    """Describes what the adapter is to send."""
    request: requests.PreparedRequest = call.arg(0, "request")

    def replace(body: Any) -> None:
        request.body = body

    return http_request(request.method or "", request.url or "", _headers(request), body_of(request.body, replace))


def _headers(request: requests.PreparedRequest) -> RawHeaders:
    # `items` asks for each header anew: 4 us.
    # https://github.com/psf/requests/blob/v2.32.5/src/requests/structures.py (CaseInsensitiveDict._store)
    stored = getattr(request.headers, "_store", None)  # an app may put another mapping there
    return RawHeaders(tuple(request.headers.items() if stored is None else stored.values()))


def encode(call: Call, response: requests.Response, capture: Capture) -> requests.Response:
    """Keeps the head, and copies the body while the app reads it."""
    _give_body_back(call)
    keep(response.raw, capture)
    return response


def decode(call: Call, reply: Reply) -> requests.Response:
    """Has the adapter build its response from urllib3's, made anew over the recorded body."""
    request: requests.PreparedRequest = call.arg(0, "request")
    adapter: requests.adapters.HTTPAdapter = call.owner
    raw = rebuild(reply, method=request.method or "", retries=adapter.max_retries, pool=_pool(call))
    return adapter.build_response(request, raw)


def encode_error(call: Call, error: BaseException) -> BaseException:
    """Gives the request its own body back: the app may send it again."""
    _give_body_back(call)
    return error


def decode_error(call: Call, error: Any) -> BaseException:
    """Gives an error its request, and the errors beneath it their pool."""
    request = call.arg(0, "request")
    give_live_parts(error, _pool(call))
    if isinstance(error, requests.RequestException) and error.request is not None:
        error.request = request
    return error  # type: ignore[no-any-return]


def _give_body_back(call: Call) -> None:
    request = call.arg(0, "request")
    if isinstance(request.body, Body):
        request.body = request.body.original


def _pool(call: Call) -> Any:
    """Returns the pool that the adapter would use, found once per server: urllib3 parses the URL for it in 30 us."""
    manager, url = call.owner.poolmanager, call.arg(0, "request").url
    known = _pools.setdefault(manager, {})
    server = url[: url.find("/", 8)] if url.startswith("http") else url
    if server not in known:
        known[server] = manager.connection_from_url(url)
    return known[server]


_pools: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()


PLUGIN = Plugin(
    name="requests",
    kind="http",
    library="requests>=2.28,<3",
    patches=(Patch("requests.adapters:HTTPAdapter.send", Exchange(describe=describe, encode=encode, decode=decode)),),
    owns=frozenset({"urllib3", "http_client"}),
    encode_error=encode_error,
    decode_error=decode_error,
)
