"""What an HTTP request asks, canonical, whichever client sends it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from timetracer.plugin import Request, Upload, Value, Volatile

DECISIVE = frozenset({"range", "content-type", "x-amz-target", "soapaction"})
"""Headers that decide the answer: two requests that differ in one of these ask for different things."""

_DECISIVE_RAW = DECISIVE | {name.encode() for name in DECISIVE}
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]*)"|([^\s;]+))', re.IGNORECASE)
_USERINFO = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*://)[^/?#@]*@")


def http_request(method: str, url: str, headers: RawHeaders, body: bytes | Upload | None) -> Request:
    """Describes a request by what is compared.

    Args:
        url: as the app gave it; what is not sent of it (fragment, user and password) is left out.
        headers: as sent. They are shown, and only the decisive ones are compared. The boundary of a multipart body is
            drawn anew in each run, so it is volatile, in the body as well.
    """
    fields: dict[str, Value] = {}
    for name, value in headers.decisive():
        key = name.lower()
        if key == "content-type" and (found := _BOUNDARY.search(value)):
            fields["boundary"] = Volatile(found[1] or found[2], "boundary")
            value = value[: found.start()] + value[found.end() :]
        fields[key] = value
    return Request(
        type="http.client",
        method=method,
        target=sent_url(url),
        fields=fields,
        headers=headers,
        body=body or None,
    )


class RawHeaders(msgspec.Struct, frozen=True, gc=False):
    """Headers as a client has them, text when they are read: on the writer's thread, not the caller's (4 us).

    Neither this nor a tuple of bytes is the garbage collector's to look at: each object that is, and is kept until the
    writer takes it, costs the host about 1 us in collections.

    Attributes:
        raw: names and values, of whatever mix of str, bytes and numbers the client was given.
    """

    raw: tuple[tuple[Any, Any], ...]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        texts = []
        for name, value in self.raw:  # without a function for each: 1 us a message less
            if name.__class__ is not str:
                name = name.decode("latin-1") if name.__class__ is bytes else str(name)
            if value.__class__ is not str:
                value = value.decode("latin-1") if value.__class__ is bytes else str(value)
            texts.append((name, value))
        return iter(texts)

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, pair: object) -> bool:
        return pair in list(self)

    def decisive(self) -> list[tuple[str, str]]:
        """Returns those that decide the answer."""
        return [(_text(name), _text(value)) for name, value in self.raw if name.lower() in _DECISIVE_RAW]


def sent_url(url: str) -> str:
    """Returns a URL without what is never sent of it."""
    if "#" in url:
        url = url[: url.index("#")]
    return _USERINFO.sub(r"\1", url) if "@" in url else url


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
