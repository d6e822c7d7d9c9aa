"""How every report says what became of a cassette: a few plain lines, and recorded text made harmless."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from timetracer.runner.findings import Call, Difference, Finding

_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""No terminal, XML parser or browser is to obey recorded text: controls, half characters, what turns text around."""

_HEADS = {"changed": "changed call", "missing": "missing call", "extra": "extra call", "unreached": "not reached"}


def harmless(text: str) -> str:
    """Returns text in which every character that something might obey is shown by its escape; newlines stay."""
    return _HARMFUL.sub(lambda found: ascii(found[0])[1:-1], text)


def difference(found: Difference) -> str:
    """Returns one difference on one line."""
    if found.recorded is None and found.replayed is None:
        return found.where
    if found.replayed is None:
        return f"{found.where}: recorded {found.recorded}, now absent"
    if found.recorded is None:
        return f"{found.where}: not recorded, now {found.replayed}"
    return f"{found.where}: recorded {found.recorded}, now {found.replayed}"


def call(found: Call) -> list[str]:
    """Returns a call and what differs, a line each."""
    place = [f"event {found.eid}"] if found.eid is not None else []
    place += [f"in {found.span}"] if found.span else []
    place += [found.reason] if found.reason and found.kind == "extra" else []
    about = f" ({', '.join(place)})" if place else ""
    return [f"{_HEADS[found.kind]}: {found.name}{about}", *(f"  {line}" for line in found.differences)]


def lines(finding: Finding) -> list[str]:
    """Returns all that is to be said of a cassette that did not match; calls first: the answer follows from them."""
    said = [finding.error] if finding.error else []
    unreached = [found for found in finding.calls if found.kind == "unreached"]
    for found in finding.calls:
        if found.kind != "unreached":
            said += call(found)
    if unreached:
        few = ", ".join(found.name for found in unreached[:3]) + (", …" if len(unreached) > 3 else "")
        said.append(f"not reached after that: {len(unreached)} recorded {plural('call', len(unreached))} ({few})")
    said += [difference(found) for found in finding.answer]
    if finding.calls or finding.answer:
        said += [difference(found) for found in finding.spans[:5]]
    return [harmless(line) for line in [*said, *finding.notes]]


def plural(word: str, count: int) -> str:
    """Returns a word as its number wants it."""
    return word if count == 1 else f"{word}s"


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Returns how many cassettes there are of each outcome."""
    made = {"matched": 0, "changed": 0, "failed": 0, "skipped": 0}
    for finding in findings:
        made[finding.outcome] += 1
    return made


def summary(findings: Sequence[Finding]) -> str:
    """Returns the whole run on one line."""
    made = counts(findings)
    parts = [f"{count} {name}" for name, count in made.items() if count]
    updated = sum(finding.updated for finding in findings)
    tail = f" ({updated} updated)" if updated else ""
    return f"{len(findings)} {plural('cassette', len(findings))}: {', '.join(parts) or 'nothing to replay'}{tail}"
