"""The reports: valid, complete, and harmless whatever recorded text says."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from timetracer.runner import html, junit, wording
from timetracer.runner.findings import Call, Difference, Finding, Line

EVIL = "</style><script>alert(1)</script><img src=x onerror=y>\"'&\x00\x1b[31m\u202e\ud800\ufffe]]>"
STARTED = "2026-01-31T12:00:00"


def findings() -> list[Finding]:
    """One of each outcome, recorded text in every place."""
    call = Call("changed", EVIL, 3, span=EVIL, reason="no match", differences=[EVIL])
    answer = [Difference(f"header {EVIL}", EVIL, None), Difference("status", "200", "500")]
    changed = Finding(
        EVIL, EVIL, "changed", 2, answer, [call], tree=[Line(0, EVIL), Line(1, EVIL, "changed")], notes=[EVIL]
    )
    return [
        Finding("a.json", "GET /a", duration_ms=1500.0),
        changed,
        Finding("c.json", "GET /c", "failed", error=EVIL),
        Finding("d.json", "RUN d", "skipped", notes=["task.run is no HTTP request"]),
    ]


class Tags(HTMLParser):
    """Collects every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_html_loads_and_runs_nothing(tmp_path: Path) -> None:
    """No tag comes from recorded text, and the policy allows the one style sheet by its hash and nothing else."""
    file = tmp_path / "made" / "report.html"
    html.write(file, findings(), [(Path("bad.json"), EVIL)], started=STARTED)
    text = file.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert not {"script", "img", "link", "iframe", "a"} & {tag for tag, _ in tags.found}
    assert not [
        name for _, attrs in tags.found for name in attrs if name in ("src", "href", "style") or name[:2] == "on"
    ]
    policy = next(attrs["content"] for tag, attrs in tags.found if attrs.get("http-equiv"))
    style = re.search("<style>(.*?)</style>", text, re.S)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search("[\x00\x1b\u202e\ufffe]", text)
    assert "4 cassettes: 1 matched, 1 changed, 1 failed, 1 skipped" in text


def test_junit_is_what_ants_schema_wants(tmp_path: Path) -> None:
    """Counts, the attributes that are required, and one child at most in each test case."""
    file = tmp_path / "report.xml"
    junit.write(file, findings(), [(Path("bad.json"), EVIL)], started=STARTED)
    (suite,) = ElementTree.parse(file).getroot()
    wanted = {"tests": "5", "failures": "1", "errors": "2", "skipped": "1", "time": "1.500", "timestamp": STARTED}
    assert {name: suite.get(name) for name in wanted} == wanted
    assert {"name", "hostname", "id", "package"} < set(suite.keys())
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 5, "system-out", "system-err"]
    cases = suite.findall("testcase")
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["error"], ["skipped"], ["error"]]
    assert all(set(case.keys()) == {"classname", "name", "time"} for case in cases)
    assert all(inner.get("type") for case in cases for inner in case if inner.tag != "skipped")


def test_calls_come_before_the_answer_that_follows_from_them() -> None:
    """And those that were not reached are counted on one line."""
    unreached = [Call("unreached", f"httpx GET /{n}", n) for n in range(4)]
    found = Finding(
        "a.json", "GET /a", "changed", answer=[Difference("status", "200", "500")],
        calls=[Call("missing", "redis GET k", 1, span="GET /a"), *unreached],
    )  # fmt: skip
    assert wording.lines(found) == [
        "missing call: redis GET k (event 1, in GET /a)",
        "not reached after that: 4 recorded calls (httpx GET /0, httpx GET /1, httpx GET /2, …)",
        "status: recorded 200, now 500",
    ]
