"""`timetracer list`, `show` and `validate` on cassettes that were really recorded."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

import timetracer
from tests.unit.cli.cassettes import nasty_server, record_nasty, record_small
from timetracer.cassette.store import find_cassettes
from timetracer.cli import group, main


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one nasty cassette."""
    return record_nasty(tmp_path_factory.mktemp("cassettes") / "nasty.json").parent


def run(*arguments: str) -> Result:
    """Runs a command as a pipe would see it."""
    return CliRunner().invoke(group, list(arguments), obj={}, catch_exceptions=False)


def ends_with(code: int, *arguments: str) -> None:
    """Runs the whole command line, errors included."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code


@pytest.mark.parametrize(
    "arguments", [["list"], ["show"], ["validate"], *(["show", "--event", str(number)] for number in range(9))]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_recorded_acts_on_the_terminal(arguments: list[str], as_json: bool, recorded: Path) -> None:
    """No command prints a control or direction character, in text or JSON, and none reads markup."""
    done = run(arguments[0], str(recorded), *arguments[1:], *(["--json"] if as_json else []))
    assert done.exit_code == 0, done.output
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", done.output)
    if as_json:
        json.loads(done.output)


def test_show_keeps_markup_as_text(recorded: Path) -> None:
    """What looks like rich's markup is what was recorded, so it is shown."""
    assert "[bold red]x[/]" in run("show", str(recorded)).output
    assert "X-Markup: [red]x[/red]" in run("show", str(recorded), "--event", "0").output


def test_show_shortens_and_event_shows_all(recorded: Path) -> None:
    """A huge body is a line in the whole and complete on its own."""
    assert len(run("show", str(recorded)).output) < 6000
    assert "x" * 300_000 in run("show", str(recorded), "--event", "3").output


def test_show_names_errors(recorded: Path) -> None:
    """A refused connection is named on the event's own line."""
    lines = run("show", str(recorded)).output.splitlines()
    assert any("#5 httpx GET http://127.0.0.1:1/  ConnectError: " in line for line in lines)
    assert any("#4 httpx GET" in line and "  500  " in line for line in lines)


def test_show_reads_as_this(tmp_path: Path) -> None:
    """The whole text of a small cassette, what differs from run to run aside."""
    path = record_small(tmp_path / "small.json")
    text = run("show", str(path)).output.replace(str(path), "PATH")
    text = re.sub(r"\d+\.\d (ms|KB)|\d+ B\b", "#", text)
    text = re.sub(r"trace \w+", "trace #", re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", text))
    assert text.splitlines()[:3] == [
        "calls of a process, a script or a test  ok  #",
        "WHEN · trace # · timetracer 2.0.0",
        "PATH (#)",
    ]
    assert "├── #0 sqlite3 SELECT :memory: select 1  #" in text
    assert "│   └── ← 1 row " in text
    assert "└── #1 sqlite3 SELECT :memory: select 'two'  #" in text


def test_an_unknown_event_is_a_usage_error(recorded: Path) -> None:
    """The error says which events there are."""
    done = run("show", str(recorded), "--event", "99")
    assert done.exit_code == 2
    assert "its events are 0 to 8" in done.stderr


def test_list_counts_side_files(recorded: Path) -> None:
    """The size is what deleting the cassette would free."""
    listed = json.loads(run("list", str(recorded), "--json").output)["cassettes"]
    files = [*find_cassettes(recorded), *recorded.glob("*.body")]
    assert [row["bytes"] for row in listed] == [sum(file.stat().st_size for file in files)]
    assert listed[0]["events"] == 9


def test_list_of_failures_leaves_successes_out(recorded: Path) -> None:
    """`--failed` asks for what went wrong only."""
    assert json.loads(run("list", str(recorded), "--failed", "--json").output) == {"cassettes": [], "broken": []}
    assert "no failed cassettes" in run("list", str(recorded), "--failed").output


def test_list_without_a_folder_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been recorded yet: it says how."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIMETRACER_CASSETTE_DIR", raising=False)
    done = run("list")
    assert (done.exit_code, done.output.partition(";")[0]) == (0, "no cassettes in ./cassettes")


def test_a_named_path_that_is_missing_is_a_bad_cassette(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, the path in the message, and as JSON for whoever asked for that."""
    for command in ("list", "show", "validate"):
        ends_with(3, command, str(tmp_path / "none.json"), "--json")
        said = capsys.readouterr()
        assert "none.json" in said.err
        assert json.loads(said.out)["kind"] == "CassetteNotFound"


def test_a_broken_cassette_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    """`list` goes on past what it cannot read, and exits with 3."""
    record_small(tmp_path / "good.json")
    (tmp_path / "bad.json").write_text('{"format": 2, "trace": "\x1b[31m')
    done = run("list", str(tmp_path))
    assert done.exit_code == 3
    assert "good.json" in done.stdout
    assert "bad.json" in done.stderr
    assert "\x1b" not in done.output


def test_validate_knows_volatile_and_sealed_values(tmp_path: Path) -> None:
    """The boundary of a multipart body is drawn anew in each run; what is sealed stays so where nobody has the key."""
    path, secret = tmp_path / "up.json", {"token": "Zk3nP0wq7Lm2Xv9Bt5Rd"}
    with nasty_server() as url, timetracer.record(path, secrets="seal", encryption_key="5f" * 32):
        httpx.post(url, params=secret, files={"doc": ("a.txt", b"text")}, data=secret)
        secrets.token_hex()
    text = path.read_text()
    assert "$volatile" in text
    assert "$sealed" in text
    done = run("validate", str(path))
    assert done.exit_code == 0, done.stderr


def _without_side_file(path: Path) -> None:
    next(path.parent.glob("*.body")).unlink()


def _with_other_side_file(path: Path) -> None:
    next(path.parent.glob("*.body")).write_bytes(b"other")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _newer(path: Path) -> None:
    path.write_text(path.read_text().replace('"format": 2', '"format": 99', 1))


def _edited(change: Any) -> Any:
    def edit(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


def _unknown_value(document: Any) -> None:
    document["events"][7]["result"]["items"] = {"values": [{"$decimal": "many"}]}


def _unknown_class(document: Any) -> None:
    document["events"][5]["result"]["error"]["$error"]["class"] = "no_such_module:Error"


def _unknown_body(document: Any) -> None:
    document["events"][2]["result"]["body"] = {"base64": "*"}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_without_side_file, "missing"),
        (_with_other_side_file, "SHA-256"),
        (_truncated, "broken"),
        (_newer, "format 99"),
        (_edited(_unknown_value), "event 7, rows: "),
        (_edited(_unknown_body), "event 2, body of its answer: "),
    ],
)
def test_validate_names_what_is_broken(spoil: Any, named: str, recorded: Path, tmp_path: Path) -> None:
    """Whatever is broken in a cassette, its place is named and the exit code is 3."""
    folder = tmp_path / "cassettes"
    shutil.copytree(recorded, folder)
    spoil(folder / "nasty.json")
    done = run("validate", str(folder))
    assert done.exit_code == 3
    assert named in done.stderr
    assert done.stderr.count("nasty.json: ") == 1
    found = json.loads(run("validate", str(folder), "--json").output)
    assert (found["valid"], found["checked"]) == (False, 1)
    assert named in "\n".join(found["cassettes"][0]["problems"])
