"""A plain WSGI application: no framework; answers returned, generated, written and wrapped."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

from upstream import CHUNKS, CONFIG, SETUP, ask, digest


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/").split("/")[0]
    headers = [("Content-Type", "application/json"), ("X-A", "1"), ("X-A", "2")]
    if name == "health":
        start_response("200 OK", headers)
        return [b'"up"']
    if name in ("stream", "events"):
        return _late(name, start_response, headers)
    if name == "endless":
        start_response("200 OK", headers)
        return _endless()
    if name == "fail":
        raise ValueError(f"no such thing: {ask(name)}")
    if name == "written":
        write = start_response("202 Written", headers)
        for n in range(CHUNKS):
            write(f"{n} {ask(name)}\n".encode())
        return [b"the end"]
    if name == "file":
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](io.BytesIO(bytes(range(256)) * 1000), 4096)
    if name == "lines":
        lines = [environ["wsgi.input"].readline(), *environ["wsgi.input"].readlines()]
        start_response("200 OK", headers)
        return [json.dumps([len(lines), digest(b"".join(lines)), ask(name)]).encode()]
    data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = json.dumps({"digest": digest(data), "upstream": ask(name)}).encode()
    start_response("200 OK", headers)
    return _Closing([answer], name) if name == "background" else [answer]


def _late(name: str, start_response: Any, headers: list[tuple[str, str]]) -> Iterator[bytes]:
    start_response("200 OK", headers)
    for n in range(CHUNKS):
        yield f"data: {n} {ask(name)}\n\n".encode()


def _endless() -> Iterator[bytes]:
    yield f"{ask('endless')}\n".encode()
    while True:
        yield b"more\n"
        time.sleep(0.02)


class _Closing:
    """An answer with work to do when it is closed."""

    def __init__(self, chunks: list[bytes], name: str) -> None:
        self._chunks, self._name = chunks, name

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        ask("background later")


app: Any = application
if SETUP == "middleware":
    from timetracer.integrations.wsgi import TimeTracerMiddleware

    app = TimeTracerMiddleware(app, CONFIG)
elif SETUP == "auto_setup":
    from timetracer.integrations.wsgi import auto_setup

    app = auto_setup(app, CONFIG)
