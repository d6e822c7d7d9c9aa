"""WSGI requests: the door around an application; its input is copied as it is read, its answer as it goes out.

Upstream: PEP 3333 (https://peps.python.org/pep-3333/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias
from urllib.parse import quote

from timetracer.inbound.incoming import IncomingFile
from timetracer.plugin import BodyEnd, Door, Inbound, Visit

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
Application: TypeAlias = Callable[[Any, Any], Iterable[bytes]]
Template: TypeAlias = Callable[[Environ], str | None]
"""Returns the route's template, asked when the answer starts."""

VISIT = "timetracer.visit"
"""In the environ: the visit of this request, and the mark that its door is open."""


SCRIPT_NAME = "timetracer.script_name"
"""In the environ: where the outermost application is mounted; what it mounts adds to SCRIPT_NAME."""


def unnamed(environ: Environ) -> None:
    """A plain WSGI application has no route templates."""


class Middleware:
    """A WSGI application that opens the door for each request of the one that it wraps."""

    def __init__(self, app: Application, door: Door, template: Template = unnamed) -> None:
        self.app, self.door, self.template = app, door, template

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return serve(self.app, self.door, self.template, environ, start_response)


def serve(
    app: Application, door: Door, template: Template, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Calls `app` behind the door. What is done while the answer is iterated and closed belongs to the call as well."""
    if VISIT in environ:
        return app(environ, _naming(environ, start_response, template))
    with door(describe, environ) as visit:
        environ[VISIT], environ[SCRIPT_NAME] = visit, environ.get("SCRIPT_NAME", "")
        answer = _Answer(visit, environ, start_response, template)
        try:
            result = app(environ, answer.start)
        except BaseException as error:
            answer.end("error", error)
            raise
        if isinstance(result, (list, tuple)):  # at hand already; servers look at its length
            for chunk in result:
                answer.sink.feed(chunk)
            answer.end("complete")
            return result
        return _Outgoing(result, answer)


def _naming(environ: Environ, start_response: StartResponse, template: Template) -> StartResponse:
    """Lets an application behind another one's door name the call, where it knows routes."""
    if template is unnamed:
        return start_response

    def start(*given: Any) -> Callable[[bytes], object]:
        environ[VISIT].note(_name, environ, template)
        return start_response(*given)

    return start


def _name(environ: Environ, template: Template) -> None:
    name = template(environ)
    if name:
        environ[VISIT].route(name)


def describe(environ: Environ) -> Inbound:
    """Describes a request; its body is copied when the application reads it."""
    headers = [
        (name[5:].replace("_", "-").title(), value) for name, value in environ.items() if name.startswith("HTTP_")
    ]
    headers += [
        (name, environ[variable])
        for name, variable in (("Content-Type", "CONTENT_TYPE"), ("Content-Length", "CONTENT_LENGTH"))
        if environ.get(variable)
    ]
    return Inbound(
        type="http.server",
        method=environ["REQUEST_METHOD"],
        target=_target(environ),
        headers=headers,
        fields={"scheme": environ.get("wsgi.url_scheme", "http")},
    )


def _target(environ: Environ) -> str:
    """Returns the path as the client spelt it where the server says so, else as it must have been."""
    for name in ("RAW_URI", "REQUEST_URI"):  # gunicorn, werkzeug; uwsgi
        raw: str = environ.get(name, "")
        if raw.startswith("/"):
            return raw.partition("#")[0]
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")) or "/"
    query = environ.get("QUERY_STRING", "")
    quoted = quote(path.encode("latin-1"), safe="/:;=,@!$&'()*+~")
    return f"{quoted}?{query}" if query else quoted


def _length(environ: Environ) -> int | None:
    """Returns how long the request's body is; None if only its end will tell."""
    given = environ.get("CONTENT_LENGTH") or ""
    if given.isdecimal():
        return int(given)
    if environ.get("SERVER_PROTOCOL", "HTTP/1.1").startswith("HTTP/1"):
        return None if environ.get("HTTP_TRANSFER_ENCODING") else 0
    return None if environ.get("wsgi.input_terminated") else 0


def _ends(environ: Environ) -> bool:
    """Whether reading comes to an end: of a body in chunks, servers that undo them say that it does."""
    return _length(environ) is not None or bool(environ.get("wsgi.input_terminated"))


class _Answer:
    """What an application answers: taken from `start_response`, from `write`, or from what it returns."""

    def __init__(self, visit: Visit, environ: Environ, start_response: StartResponse, template: Template) -> None:
        self.visit, self._environ, self._start_response, self._template = visit, environ, start_response, template
        self.sink = visit.body()
        self._request = visit.request_body()
        source = visit.note(self._copying, environ)
        if source is not None:
            environ["wsgi.input"] = source.read_ahead() if visit.reads_ahead and _ends(environ) else source

    def _copying(self, environ: Environ) -> IncomingFile:
        return IncomingFile(environ["wsgi.input"], self._request, _length(environ))

    def start(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        self.visit.note(self._started, status, headers)
        self.visit.note(_name, self._environ, self._template)
        write = self._start_response(status, headers, *exc_info)

        def copying(data: bytes) -> object:
            done = write(data)
            self.sink.feed(data)
            return done

        return copying

    def _started(self, status: str, headers: list[tuple[str, str]]) -> None:
        code, _, reason = status.partition(" ")
        self.visit.answer({"reason": reason}, status=int(code), headers=list(headers))

    def end(self, end: BodyEnd, error: BaseException | None = None) -> None:
        """Ends both bodies, once."""
        self._request.finish("partial")
        self.sink.finish(end, error)


class _Outgoing:
    """A streamed answer: handed on as it is made, step by step in its call's context, and copied.

    It ends when it is closed, so that what runs then (`call_on_close`) belongs to the call. A `wsgi.file_wrapper` is
    iterated like everything else: with `sendfile` its bytes would never pass here.
    """

    def __init__(self, source: Iterable[bytes], answer: _Answer) -> None:
        self._source, self._answer = source, answer
        self._steps: Iterator[bytes] = iter(source)
        self._end: tuple[BodyEnd, BaseException | None] = ("partial", None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with self._answer.visit.resume():
                chunk = next(self._steps)
        except StopIteration:
            self._end = ("complete", None)
            raise
        except BaseException as error:
            self._end = ("error", error)
            self._answer.visit.note(self._answer.visit.error, error)
            raise
        self._answer.sink.feed(chunk)
        return chunk

    def close(self) -> None:
        """Ends it where the server did, or where it ended."""
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                with self._answer.visit.resume():
                    close()
        finally:
            self._answer.end(*self._end)

    def __del__(self) -> None:
        # PEP 3333 has servers call `close`; a middleware in between that joins the chunks may not.
        self._answer.end(*self._end)
