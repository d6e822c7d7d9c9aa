"""A login and a form with a CSRF token: sealed they replay in full, and nothing written anywhere holds a secret."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.e2e.serving import BIN, Answer, Asked, ask, finished
from tests.e2e.shopping import GUNICORN, PYTHON, UVICORN, Shop, comparable
from tests.e2e.test_collector import exporting
from tests.services import Collector

KEY = base64.b64encode(bytes(range(32))).decode()
PASSWORD = "correct horse/7431+battery"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MAKE_USER = f"""
from django.contrib.auth.models import User
User.objects.create_user("ada", password={PASSWORD!r})
"""


@dataclass
class Browser:
    """Asks as a browser does: it keeps cookies, and remembers what it asked and got."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
        """Asks and keeps the cookies that were set."""
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = urlencode(form).encode() if form is not None else None
        question = Asked(method, path, body, headers | (FORM if form is not None else {}))
        answer = ask(self.port, question)
        for cookie in answer.header("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        self.asked.append(question)
        self.answers.append(answer)
        return answer

    def story(self) -> list[str]:
        """Signs in with a token and fills in a form; returns every secret on the way."""
        token = json.loads(self.ask("GET", "/form/").body)["csrf"]
        signed = self.ask("POST", "/login/", {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token})
        assert json.loads(signed.body) == {"user": "ada"}, signed
        assert json.loads(self.ask("GET", "/whoami/").body)["user"] == "ada"
        second = json.loads(self.ask("GET", "/form/").body)["csrf"]
        took = self.ask("POST", "/form/", {"note": "a note", "csrfmiddlewaretoken": second})
        assert took.status == 200, took
        header = self.ask("POST", "/form/", {"note": "by header"}, **{"X-CSRFToken": second})
        assert header.status == 200, header
        return [PASSWORD, token, second, *self.cookies.values()]


def spellings(secret: str) -> set[bytes]:
    """Returns how a secret may be written: raw, in base64 at any offset, URL-encoded, in JSON."""
    raw = secret.encode()
    found = {raw, quote(secret).encode(), quote(secret, safe="").encode(), urlencode({"": secret})[1:].encode()}
    found |= {json.dumps(secret)[1:-1].encode(), raw.hex().encode()}
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        found.add(coded[(offset * 8 + 5) // 6 : -1])
        found.add(base64.urlsafe_b64encode(b"\0" * offset + raw).rstrip(b"=")[(offset * 8 + 5) // 6 : -1])
    return found


def without_expiry(answer: Answer) -> Answer:
    """Returns an answer whose cookies do not say when they expire."""
    headers = tuple((name, re.sub(r"expires=[^;]*", "", value)) for name, value in answer.headers)
    return Answer(answer.status, headers, answer.body)


def leaks(folder: Path, exported: str, secrets: list[str]) -> list[str]:
    """Returns where any secret is found: cassettes, logs, what was exported."""
    places = {
        path.name: path.read_bytes()
        for path in [*folder.rglob("*.json"), *folder.rglob("*.body"), *folder.rglob("*.log")]
    }
    places["what was exported"] = exported.encode()
    assert len(places) > 6
    return [
        f"{place}: {spelling!r}"
        for place, data in places.items()
        for secret in secrets
        for spelling in spellings(secret)
        if spelling in data
    ]


@pytest.fixture(params=["django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cache"])
def sessions(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where Django keeps sessions."""
    return {"SHOP_SESSIONS": request.param}


@pytest.fixture
def ada(shop: Shop) -> Shop:
    """The shop with a user."""
    done = finished([PYTHON, "manage.py", "shell", "-c", MAKE_USER], folder=shop.project, env=shop.env)
    assert done.returncode == 0, done.stderr
    return shop


def replayed(shop: Shop, browser: Browser, command: list[str], **more: str) -> list[Answer]:
    """Asks a fresh process the recorded questions in their order."""
    with shop.serving("replay", command, **more) as app:
        return [ask(app.port, question) for question in browser.asked]


@pytest.mark.parametrize("command", [pytest.param(GUNICORN, id="gunicorn"), pytest.param(UVICORN, id="uvicorn")])
def test_a_sealed_login_replays_in_full(
    command: list[str], sessions: dict[str, str], ada: Shop, collector: Collector, tmp_path: Path
) -> None:
    """Sealed with a key, the login and the form work again; nothing written holds a password, session key or token."""
    more = sessions | {
        "TIMETRACER_SECRETS": "seal",
        "TIMETRACER_ENCRYPTION_KEY": KEY,
        "TIMETRACER_EXPORT_PAYLOADS": "1",
    }
    live, again = exporting(collector, f"live-{ada.port}"), exporting(collector, f"again-{ada.port}")
    with ada.serving("record", command, **more, **live) as app:
        browser = Browser(app.port)
        secrets = browser.story()
    ada.take_all_away()
    answers = replayed(ada, browser, command, **more, **again)
    for question, first, second in zip(browser.asked, browser.answers, answers, strict=True):
        # the clock of a replay runs from the recorded start: a cookie may expire a second sooner, for replay is faster
        first, second = without_expiry(first), without_expiry(second)
        said = f"{question.method} {question.path}\n  live: {first}\n  replay: {second}\n{ada.log('replay')}"
        assert comparable(second) == comparable(first), said
    assert leaks(tmp_path, collector.text(), secrets) == []


def test_without_its_key_the_report_names_the_check(sessions: dict[str, str], ada: Shop) -> None:
    """A sealed login replayed without the key fails, and what is said names the check that cannot pass and the key."""
    more = sessions | {"TIMETRACER_SECRETS": "seal", "TIMETRACER_ENCRYPTION_KEY": KEY}
    with ada.serving("record", GUNICORN, **more) as app:
        browser = Browser(app.port)
        browser.story()
    ada.take_all_away()
    answers = replayed(ada, browser, GUNICORN, **sessions)
    assert [answer.status for answer in answers] != [answer.status for answer in browser.answers]
    said = ada.log("replay")
    assert "TIMETRACER_ENCRYPTION_KEY" in said
    assert re.search(r"sealed", said)
    assert re.search(r"password|login|CSRF|session", said, re.IGNORECASE)


def test_a_redacted_login_leaves_nothing(
    sessions: dict[str, str], ada: Shop, collector: Collector, tmp_path: Path
) -> None:
    """As it comes, secrets are replaced for good: the app worked, and nothing written holds any of them."""
    more = sessions | exporting(collector, f"redacted-{ada.port}") | {"TIMETRACER_EXPORT_PAYLOADS": "true"}
    with ada.serving("record", GUNICORN, **more) as app:
        secrets = Browser(app.port).story()
    assert len(ada.recorded()) == 6
    assert leaks(tmp_path, collector.text(), secrets) == []


def test_a_redacted_login_is_said_to_be_one_that_cannot_pass(ada: Shop) -> None:
    """A login that succeeded and one that failed: in a replay neither password fits, and both reports say why."""
    with ada.serving("record", GUNICORN) as app:
        browser, wrong = Browser(app.port), Browser(app.port)
        browser.story()
        token = json.loads(wrong.ask("GET", "/form/").body)["csrf"]
        failed = wrong.ask(
            "POST", "/login/", {"username": "ada", "password": "a-wrong-one-8", "csrfmiddlewaretoken": token}
        )
        assert failed.status == 403
    ada.take_all_away()
    assert [answer.status for answer in replayed(ada, browser, GUNICORN)][1] == 403
    said = re.findall("is redacted: these checks cannot pass: (.*)", ada.log("replay"))
    expected = "a login (password), a session (sessionid); to replay them, record with TIMETRACER_SECRETS=seal"
    assert set(said) == {expected}, ada.log("replay")
    command = [str(BIN / "timetracer"), "replay", str(ada.cassettes), "--json", "--app", "shop.wsgi:application"]
    done = finished(command, folder=ada.project, env=ada.env, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    findings = json.loads(done.stdout)["cassettes"]
    notes = {(each["name"], each["outcome"]): each["notes"] for each in findings}
    lost = "redacted, so that these checks cannot pass: {}; record with TIMETRACER_SECRETS=seal"
    assert notes["POST /login/", "changed"] == [lost.format("a login (password)")]
    assert notes["POST /login/", "matched"] == [lost.format("a login (password)")]
    assert notes["GET /whoami/", "changed"] == [lost.format("a session (sessionid)")]
    assert notes["GET /form/", "matched"] == []
    printed = finished([part for part in command if part != "--json"], folder=ada.project, env=ada.env, timeout=120)
    assert printed.stdout.count("a login (password)") == 2, printed.stdout
