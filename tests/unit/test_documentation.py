"""README and docs keep their word: blocks run, links lead somewhere, every variable is documented with its default."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from tests.documents import BLOCKS, DOCUMENTS, ROOT, Block
from timetracer import environment_variables
from timetracer.config import TraceConfig

PYTHON = [block for block in BLOCKS if block.language == "python"]
BASH = [block for block in BLOCKS if block.language == "bash"]
LANGUAGES = {"python", "bash", "text", "json", "toml", "ini", "yaml"}
OPTION = re.compile(r"e2e|file=[\w./-]+")
ROW = re.compile(r"^\| `(TIMETRACER_\w+)` \|([^|]*)\|([^|]*)\|$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def _name(block: Block) -> str:
    return block.name


def test_blocks_follow_the_convention() -> None:
    """A block that no test understands would run nowhere."""
    assert PYTHON
    assert BASH
    assert not [block.name for block in BLOCKS if block.language not in LANGUAGES]
    assert not [block.name for block in BLOCKS for option in block.options if not OPTION.fullmatch(option)]


@pytest.mark.parametrize("block", PYTHON, ids=_name)
def test_python_compiles(block: Block) -> None:
    """Also what only the end-to-end tests run."""
    compile("\n" * (block.line - 1) + block.code, block.document, "exec")


@pytest.mark.parametrize("block", [block for block in PYTHON if not block.e2e], ids=_name)
def test_python_runs(block: Block, tmp_path: Path) -> None:
    """Each block stands alone: a new interpreter, an empty folder, warnings as errors."""
    script = tmp_path / (block.file or "example.py")
    script.write_text(block.code)
    command = [sys.executable, "-W", "error", script.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", BASH, ids=_name)
def test_bash_parses(block: Block) -> None:
    """The end-to-end tests run them; here a missing quote is found."""
    done = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _anchors(document: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Files and headings that are linked to exist."""
    for link in LINK.findall(document.read_text()):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.is_file(), link
        assert not anchor or anchor in _anchors(target), link


def _shown(value: object) -> str:
    match value:
        case None | ():
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`{','.join(value)}`"
        case _:
            return f"`{value}`"


def test_every_variable_is_documented_once_with_its_default() -> None:
    """docs/configuration.md has a row for each variable, and none for others."""
    rows = ROW.findall((ROOT / "docs" / "configuration.md").read_text())
    names = [name for name, _, _ in rows]
    assert sorted(names) == sorted(name for name in vars(environment_variables) if name.startswith("TIMETRACER_"))
    defaults = {item.metadata["variable"]: item.default for item in fields(TraceConfig) if item.metadata}
    assert {name: default.strip() for name, default, _ in rows} == {name: _shown(defaults.get(name)) for name in names}
    assert all(meaning.strip() for _, _, meaning in rows)


def test_the_first_commands_of_the_readme_are_those_that_ci_runs() -> None:
    """Two commands on a machine with nothing but Python: they are promised word for word."""
    commands = [block.code.strip() for block in BASH if block.document.name == "README.md"][:2]
    venv = "python3 -m venv .venv && .venv/bin/pip install -q -e"
    assert commands == [f'{venv} ".[all]" && .venv/bin/timetracer demo', f'{venv} ".[test]" && .venv/bin/pytest']
