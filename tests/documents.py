"""The code blocks of README and docs, as data: what they say, where they stand, and how they are to be run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(?P<info>\w[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, and the words after it (`file=NAME`, `e2e`)."""

    document: Path
    line: int  # of the first line of code
    language: str
    options: tuple[str, ...]
    code: str

    @property
    def name(self) -> str:
        """The block's place, for test ids and tracebacks."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file whose content this is."""
        return next((option.removeprefix("file=") for option in self.options if option.startswith("file=")), None)

    @property
    def e2e(self) -> bool:
        """Whether it needs servers or a launcher, so that only the end-to-end tests run it."""
        return "e2e" in self.options or self.language == "bash"


def blocks(document: Path) -> list[Block]:
    """Returns the blocks of one document in order."""
    text = document.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        language, *options = match["info"].split()
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Block(document, line, language, tuple(options), match["code"]))
    return found


BLOCKS = tuple(block for document in DOCUMENTS for block in blocks(document))
