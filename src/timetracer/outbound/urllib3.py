"""urllib3: one exchange is one `urlopen` of a pool, with the retries and redirects it follows by itself."""

from __future__ import annotations

from typing import Any, cast

import urllib3
from urllib3.util.retry import Retry

from timetracer.outbound.http_message import RawHeaders, http_request
from timetracer.outbound.urllib3_wire import body_of, give_live_parts, keep, rebuild
from timetracer.plugin import Call, Capture, Exchange, Patch, Plugin, Reply, Request

# In the order of the function's positional parameters, the same in 1.26 and 2.x.
# https://github.com/urllib3/urllib3/blob/2.5.0/src/urllib3/connectionpool.py (HTTPConnectionPool.urlopen)
PARAMETERS = (
    "method",
    "url",
    "body",
    "headers",
    "retries",
    "redirect",
    "assert_same_host",
    "timeout",
    "pool_timeout",
    "release_conn",
    "chunked",
    "body_pos",
    "preload_content",
    "decode_content",
)


def prepare(call: Call) -> Call:
    """Names every argument, so that a body can be replaced wherever it was given."""
    if not call.args:
        return call
    return Call(call.owner, (), {**dict(zip(PARAMETERS, call.args, strict=False)), **call.kwargs})


def describe(call: Call) -> Request:
    """Describes what the pool is asked for."""
    arguments = cast("dict[str, Any]", call.kwargs)

    def replace(body: Any) -> None:
        arguments["body"] = body

    headers = arguments.get("headers")
    given = RawHeaders(tuple((call.owner.headers if headers is None else headers).items()))
    body = body_of(arguments.get("body"), replace)
    return http_request(arguments["method"].upper(), _url(call.owner, arguments["url"]), given, body)


def _url(pool: Any, url: str) -> str:
    if not url.startswith("/"):
        return url
    host = f"[{pool.host}]" if ":" in pool.host and not pool.host.startswith("[") else pool.host
    port = "" if pool.port in (None, {"http": 80, "https": 443}.get(pool.scheme)) else f":{pool.port}"
    return f"{pool.scheme}://{host}{port}{url}"


def encode(call: Call, response: urllib3.HTTPResponse, capture: Capture) -> urllib3.HTTPResponse:
    """Keeps the head, and copies the body while the app reads it."""
    keep(response, capture, preloaded=call.kwargs.get("preload_content", True))
    return response


def decode(call: Call, reply: Reply) -> urllib3.HTTPResponse:
    """Builds the response anew over the recorded body."""
    arguments = call.kwargs
    retries = arguments.get("retries")
    if not isinstance(retries, Retry):
        redirect = arguments.get("redirect", True)
        retries = Retry.from_int(retries, redirect=redirect, default=call.owner.retries)
    return rebuild(reply, method=arguments["method"], retries=retries, pool=call.owner)


def decode_error(call: Call, error: Any) -> BaseException:
    """Gives the errors of a chain the pool they were raised in."""
    give_live_parts(error, call.owner)
    return error  # type: ignore[no-any-return]


PLUGIN = Plugin(
    name="urllib3",
    kind="http",
    library="urllib3>=1.26,<3",
    patches=(
        Patch(
            "urllib3.connectionpool:HTTPConnectionPool.urlopen",
            Exchange(describe=describe, encode=encode, decode=decode),
            prepare=prepare,
        ),
    ),
    owns=frozenset({"urllib3", "http_client"}),  # a retry is a call to itself
    decode_error=decode_error,
)
