"""Makes a finding of one replay: what was recorded, what came back, and what the replaying process says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timetracer.cassette import store
from timetracer.cassette.model import Cassette, Inbound
from timetracer.config import TraceConfig
from timetracer.engine.selection import name_of
from timetracer.errors import CassetteError
from timetracer.runner import answers, calls, updating
from timetracer.runner.findings import Finding
from timetracer.runner.hiding import hidden
from timetracer.runner.likeness import Likeness
from timetracer.runner.plan import title
from timetracer.runner.questions import Answer
from timetracer.runtime import secret_checks
from timetracer.runtime.secrets import Secrets

_SPARE_SECONDS = 1.0


class Judge:
    """Compares, and with `update` rewrites what a cassette says of the answer.

    Args:
        ignored: fields that are left out.
        update: whether cassettes are rewritten.
    """

    def __init__(self, config: TraceConfig, *, ignored: Sequence[str] = (), update: bool = False) -> None:
        self._config, self._ignored, self._update = config, tuple(ignored), update
        self._secrets = Secrets(config)

    def read(self, path: Path) -> Cassette:
        """Reads a cassette.

        Raises:
            CassetteError: it cannot be read.
        """
        return store.read_cassette(path, transform=self._secrets.opened)

    def judge(self, path: Path, recorded: Cassette, answer: Answer, outcome: Cassette | None) -> Finding:
        """Compares one replay with its cassette.

        Args:
            outcome: what the replaying process yielded; None if it did not come back.
        """
        finding = Finding(name_of(path), title(recorded))
        inbound = recorded.inbound
        if inbound is None or (answer.status is None and outcome is None):
            finding.outcome, finding.error = "failed", f"no answer: {_told(answer.error)}"
            return finding
        seconds = (recorded.trace.duration_ms or 0.0) / 1000 + _SPARE_SECONDS
        likeness = Likeness(self._ignored, recorded.replacements, seconds)
        finding.answer = answers.differences(inbound, answer, likeness)
        if outcome is None:
            finding.error = "its calls are not known: the replay did not come to its end in time"
        elif outcome.trace.root_id != recorded.trace.root_id:
            other = "another cassette" if outcome.trace.root_id else "no cassette"
            finding.error = f"{other} answered: does the server replay this one?"
        else:
            finding.matched = sum(match.eid is not None for match in outcome.replay)
            finding.calls = calls.differences(recorded, outcome)
            finding.spans = calls.span_differences(recorded, outcome)
            _fold(finding, inbound, answer)
        if inbound.incomplete:
            finding.notes.append(f"not recorded in full, compared as far as it was: {inbound.incomplete}")
        if finding.error is not None:
            finding.outcome = "failed"
        elif finding.answer or finding.calls:
            finding.outcome = "changed"
        if finding.calls:
            finding.tree = calls.tree(recorded, finding.calls)
        lost = secret_checks.note(recorded, matched=finding.outcome == "matched")
        if lost is not None:
            finding.notes.append(lost)
        if self._update and finding.outcome == "changed":
            self._rewrite(path, finding, answer)
        return finding if finding.outcome == "matched" else hidden(finding, path, self._secrets)

    def _rewrite(self, path: Path, finding: Finding, answer: Answer) -> None:
        unanswered = [call for call in finding.calls if call.kind in ("changed", "extra")]
        if unanswered or answer.status is None:
            finding.notes.append("not updated: it asks for what was never recorded; record it again")
            return
        unused = {call.eid for call in finding.calls if call.eid is not None}
        try:
            updating.update(path, self._config, answer, unused)
        except CassetteError as error:
            finding.notes.append(f"not updated: {error}")
            return
        finding.updated, finding.outcome = True, "matched"


def _fold(finding: Finding, inbound: Inbound, answer: Answer) -> None:
    """Leaves of an answer that failed on an unanswered call nothing but its status: the rest says no more."""
    unanswered = any(call.kind in ("changed", "extra") for call in finding.calls)
    failed = answer.error is not None or (answer.status or 0) >= 500
    if unanswered and failed and (inbound.result.status or 0) < 500 and len(finding.answer) > 1:
        finding.answer = [each for each in finding.answer if each.where == "status"]
        finding.notes.append("headers and body are not compared: the application failed on a call that found no answer")


def _told(error: BaseException | None) -> str:
    return "nothing came back" if error is None else f"{type(error).__name__}: {error}"
