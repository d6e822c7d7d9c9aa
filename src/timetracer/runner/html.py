"""The HTML report: one file that loads nothing and runs nothing, whatever recorded text says."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from timetracer.runner import wording
from timetracer.runner.findings import Call, Difference, Finding, Line

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --soft: #6e7781; --warn: #9a6700 }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #ff7b72; --soft: #8b949e; --warn: #d29922 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } .sum { color: var(--soft); margin: .2rem 0 1.5rem }
details, .one { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } summary, .one { overflow-wrap: anywhere }
.tag { display: inline-block; min-width: 5.5rem; font-weight: 600 }
.matched { color: var(--good) } .changed, .failed, .missing, .extra { color: var(--bad) }
.skipped, .unreached, .note { color: var(--warn) } .file { color: var(--soft); font-size: .85em }
code, .tree, td { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap }
h2 { font-size: 1rem; margin: 1rem 0 .3rem } ul { margin: 0; padding-left: 1.2rem }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; text-align: left; vertical-align: top }
th { font-weight: 600; font-size: .85em } .tree { margin: 0 } .span { font-weight: 600 }
"""

_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"

_UNFOLDED = 10
"""So many cassettes that did not match are shown unfolded."""

_MARKS = {"matched": "=", "changed": "≠", "missing": "-", "extra": "+", "unreached": "·"}


def write(file: Path, findings: Sequence[Finding], bad: Sequence[tuple[Path, str]], *, started: str) -> None:
    """Writes the report; what did not match comes first."""
    order = {"failed": 0, "changed": 1, "skipped": 2, "matched": 3}
    ordered = sorted(findings, key=lambda finding: order[finding.outcome])
    unlike = sum(finding.outcome in ("failed", "changed") for finding in findings)
    parts = [
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>",
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">',
        "<meta name=viewport content='width=device-width'><meta name=referrer content=no-referrer>",
        f"<title>timetracer replay</title><style>{_STYLE}</style></head><body><h1>timetracer replay</h1>",
        f"<p class=sum>{_text(wording.summary(findings))} · {_text(started)}</p>",
        *(_broken(path, error) for path, error in bad),
        *(_finding(each, unfolded=unlike <= _UNFOLDED) for each in ordered),
        "</body></html>\n",
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(parts), encoding="utf-8")


def _text(text: str) -> str:
    return escape(wording.harmless(text))


def _broken(path: Path, error: str) -> str:
    return f"<div class=one><span class='tag failed'>unreadable</span> {_text(str(path))}<br>{_text(error)}</div>"


def _finding(finding: Finding, *, unfolded: bool) -> str:
    outcome = "updated" if finding.updated else finding.outcome
    head = (
        f"<span class='tag {finding.outcome}'>{outcome}</span> {_text(finding.name)} "
        f"<span class=file>{_text(finding.file)} · {finding.duration_ms:.0f} ms</span>"
    )
    inside = "\n".join(_parts(finding))
    if not inside:
        return f"<div class=one>{head}</div>"
    return f"<details{' open' if unfolded else ''}><summary>{head}</summary>{inside}</details>"


def _parts(finding: Finding) -> Iterator[str]:
    if finding.error:
        yield f"<p class=failed>{_text(finding.error)}</p>"
    if finding.calls:
        yield "<h2>Calls</h2><ul>" + "".join(map(_call, finding.calls)) + "</ul>"
    if finding.answer:
        yield "<h2>Answer</h2>" + _table(finding.answer)
    if finding.tree:
        yield "<h2>Span tree</h2><pre class=tree>" + "\n".join(map(_line, finding.tree)) + "</pre>"
    if finding.spans:
        yield "<h2>Spans</h2>" + _table(finding.spans)
    for note in finding.notes:
        yield f"<p class=note>{_text(note)}</p>"


def _call(found: Call) -> str:
    first, *rest = wording.call(found)
    told = "".join(f"<br><code>{_text(line.strip())}</code>" for line in rest)
    return f"<li><span class={found.kind}>{_text(first)}</span>{told}</li>"


def _table(differences: Sequence[Difference]) -> str:
    rows = "".join(
        f"<tr><td>{_text(each.where)}</td><td>{_side(each.recorded)}</td><td>{_side(each.replayed)}</td></tr>"
        for each in differences
    )
    return f"<table><tr><th>where</th><th>recorded</th><th>now</th></tr>{rows}</table>"


def _side(text: str | None) -> str:
    return "<span class=file>absent</span>" if text is None else _text(text)


def _line(line: Line) -> str:
    indent = "  " * line.depth
    if line.kind is None:
        return f"{indent}<span class=span>{_text(line.text)}</span>"
    return f"{indent}<span class={line.kind}>{_MARKS[line.kind]} {_text(line.text)}</span>"
