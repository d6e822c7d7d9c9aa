"""No secret survives in a document, in any spelling; what is none stays; what stands for a secret has its shape."""

from __future__ import annotations

import base64
import gzip
import json
import os
import pickle
import random
import string
import urllib.parse
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timetracer import values
from timetracer.cassette import format as cassette_format
from timetracer.cassette.encryption import sealed, unseal
from timetracer.cassette.likenesses import like
from timetracer.cassette.model import Body, Cassette, Draw, Event, Inbound, Result, Sent, Signature, Span, Trace
from timetracer.cassette.redaction import Redactor
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secrets_rules import PLAIN, Names, is_card
from timetracer.errors import CassetteLocked, ConfigError

KEY = bytes(range(32))
dump = msgspec.json.encode


def load(document: bytes) -> Cassette:
    return msgspec.json.decode(document, type=Cassette)


def json_body(value: Any) -> Body:
    """Returns a body that was kept as JSON."""
    return Body(printed=msgspec.Raw(msgspec.json.encode(value)), layout="compact")


def event(kind: str = "http.client", *, url: str = "http://api/", method: str = "GET", **parts: Any) -> Event:
    fields = parts.pop("fields", {})
    request = Sent(headers=parts.pop("sent_headers", []), body=parts.pop("sent_body", None))
    return Event(
        eid=1,
        type=kind,
        signature=Signature(lib="x", method=method, url=url, fields=fields),
        request=request,
        result=Result(**parts),
    )


def cassette(*events: Event, **parts: Any) -> Cassette:
    return Cassette(trace=Trace(trace_id="a1" * 16, root_id="b2" * 8), events=list(events), **parts)


def redacted(*events: Event, **parts: Any) -> Cassette:
    return load(Redactor().dump(cassette(*events, **parts), dump))


SECRET_NAMES = """
password Password user_password passwd pwd db_pass passphrase secret client_secret clientSecret
CLIENT-SECRET token access_token accessToken refreshToken id_token api_key apiKey API-KEY X-Api-Key apikey access_key
AWS_SECRET_ACCESS_KEY private_key privateKey credentials Authorization Proxy-Authorization session sessionid session_id
sessionKey session_key session_data JSESSIONID PHPSESSID csrf csrftoken csrfmiddlewaretoken X-CSRFToken
X-XSRF-TOKEN xsrf cvv cvc card_cvc pin ssn card_number cardNumber otp otp_code new_password1
password_confirmation password_hash Cookie
Set-Cookie http.request.header.authorization security_code encryption_key
connect.sid amzSignature
"""

PLAIN_NAMES = """
message page shipping author authority tokenizer passenger max_tokens token_count total_tokens maxTokens
prompt_tokens page_token nextPageToken token_type tokenType expires_in password_changed_at password_reset_url
has_password
session_timeout secretary compass bypass passed pass_count key keyboard monkey primary_key foreign_key sort_key
spinning
opinion shopping pinned discard dashboard cardinality hash
cookie_name csrf_header_name author_id coauthor obsession
password_validators encoding id username email status
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_secret_names_are_known_in_every_case_style(name: str) -> None:
    """A name that holds a secret word, as a whole word, says that its value is secret."""
    assert Names()[name] != PLAIN


@pytest.mark.parametrize("name", PLAIN_NAMES.split())
def test_other_names_are_left(name: str) -> None:
    """A name that only looks like one, or that counts or describes secrets, says nothing."""
    assert Names()[name] == PLAIN


def test_fields_add_names_and_keep_takes_them_away() -> None:
    """Configured names win over the built-in ones, in any case style."""
    names = Names(fields=["shoe_size"], keep=["session-id"])
    assert names["customerShoeSize"] != PLAIN
    assert names["sessionId"] == PLAIN
    assert names["session_key"] != PLAIN


@pytest.mark.parametrize("before", ["\u0130" * 8, "\u0130stanbul\u0130" * 200, "\u212a\ufb01\u03a3\u00df\u0149" * 40])
def test_letters_that_are_longer_in_lower_case_shift_no_place(before: str) -> None:
    """A Turkish capital I with a dot is two letters in lower case: eight of them held the writer up for ever."""
    text = f"{before} password=hunter2secret and more text that follows"
    body = Body(text="\xff\x00" + text)
    made = redacted(event(body=body, value={"$base64": base64.b64encode(b"\xff\0" + text.encode()).decode()}))
    shown = dump(made).decode()
    assert "hunter2secret" not in shown
    assert before in shown
    assert b"hunter2secret" not in base64.b64decode(made.events[0].result.value["$base64"])


def test_a_secret_is_replaced_wherever_it_occurs() -> None:
    """One replacement stands in headers, query, JSON, form, SQL, redis, spans, tracebacks and encoded spellings."""
    secret = "Tr0ub4dor&3/x+Zq"
    quoted = urllib.parse.quote(secret, safe="")
    encoded = base64.b64encode(secret.encode()).decode()
    packed = base64.b64encode(gzip.compress(f"x {secret} y".encode())).decode()
    made = redacted(
        event(url=f"http://api/?q={quoted}", sent_headers=[("Authorization", f"Bearer {secret}"), ("X-Other", secret)]),
        event(
            sent_body=Body(text=f"a=1&note={quoted}&b=2"),
            body=json_body({"deep": [{"password": secret, "echo": secret}]}),
        ),
        event(
            "db.query",
            fields={"sql": "SELECT 1", "params": ["x", secret]},
            value={"columns": ["a"], "rows": [[secret]]},
        ),
        event("cache.command", url=f"k:{secret}", fields={"args": ["GET", f"k:{secret}"]}, value={"$bytes": secret}),
        event(body=Body(base64=packed), value={"b": encoded}),
        spans=[Span(span_id="c" * 16, name="x", kind="CLIENT", attributes={"url.full": f"http://api/?q={quoted}"})],
        inbound=Inbound(type="http.server", method="GET", target="/", traceback=f"  password = {secret!r}\n"),
    )
    text = dump(made).decode()
    for spelling in (secret, quoted, encoded):
        assert spelling not in text
    replacement = made.events[1].result.body.json["deep"][0]["password"]  # type: ignore[union-attr]
    assert len(replacement) == len(secret)
    assert made.replacements == [replacement]
    assert made.events[1].result.body.json["deep"][0]["echo"] == replacement  # type: ignore[union-attr]
    assert made.events[1].request.body.text == f"a=1&note={urllib.parse.quote(replacement, safe='')}&b=2"  # type: ignore[union-attr]
    assert made.events[2].result.value["rows"] == [[replacement]]
    blob = gzip.decompress(base64.b64decode(made.events[4].result.body.base64))  # type: ignore[union-attr, arg-type]
    assert blob.decode() == f"x {replacement} y"
    assert made.events[4].result.value["b"] == base64.b64encode(replacement.encode()).decode()


@pytest.mark.parametrize("secret", ['S3cr"et\\Value 99', "line one\nline two, 99", "Tr0ub4dor&3/x+Zq", "pässword-ß-99"])
def test_a_body_that_names_no_secret_is_rid_of_those_of_others(secret: str) -> None:
    """What is secret in one place is replaced in bodies that nobody has to look into, escaped as it is there."""
    bodies = [Body(raw=[json.dumps({"note": f"<{secret}>"}, ensure_ascii=ascii).encode()]) for ascii in (True, False)]
    made = redacted(event(body=json_body({"password": secret})), *(event(body=body) for body in bodies))
    document = dump(made).decode()
    for spelled in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        assert spelled not in document


def test_a_django_login_leaves_no_secret() -> None:
    """A login form, its cookies, its session and user rows hold no password, token or session key afterwards."""
    password, token = "correct-Horse7battery", "kS8fJ2mQ0wLxN4bV7cR1tY6uI3oP9aZe" * 2
    session_key, session_data = (
        "q7w8e9r0t1y2u3i4o5p6a7s8d9f0g1h2",
        ".eJxVjDsOwjAQBe_iGllrr7-U9JzB2vU6OIBsKU4qxN0hUgpo38y8l8i0rT1vg5c8s7gIEKffrVB9cNsB36ndZlnntiy5yF2RB1_k7cb1eTXcv4NOo39r64NDhxSi9QbBGxvRlgBBK9C2KnSUFHBgBnYcNUYqkQvUoEOhSuL9AdbXN8g:1rAbCd:sIg",
    )
    hashed = "pbkdf2_sha256$600000$Ab3dEf6hIj9lMn2p$Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2RlZmc="
    columns = '"django_session"."session_key", "django_session"."session_data"'
    made = redacted(
        event(
            "db.query",
            fields={
                "sql": 'SELECT "id", "password" FROM "auth_user" WHERE "username" = %s',
                "params": {"$tuple": ["ann"]},
            },
            value={"columns": ["id", "password"], "rows": [{"$tuple": [7, hashed]}]},
        ),
        event(
            "db.query",
            fields={
                "sql": 'INSERT INTO "django_session" ("session_key", "session_data") VALUES (%s, %s)',
                "params": {"$tuple": [session_key, session_data]},
            },
        ),
        event(
            "db.query",
            fields={
                "sql": f'SELECT {columns} FROM "django_session" WHERE "django_session"."session_key" = %s',
                "params": [session_key],
            },
            value={"columns": ["session_key", "session_data"], "rows": [[session_key, session_data]]},
        ),
        event(
            "cache.command",
            url=f":1:django.contrib.sessions.cache{session_key}",
            fields={"args": ["GET", f":1:django.contrib.sessions.cache{session_key}"]},
        ),
        inbound=Inbound(
            type="http.server",
            method="POST",
            target="/accounts/login/?next=/shipping",
            request=Sent(
                headers=[
                    ("Cookie", f"csrftoken={token[:32]}; theme=dark"),
                    ("Content-Type", "application/x-www-form-urlencoded"),
                ],
                body=Body(text=f"csrfmiddlewaretoken={token}&username=ann&password={password}&next=%2Fshipping"),
            ),
            result=Result(
                status=302,
                headers=[
                    ("Location", "/shipping"),
                    ("Set-Cookie", f"sessionid={session_key}; HttpOnly; Path=/; SameSite=Lax"),
                ],
                body=Body(text=f'<input type="hidden" name="csrfmiddlewaretoken" value="{token}">'),
            ),
        ),
    )
    text = dump(made).decode()
    for secret in (password, token, token[:32], session_key, session_data, hashed):
        assert secret not in text
    assert made.inbound is not None
    assert made.inbound.request.body is not None
    form = dict(urllib.parse.parse_qsl(made.inbound.request.body.text))
    assert form["username"] == "ann"
    assert form["next"] == "/shipping"
    new_key = made.events[2].result.value["rows"][0][0]
    assert f"sessionid={new_key}; HttpOnly; Path=/; SameSite=Lax" in dict(made.inbound.result.headers)["Set-Cookie"]
    assert made.events[3].signature.url == f":1:django.contrib.sessions.cache{new_key}"
    assert made.events[1].signature.fields["params"]["$tuple"][0] == new_key
    assert "theme=dark" in made.inbound.request.headers[0][1]


MULTIPART = '--b\r\nContent-Disposition: form-data; name="api_key"\r\n\r\nS3cr3tValue99\r\n--b--\r\n'
SQL = {"sql": "UPDATE u SET name = ?, api_key = ? WHERE id = ?", "params": ["n", "S3cr3tValue99", 3]}
NAMED = {"sql": "INSERT INTO u (name, api_key) VALUES (:a, :b)", "params": {"a": "n", "b": "S3cr3tValue99"}}
NUMBERED = {"sql": "INSERT INTO u (name, api_key) VALUES ($1, $2)", "params": [["n", "S3cr3tValue99"]]}


@pytest.mark.parametrize(
    "one",
    [
        event(sent_headers=[("X-Api-Key", "S3cr3tValue99")]),
        event(sent_headers=[("Authorization", "Basic " + base64.b64encode(b"ann:S3cr3tValue99").decode())]),
        event(sent_headers=[("Cookie", "a=b; auth_token=S3cr3tValue99")]),
        event(url="https://ann:S3cr3tValue99@host/x"),
        event(url="https://host/x?page=2&access_token=S3cr3tValue99"),
        event(body=json_body({"data": [{"apiKey": "S3cr3tValue99"}]})),
        event(body=Body(text="grant=x&client_secret=S3cr3tValue99")),
        event(sent_body=Body(text=MULTIPART)),
        event(body=Body(text='<meta name="csrf-token" content="S3cr3tValue99">')),
        event("db.query", fields=SQL),
        event("db.query", fields=NAMED),
        event("db.query", fields=NUMBERED),
        event("db.query", value={"columns": [["id", 23], ["api_key", 25]], "rows": [[1, "S3cr3tValue99"]]}),
        event("cache.command", method="HSET", fields={"args": ["HSET", "u:1", "api_key", "S3cr3tValue99"]}),
        event("cache.command", method="AUTH", fields={"args": ["AUTH", "ann", "S3cr3tValue99"]}),
        event(
            "cache.command", fields={"args": [{"$bytes": "SET"}, {"$bytes": "u:1:token"}, {"$bytes": "S3cr3tValue99"}]}
        ),
        event("cache.command", value={"$map": [[{"$bytes": "password"}, {"$bytes": "S3cr3tValue99"}]]}),
        event("cache.command", method="HGETALL", value=["name", "ann", "password", "S3cr3tValue99"]),
        event(
            "cache.command",
            method="HMGET",
            fields={"args": ["HMGET", "u", "name", "token"]},
            value=["n", "S3cr3tValue99"],
        ),
        event(
            "cache.command",
            method="HGET",
            fields={"args": ["HGET", "u", "token"]},
            replies=[{"$bytes": "S3cr3tValue99"}],
        ),
        event(url="http://s3/x?X-Amz-Signature=S3cr3tValue99"),
        event(error={"$error": {"class": "builtins:ValueError", "args": ["bad token='S3cr3tValue99'"]}}),
        event(value={"environ": "A=1\nDB_PASSWORD=S3cr3tValue99\nB=2"}),
        event(body=Body(base64=base64.b64encode(b'{"password": "S3cr3tValue99"}').decode())),
    ],
    ids=lambda one: one.type,
)
def test_every_position_is_known(one: Event) -> None:
    """A secret is found in this position alone, and its neighbours stay."""
    text = dump(redacted(one)).decode()
    assert "S3cr3tValue99" not in text
    assert base64.b64encode(b"ann:S3cr3tValue99").decode() not in text
    assert len(redacted(one).replacements) == 1


SHAPED = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MDAwMDAwMDB9.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "4111 1111 1111 1111",
    "378282246310005",
    "5555-5555-5555-4444",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-1234567890-abcdefGHIJ",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "glpat-abcDEF123456ghiJKL78",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabcDEF==\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SHAPED)
def test_secrets_are_known_by_their_shape(secret: str) -> None:
    """A token, key or card number is found in a value whose name says nothing, within other text too."""
    made = redacted(event(body=json_body({"note": f"use {secret} today", "value": secret})))
    body = made.events[0].result.body
    assert body is not None
    assert secret not in body.json["note"]
    assert body.json["value"] != secret
    assert len(body.json["value"]) == len(secret)
    assert body.json["note"] == f"use {body.json['value']} today"


@pytest.mark.parametrize(
    "value",
    [
        "4111 1111 1111 1112",
        "1700000000123456789",
        "1234567890123",
        "eyJust a word",
        "task_live_x",
        "/admin/users?page=2",
        "pbm: 12",
        "2024-01-01T00:00:00.123456",
        "550e8400-e29b-41d4-a716-446655440000",
        "password must not be empty",
        "the token: expected a string",
        "SELECT password FROM users WHERE token = %s",
        "raise ValueError(password=password, token=get_token(x))",
        "https://example.com:8080/a?page=3&author=ann",
    ],
)
def test_decoys_stay(value: str) -> None:
    """What only looks like a secret is left as it is."""
    made = redacted(event(body=json_body({"message": value}), url="http://api/shipping"))
    assert made.events[0].result.body.json == {"message": value}  # type: ignore[union-attr]
    assert made.replacements == []


def test_replacements_keep_their_shape() -> None:
    """A JWT stays decodable, a card number valid, a UUID a UUID, a number of the same digits, Basic a pair."""
    head, payload, _ = like(SHAPED[0]).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert head == SHAPED[0].split(".")[0]
    assert claims["exp"] == 1700000000
    assert len(claims["sub"]) == 3
    assert is_card(like("4111111111111111"))
    assert set(like("550e8400-e29b-41d4-a716-446655440000")) <= set("0123456789abcdef-")
    made = redacted(event(body=json_body({"pin": 4821, "cvv": "123", "password": {"$decimal": "12.50"}})))
    body = made.events[0].result.body
    assert body is not None
    assert 1000 <= body.json["pin"] <= 9999 != 4821
    assert body.json["cvv"] != "123"
    assert len(body.json["password"]["$decimal"]) == 5


def test_words_stay_where_they_are_structure() -> None:
    """A password that is a word is replaced where it was found, and left in paths and keys."""
    made = redacted(
        event(url="http://api/admin/", body=json_body({"password": "admin", "admin": True, "role": "x admin"}))
    )
    body = made.events[0].result.body
    assert body is not None
    assert body.json["password"] != "admin"
    assert body.json["admin"] is True
    assert made.events[0].signature.url == "http://api/admin/"


def test_a_password_may_equal_a_word_of_the_format() -> None:
    """A secret that is also a name of the format leaves the document readable."""
    for word in ("incomplete", "http.client", "trace", "complete", "start_offset_ms", "null", "12345678"):
        made = redacted(event(body=json_body({"password": word, "n": 12345678})))
        assert made.events[0].type == "http.client"


def test_short_secrets_are_replaced_where_they_were_found() -> None:
    """Two or three characters are no reason to change the rest of the document."""
    made = redacted(event(body=json_body({"cvv": "123", "qty": "123", "message": "abc123"}), url="http://api/123"))
    body = made.events[0].result.body
    assert body is not None
    assert body.json["cvv"] != "123"
    assert (body.json["qty"], body.json["message"], made.events[0].signature.url) == ("123", "abc123", "http://api/123")


def test_the_cassette_given_stays_as_it_is() -> None:
    """Redaction works on a copy, so that a shared event may serve other cassettes."""
    one = cassette(event(body=json_body({"password": "S3cr3tValue99"})))
    before = dump(one)
    Redactor().dump(one, dump)
    assert dump(one) == before


def test_keep_mode_changes_nothing() -> None:
    """With TIMETRACER_SECRETS=keep the document is written as it is."""
    one = cassette(event(body=json_body({"password": "S3cr3tValue99"})), draws=[Draw("", "secrets.token_hex", ["ab"])])
    assert Redactor("keep").dump(one, dump) == dump(one)


def test_drawn_entropy_that_made_a_secret_is_dropped() -> None:
    """Draws of `secrets` go, a uuid goes if it is a secret, others stay."""
    made = redacted(
        event(body=json_body({"token": "550e8400e29b41d4a716446655440000"})),
        draws=[
            Draw("", "secrets.token_bytes django.utils.crypto", [{"$bytes": "abc"}]),
            Draw("", "uuid.uuid4 app", [{"$uuid": "550e8400-e29b-41d4-a716-446655440000"}]),
            Draw("", "uuid.uuid4 app", [{"$uuid": "650e8400-e29b-41d4-a716-446655440000"}]),
            Draw("", "random.random app", [0.5]),
        ],
    )
    assert [len(draw.values) for draw in made.draws] == [0, 0, 1, 1]


def test_what_a_secret_uuid_was_made_of_is_dropped() -> None:
    """A `uuid4` is recorded as the bytes that it was drawn from: they would give a redacted token away."""
    drawn = [os.urandom(16), os.urandom(16), os.urandom(16)]
    token = UUID(bytes=drawn[1], version=4)
    made = redacted(
        event(body=json_body({"token": str(token), "order": str(UUID(bytes=drawn[0], version=4))})),
        draws=[
            Draw("", "os.urandom(16) by uuid", [values.encode(each) for each in drawn]),
            Draw("", "uuid.uuid1() by uuid", [values.encode(token.bytes)]),
        ],
    )
    assert [draw.values for draw in made.draws] == [[values.encode(drawn[0]), None, values.encode(drawn[2])], []]


def test_drawn_entropy_is_kept_as_far_as_the_cassette_shows_it() -> None:
    """What a number in plain sight was drawn from tells nobody more; what a secret was drawn from is left out."""
    plain, secret = b"Plain sight 1234", b"Not for you 5678"
    drawn = [{"$base64": base64.b64encode(raw).decode()} for raw in (secret, plain, secret)]
    made = redacted(
        event(body=json_body({"token": secret.hex(), "order": plain.hex()})),
        draws=[Draw("", "secrets(16) by app", drawn), Draw("", "secrets(1) by django.utils.text", [7])],
    )
    assert [draw.values for draw in made.draws] == [[None, drawn[1]], [7]]


@pytest.mark.parametrize("seed", range(20))
def test_characters_that_were_chosen_for_a_secret_are_left_out(seed: int) -> None:
    """`get_random_string` drew a code that is shown and a token that is not: of the latter next to nothing is kept."""
    source = random.Random(seed)
    drawn = [source.randrange(248) for _ in range(44)]
    letters = string.ascii_letters + string.digits
    code, token = ("".join(letters[byte >> 2] for byte in part) for part in (drawn[:12], drawn[12:]))
    values = [{"$base64": base64.b64encode(bytes([byte])).decode()} for byte in drawn]
    made = redacted(
        event(body=json_body({"token": token, "code": code})), draws=[Draw("", "secrets(1) by app", values)]
    )
    assert made.draws[0].values == values[:12]


ALPHABET = string.ascii_letters + string.digits + "&/+=%\"\\'<>é !@#$^*()-_~"
secrets_made = st.text(ALPHABET, min_size=8, max_size=40).filter(
    lambda x: x == x.strip() and sum(c.isdigit() for c in x) >= 2 and sum(c.isalpha() for c in x) >= 3
)
relaxed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def everywhere(secret: str) -> Cassette:
    quoted, plus = urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)
    return cassette(
        event(
            url=f"http://api/x/{quoted}?q={plus}",
            body=json_body({"items": [{"password": secret}], "echo": f"<{secret}>"}),
        ),
        event(sent_body=Body(text=json.dumps({"inner": secret}))),
        event(
            body=Body(base64=base64.b64encode(gzip.compress(f"-{secret}-".encode())).decode()),
            value=[secret, secret[::-1]],
        ),
        event(value={"b64": base64.b64encode(secret.encode()).decode(), "$k": 1}),
        event("cache.command", url=f"x{secret}y"),
    )


def survives(document: bytes, secret: str) -> list[str]:
    made = load(document)
    text = msgspec.json.encode(made).decode()
    spellings = {
        "json": msgspec.json.encode(secret)[1:-1].decode(),
        "nested": msgspec.json.encode(json.dumps(secret)[1:-1])[1:-1].decode(),
        "quote": urllib.parse.quote(secret, safe=""),
        "plus": urllib.parse.quote_plus(secret),
        "base64": base64.b64encode(secret.encode()).decode(),
    }
    left = [name for name, spelling in spellings.items() if spelling in text]
    blob = made.events[2].result.body.base64  # type: ignore[union-attr]
    if blob is not None and "ttsealed" not in blob and secret in gzip.decompress(base64.b64decode(blob)).decode():
        left.append("gzip")
    return left


@given(secrets_made)
@relaxed
def test_no_secret_survives_in_any_spelling(secret: str) -> None:
    """Plain, escaped, percent-encoded, in base64, in compressed bytes: it is gone, and the document stays readable."""
    document = Redactor().dump(everywhere(secret), dump)
    assert survives(document, secret) == []


@given(st.lists(secrets_made, min_size=2, max_size=100, unique=True))
@settings(relaxed, max_examples=40)
def test_distinct_secrets_stay_distinct(several: list[str]) -> None:
    """As many replacements as secrets, each of the length of its secret."""
    made = redacted(event(body=json_body([{"password": secret} for secret in several])))
    values = [item["password"] for item in made.events[0].result.body.json]  # type: ignore[union-attr]
    assert len(set(values)) == len(several)
    assert [len(value) for value in values] == [len(secret) for secret in several]
    assert not set(values) & set(several)


@given(secrets_made)
@relaxed
def test_redacting_twice_changes_nothing(secret: str) -> None:
    """A second pass knows what the first one put in."""
    once = Redactor().dump(everywhere(secret), dump)
    assert Redactor().dump(load(once), dump) == once


@given(secrets_made)
@relaxed
def test_sealed_secrets_come_back(secret: str) -> None:
    """Nothing of the secret is written, and the key restores the document to the byte."""
    one = everywhere(secret)
    one.draws = [Draw("", "secrets.token_hex", [secret, 5])]
    one.events.append(event(value={"pin": 48213}))
    document = Redactor("seal", key=KEY).dump(one, dump)
    assert sealed(document)
    assert survives(document, secret) == []
    assert b"48213" not in document
    assert unseal(document, KEY) == dump(one)
    with pytest.raises(CassetteLocked):
        unseal(document, bytes(32))


def test_sealing_needs_a_key() -> None:
    """Without a key, sealing is refused at once."""
    with pytest.raises(ConfigError, match="ENCRYPTION_KEY"):
        Redactor("seal")


def test_many_secrets_are_replaced_together() -> None:
    """Hundreds of secrets in one cassette go as one does, wherever they occur."""
    several = [f"Tok{i:04d}x{i * 7919 % 9973:04d}Q" for i in range(300)]
    one = cassette(event(value=[{"token": x} for x in several]), *[event(url=f"http://api/{x}/y") for x in several])
    text = Redactor().dump(one, dump).decode()
    assert not [x for x in several if x in text]


def test_side_files_and_log_texts_get_the_same_replacements() -> None:
    """What is written beside the cassette is redacted as the cassette is."""
    made = Redactor().redact(cassette(event(value={"token": "S3cr3tValue99"})))
    replacement = made.cassette.events[0].result.value["token"]
    assert made.body(b"\x00S3cr3tValue99\xff") == b"\x00" + replacement.encode() + b"\xff"
    assert made.text("got S3cr3tValue99") == f"got {replacement}"


def test_sealing_works_through_the_real_format() -> None:
    """Printed for reading, the sealed document still restores the same cassette, and opens nothing without the key."""
    one = everywhere("S3cr3t/Value 99")
    one.draws = [Draw("", "os.urandom", [{"$base64": "AAEC"}, 7])]
    one.events.append(event(value={"pin": 48213, "rows": [["a"]], "columns": ["token"]}))
    document = Redactor("seal", key=KEY).dump(one, cassette_format.dump)
    assert b"48213" not in document
    assert cassette_format.load(document).draws[0].values != one.draws[0].values
    assert cassette_format.load(unseal(document, KEY)) == one


def test_a_body_still_in_raw_bytes_is_redacted_too() -> None:
    """Whoever forgets to pack a body leaks nothing."""
    body = Body(raw=[b'{"password": "S3cr3tVal', b'ue99", "pin": 1234}'])
    document = Redactor().dump(cassette(event(body=body)), cassette_format.dump)
    assert b"S3cr3tValue99" not in document
    assert b"1234" not in document


@pytest.mark.parametrize(
    ("command", "at"),
    [
        (["HSET", "user:1", "password", "abc"], 3),
        (["HSET", "user:1", "password", "admin", "name", "ann"], 3),
        (["SET", "user:7:otp", "123", "EX", "60"], 2),
    ],
)
def test_a_short_secret_of_a_command_is_replaced_where_it_stands(command: list[str], at: int) -> None:
    """Nothing puts it back: a short one, and a word, are replaced nowhere else."""
    made = redacted(event("cache.command", method=command[0], fields={"args": [{"$bytes": each} for each in command]}))
    after = [each["$bytes"] for each in made.events[0].signature.fields["args"]]
    assert after[at] != command[at]
    assert after[:at] + after[at + 1 :] == command[:at] + command[at + 1 :]


def test_events_shared_between_cassettes_are_never_changed() -> None:
    """An owned cassette may be changed, but not what it shares with others."""
    one = cassette(event(value={"password": "S3cr3tValue99"}), shared={"d": event(value={"password": "S3cr3tValue99"})})
    shared = one.shared["d"]
    document = Redactor().dump(one, dump, owned=True)
    assert b"S3cr3tValue99" not in document
    assert shared.result.value == {"password": "S3cr3tValue99"}


@pytest.mark.parametrize("size", [100, 10_000])
@pytest.mark.parametrize("others", [0, 100])
def test_bytes_lose_every_secret_found_so_far(others: int, size: int) -> None:
    """Few secrets or many, in short bytes and long; also one found later, not one that names a part of the cassette."""
    found = Replacements()
    for number in range(others):
        found.put(f"0ther-s3cret-{number:04}")
    texts = ["a b/c-S3cr3tValue99", "f1rst-S3cr3tValue", "second~S3cr3tValue"]
    data = (
        " ".join([*texts, urllib.parse.quote(texts[0], safe=""), base64.b64encode(texts[2].encode()).decode()])
    ).encode()
    data = data.ljust(size, b".")
    assert found.within(data) == data
    stands = [found.put(texts[0]), found.put(texts[1])]
    assert found.within(data) == data.replace(texts[0].encode(), stands[0].encode()).replace(
        texts[1].encode(), stands[1].encode()
    ).replace(urllib.parse.quote(texts[0], safe="").encode(), urllib.parse.quote(stands[0], safe="").encode())
    found.leave([texts[0]])
    stood = found.put(texts[2])
    made = found.within(data)
    assert texts[0].encode() in made
    assert texts[1].encode() not in made
    assert texts[2].encode() not in made
    assert base64.b64encode(stood.encode()) in made


BINARY = [
    pytest.param(b'--x\r\nname="password"\r\n\r\n%s\r\n--x\r\n\x00\xff', id="a form with a file"),
    pytest.param(b"a=1&client_secret=%s&z=\xff\xff", id="a form that is no UTF-8"),
    pytest.param(b'{"password": "%s"}\x00\xff\x00', id="JSON beside binary data"),
]


@pytest.mark.parametrize("text", BINARY)
@pytest.mark.parametrize("secret", [b"hunter2", b"Zk3nP0wq7Lm2Xv9Bt5Rd"])
def test_a_secret_beside_binary_data_is_replaced(text: bytes, secret: bytes) -> None:
    """What goes by a secret name in bytes that are no text is replaced in place, and the other bytes stay."""
    data = text % secret
    made = redacted(event(value=None, body=Body(base64=base64.b64encode(data).decode())))
    now = base64.b64decode(made.events[0].result.body.base64)  # type: ignore[union-attr, arg-type]
    assert secret not in now
    assert len(now) == len(data)
    assert sum(a != b for a, b in zip(now, data, strict=True)) <= len(secret)


def test_a_large_binary_body_is_looked_through() -> None:
    """A side file of binary data loses the secrets that it alone holds: by name, and by shape."""
    token = b"ghp_" + b"aB3x" * 9
    data = b"\x00\xff" * 200_000 + b'{"password": "hunter2"}' + token + b"\xfe" * 300_000
    hidden = Redactor().redact(cassette(event()))
    now = hidden.body(data)
    assert b"hunter2" not in now
    assert token not in now
    assert len(now) == len(data)
    assert len(hidden.cassette.replacements) == 2


def test_a_pickle_is_looked_through_and_never_loaded() -> None:
    """What follows a secret name in a pickle is replaced, and it still loads."""
    data = pickle.dumps({"user": 7, "password": "Zk3nP0wq7Lm2Xv9B", "x": b"\xff\xfe"})
    made = redacted(event("cache.command", value={"$base64": base64.b64encode(data).decode()}))
    now = pickle.loads(base64.b64decode(made.events[0].result.value["$base64"]))
    assert now["password"] != "Zk3nP0wq7Lm2Xv9B"
    assert (now["user"], now["x"]) == (7, b"\xff\xfe")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickled_object_keeps_its_classes(protocol: int) -> None:
    """An attribute `cookies` that holds a `SimpleCookie`, as in a page that Django caches: the pickle still loads."""
    page = {"cookies": SimpleCookie(), "closed": "no more", "password": None, "user": "ada"}
    page["cookies"]["sid"] = "Zk3nP0wq7Lm2Xv9B"
    value = {"$base64": base64.b64encode(pickle.dumps(page, protocol)).decode()}
    made = redacted(event("cache.command", value=value), event(value={"module": "http.cookies", "is": "closed"}))
    now = pickle.loads(base64.b64decode(made.events[0].result.value["$base64"]))
    assert isinstance(now["cookies"], SimpleCookie)
    assert now["cookies"]["sid"].value not in ("", "Zk3nP0wq7Lm2Xv9B")
    assert {k: v for k, v in now.items() if k != "cookies"} == {k: v for k, v in page.items() if k != "cookies"}
    assert made.events[1].result.value == {"module": "http.cookies", "is": "closed"}


def test_a_secret_is_found_in_a_broken_pickle() -> None:
    """Its end is missing: what follows a name is replaced all the same."""
    value = {"$base64": base64.b64encode(pickle.dumps({"tokens": ["Zk3nP0wq7Lm2Xv9B"]})[:-3]).decode()}
    made = redacted(event("cache.command", value=value))
    assert b"Zk3nP0wq7Lm2Xv9B" not in base64.b64decode(made.events[0].result.value["$base64"])


SECRETLY_PICKLED = [
    pytest.param({"tokens": ["Zk3nP0wq7Lm2Xv9B"]}, id="in a list"),
    pytest.param({"session": {"deep": [{"er": ("Zk3nP0wq7Lm2Xv9B", 1)}]}}, id="deep down"),
    pytest.param([("api_key", b"Zk3nP0wq7Lm2Xv9B")], id="a pair"),
    pytest.param(({"password": "Zk3nP0wq7Lm2Xv9B"}, {"password": "Zk3nP0wq7Lm2Xv9B"}), id="twice, by the memo"),
    pytest.param({"page": "<form>password=Zk3nP0wq7Lm2Xv9B</form>"}, id="in a text"),
]


@pytest.mark.parametrize("secret", SECRETLY_PICKLED)
def test_a_secret_is_found_in_a_pickle(secret: Any) -> None:
    """Wherever it stands."""
    value = {"$base64": base64.b64encode(pickle.dumps(secret)).decode()}
    made = redacted(event("cache.command", value=value))
    assert b"Zk3nP0wq7Lm2Xv9B" not in base64.b64decode(made.events[0].result.value["$base64"])


@pytest.mark.parametrize(
    "text",
    [
        "<a><password>{}</password></a>",
        '<s:Envelope><wsse:Password Type="#PasswordText">{}</wsse:Password></s:Envelope>',
        "<a><token value='{}'/></a>",
        'mutation{{login(user:"a",password:"{}")}}',
    ],
)
def test_xml_and_graphql_are_read(text: str) -> None:
    """Elements, attributes and arguments that go by a secret name are replaced."""
    secret = "Zk3nP0wq7Lm2Xv9Bt5Rd"
    assert secret not in str(redacted(event(value=None, body=Body(text=text.format(secret)))))
    assert secret not in str(redacted(event(value={"query": text.format(secret)})))


def test_json_in_base64_in_a_text_is_read() -> None:
    """A message in its envelope."""
    inner = base64.b64encode(json.dumps({"password": "Zk3nP0wq7Lm2Xv9Bt5Rd"}).encode()).decode()
    made = redacted(event(value={"message": inner}))
    now = json.loads(base64.b64decode(made.events[0].result.value["message"]))
    assert now["password"] != "Zk3nP0wq7Lm2Xv9Bt5Rd"
    assert len(now["password"]) == 20


def test_a_span_name_and_a_route_are_read() -> None:
    """Names hold what instrumentors put there."""
    secret = "Zk3nP0wq7Lm2Xv9Bt5Rd"
    span = Span(span_id="c3" * 8, name=f"GET /?token={secret}", kind="CLIENT")
    inbound = Inbound(type="http.server", method="GET", target="/", route=f"/?token={secret}")
    assert secret not in str(redacted(spans=[span], inbound=inbound))


def test_a_path_that_is_no_utf8_leaves_bodies_writable() -> None:
    """A cassette with a lone surrogate is copied another way, and written all the same."""
    odd = event(url="http://x/\udcff", value=None, body=Body(text="plain"))
    made = cassette_format.load(
        Redactor().dump(cassette(odd, event(value=None, body=json_body({"token": "hunter2x"}))), cassette_format.dump)
    )
    assert made.events[0].result.body == Body(text="plain")
    assert "hunter2x" not in str(made)
