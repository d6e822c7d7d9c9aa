"""The JUnit report: a test case for each cassette, as Jenkins, GitLab and Ant's schema take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from timetracer.runner import wording
from timetracer.runner.findings import Finding


def write(file: Path, findings: Sequence[Finding], bad: Sequence[tuple[Path, str]], *, started: str) -> None:
    """Writes the report.

    Args:
        bad: cassettes that cannot be read; each is an error.
        started: when the run began, as `2026-01-31T12:00:00`.
    """
    made = wording.counts(findings)
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": "timetracer replay",
            "timestamp": started,
            "hostname": "localhost",
            "tests": str(len(findings) + len(bad)),
            "failures": str(made["changed"]),
            "errors": str(made["failed"] + len(bad)),
            "skipped": str(made["skipped"]),
            "time": f"{sum(finding.duration_ms for finding in findings) / 1000:.3f}",
            "id": "0",
            "package": "timetracer",
        },
    )
    ElementTree.SubElement(suite, "properties")
    for finding in findings:
        _add(suite, finding)
    for path, error in bad:
        case = _case(suite, str(path), path.name, 0.0)
        _inside(case, "error", "the cassette cannot be read", error)
    for name in ("system-out", "system-err"):
        ElementTree.SubElement(suite, name)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _add(suite: ElementTree.Element, finding: Finding) -> None:
    case = _case(suite, finding.file, finding.name, finding.duration_ms)
    said = wording.lines(finding)
    if finding.outcome == "skipped":
        ElementTree.SubElement(case, "skipped", {"message": "; ".join(said)})
    elif finding.outcome != "matched":
        tag = "failure" if finding.outcome == "changed" else "error"
        _inside(case, tag, said[0] if said else finding.outcome, "\n".join(said))


def _case(suite: ElementTree.Element, file: str, name: str, milliseconds: float) -> ElementTree.Element:
    about = {"classname": wording.harmless(file), "name": wording.harmless(name), "time": f"{milliseconds / 1000:.3f}"}
    return ElementTree.SubElement(suite, "testcase", about)


def _inside(case: ElementTree.Element, tag: str, message: str, text: str) -> None:
    inner = ElementTree.SubElement(case, tag, {"message": wording.harmless(message), "type": "replay"})
    inner.text = wording.harmless(text)
