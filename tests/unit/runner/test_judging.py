"""What a replay comes to, what an update writes, and which values no report shows."""

from __future__ import annotations

from pathlib import Path

from tests.unit.runner.recordings import ROOT, event, recorded
from timetracer.cassette import bodies
from timetracer.cassette.encryption import new_key
from timetracer.cassette.model import Cassette, Match, Trace
from timetracer.cassette.store import read_cassette, write_cassette
from timetracer.config import TraceConfig
from timetracer.runner.judging import Judge
from timetracer.runner.questions import Answer
from timetracer.runtime.pipeline import Pipeline
from timetracer.runtime.secrets import Secrets

SECRET = "correct-horse-battery-7431"


def outcome(*matches: Match, root: str = ROOT) -> Cassette:
    """What a replay yielded."""
    return Cassette(trace=Trace(trace_id="", root_id=root), replay=[*matches])


def test_a_replay_whose_outcome_did_not_come_back_has_failed(tmp_path: Path) -> None:
    """As has one that another cassette answered, or none."""
    judge, path, cassette = Judge(TraceConfig()), tmp_path / "x.json", recorded(body=b"x")
    write_cassette(cassette, path)
    answer = Answer(200, "OK", (), b"x")
    assert judge.judge(path, cassette, answer, outcome()).outcome == "matched"
    found = [judge.judge(path, cassette, answer, each) for each in (None, outcome(root=""), outcome(root="5"))]
    assert [(each.outcome, (each.error or "")[:15]) for each in found] == [
        ("failed", "its calls are n"), ("failed", "no cassette ans"), ("failed", "another cassett"),
    ]  # fmt: skip
    nothing = judge.judge(path, cassette, Answer(error=ConnectionError("gone")), None)
    assert (nothing.outcome, nothing.error) == ("failed", "no answer: ConnectionError: gone")


def test_an_update_drops_what_is_not_asked_and_counts_anew(tmp_path: Path) -> None:
    """The answer is the new one, but for what the server adds; a cassette that lacks something is left alone."""
    path = tmp_path / "x.json"
    cassette = recorded(body=b"old", headers=(("Date", "then"), ("X-A", "1")), events=(event(0), event(1), event(2)))
    write_cassette(cassette, path)
    judge = Judge(TraceConfig(), update=True)
    answer = Answer(201, "Made", (("X-A", "2"), ("Server", "s")), b"new")
    used = [Match(lib="httpx", method="GET", url="", eid=eid, step="exact") for eid in (0, 2)]
    miss = Match(lib="", method="", url="httpx GET z", reason="no match")
    before = path.read_bytes()
    left = judge.judge(path, judge.read(path), answer, outcome(*used, miss))
    assert (left.outcome, left.updated, path.read_bytes()) == ("changed", False, before)
    assert left.notes[-1].startswith("not updated: it asks for what was never recorded")
    done = judge.judge(path, judge.read(path), answer, outcome(*used))
    assert (done.outcome, done.updated) == ("matched", True)
    inbound = read_cassette(path).inbound
    assert inbound is not None
    assert inbound.result.body is not None
    assert (inbound.result.status, inbound.result.headers) == (201, [("X-A", "2"), ("Date", "then")])
    assert b"".join(bodies.unpack(inbound.result.body)) == b"new"
    assert [each.eid for each in read_cassette(path).events] == [0, 1]


def test_sealed_values_stay_out_of_reports_and_sealed_after_an_update(tmp_path: Path) -> None:
    """The replay has them open; the finding says that something was there."""
    config = TraceConfig(mode="record", secrets="seal", encryption_key=new_key())
    path = tmp_path / "x.json"
    body = f'{{"password": "{SECRET}", "n": 1}}'.encode()
    Pipeline(config).save(recorded(body=body), path)
    assert SECRET not in path.read_text()
    plain = config.with_settings({"secrets": "redact", "mode": "off"})
    judge = Judge(plain)
    cassette = judge.read(path)
    answer = Answer(200, "OK", (), f'{{"password": "{SECRET}!", "n": 2}}'.encode())
    finding = judge.judge(path, cassette, answer, outcome())
    told = {each.where: (each.recorded, each.replayed) for each in finding.answer}
    assert told == {"body $.password": ('"(sealed)"', '"(sealed)!"'), "body $.n": ("1", "2")}
    Judge(plain, update=True).judge(path, judge.read(path), Answer(200, "OK", (), body), outcome(root=ROOT))
    again = Judge(plain, update=True)
    assert again.judge(path, again.read(path), answer, outcome()).updated
    assert SECRET not in path.read_text()
    assert SECRET in read_cassette(path, transform=Secrets(plain).opened).inbound.result.body.json["password"]  # type: ignore[union-attr]
