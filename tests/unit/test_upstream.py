"""The HTTP upstream says on the wire what its routes promise, read here without any client's help."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.services import Upstream

EVERY_ROUTE = [
    "json",
    "echo",
    "text",
    "latin1",
    "empty",
    "bytes/10",
    "big/1",
    "stream/2",
    "sse?count=2",
    "trailers",
    "gzip",
    "deflate",
    "br",
    "zstd",
    "duplicate-headers",
    "reason",
    "http10",
    "no-content",
    "304",
    "1xx",
    "redirect/1",
    "redirect-loop",
    "basic-auth",
    "digest-auth",
    "cookies",
    "cookies/set?a=1",
    "status/418",
    "status/599",
    "slow/0.01",
    "slow-body/0.01",
    "truncated",
    "truncated-chunked",
    "bad-gzip",
    "upload",
    "range",
    "counter/head",
    "flaky/0",
    "hits",
    "log",
]


def ask(upstream: Upstream, target: str, *, method: str = "GET", headers: str = "", body: bytes = b"") -> bytes:
    """Send one request and give every byte that came back until the connection ended."""
    head = f"{method} {target} HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n{headers}"
    if body:
        head += f"Content-Length: {len(body)}\r\n"
    with socket.create_connection((upstream.host, upstream.port), 5) as connection:
        connection.sendall(f"{head}\r\n".encode() + body)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_head_gets_headers_only(upstream: Upstream, route: str) -> None:
    """Every route answers HEAD with headers and not one byte of a body."""
    answer = ask(upstream, f"/{route}", method="HEAD")
    final = answer[answer.rindex(b"HTTP/1.") :]
    assert final.endswith(b"\r\n\r\n")
    assert final.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_echo_gives_back_method_and_body(upstream: Upstream, method: str) -> None:
    """Whatever the method, /echo says what came in."""
    answer = ask(upstream, "/echo?x=1", method=method, headers="X-Mine: yes\r\n", body=b"payload")
    assert f'"method": "{method}"'.encode() in answer
    assert b'["X-Mine", "yes"]' in answer
    assert b'"body": "payload"' in answer


def test_duplicate_headers_keep_order_and_case(upstream: Upstream) -> None:
    """Repeated headers go out one by one, in order, in the case given."""
    lines = ask(upstream, "/duplicate-headers").split(b"\r\n")
    assert [line.split(b":")[0] for line in lines[1:7]] == [
        b"X-Multi", b"Set-Cookie", b"X-Other", b"x-multi", b"Set-Cookie", b"X-Multi",
    ]  # fmt: skip


def test_broken_answers_break_off(upstream: Upstream) -> None:
    """A truncated body is shorter than announced, truncated chunks lack their end, a reset has no answer at all."""
    assert ask(upstream, "/truncated").endswith(b"\r\n\r\n" + b"x" * 100)
    assert ask(upstream, "/truncated-chunked").endswith(b"e\r\nthe only chunk\r\n")
    assert ask(upstream, "/reset") == b""
    with pytest.raises(ConnectionResetError):
        ask(upstream, "/reset/hard")


def test_early_answers_come_before_the_final_one(upstream: Upstream) -> None:
    """100 and 103 precede the answer, each a head of its own."""
    answer = ask(upstream, "/1xx")
    assert [head.split(b"\r\n")[0] for head in answer.split(b"\r\n\r\n")[:3]] == [
        b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 200 OK",
    ]  # fmt: skip


def test_flaky_fails_and_then_works_for_each_key(upstream: Upstream) -> None:
    """Two failures for a key, then success; another key starts anew."""
    answers = [ask(upstream, "/flaky/2?key=one").split(b" ")[1] for _ in range(3)]
    assert answers == [b"503", b"503", b"200"]
    assert ask(upstream, "/flaky/1?key=two&how=reset") == b""
    assert ask(upstream, "/flaky/1?key=two&how=reset").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("asked", "status", "content_range"),
    [("bytes=5-9", b"206", b"bytes 5-9/10000"), ("bytes=-7", b"206", b"bytes 9993-9999/10000"),
     ("bytes=9990-", b"206", b"bytes 9990-9999/10000"), ("bytes=10000-", b"416", b"bytes */10000")],
)  # fmt: skip
def test_ranges_are_honoured(upstream: Upstream, asked: str, status: bytes, content_range: bytes) -> None:
    """A range gives that part, an impossible one 416."""
    answer = ask(upstream, "/range", headers=f"Range: {asked}\r\n")
    assert answer.split(b" ")[1] == status
    assert b"Content-Range: " + content_range in answer


def test_https_is_served_with_a_certificate_that_can_be_trusted(upstream: Upstream) -> None:
    """The certificate is refused by default and taken by who trusts its file, over a restart too."""
    trusting = ssl.create_default_context(cafile=str(upstream.ca_file))
    upstream.restart()
    for context, trusted in ((ssl.create_default_context(), False), (trusting, True)):
        with socket.create_connection((upstream.host, upstream.https_port), 5) as plain:
            if trusted:
                context.wrap_socket(plain, server_hostname=upstream.host).close()
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    context.wrap_socket(plain, server_hostname=upstream.host)


def test_the_refused_port_refuses(upstream: Upstream) -> None:
    """Nobody can listen on the refused port while the upstream lives, so that a refusal is sure."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((upstream.host, int(upstream.refused_url.rpartition(":")[2])), 5)
