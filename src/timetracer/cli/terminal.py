"""What reaches the terminal: text from cassettes made harmless, tables and JSON, plain where no terminal is.

A recorded value may hold escape sequences that move the cursor, retitle the window or turn text around. Everything is
shown through `safe`, and no markup is ever read from text.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 100_000  # columns, where no terminal wraps
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, or turns text around
    "\U000e0000-\U000e0fff"  # tags
    "\ud800-\udfff]"  # half a character
)
_HARMFUL_IN_LINES = re.compile(_HARMFUL.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in _SHORT:
        return _SHORT[match[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe(text: object, *, lines: bool = False) -> str:
    """Returns text without anything that a terminal would obey, each such character shown by its escape.

    Args:
        text: anything; `str` is taken of it.
        lines: newlines stay, and tabs become spaces.
    """
    if lines:
        return _HARMFUL_IN_LINES.sub(_escape, str(text).expandtabs(4).replace("\r\n", "\n"))
    return _HARMFUL.sub(_escape, str(text))


def shortened(text: str, limit: int) -> str:
    """Returns text of at most `limit` characters, cut at its end."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def styled(text: object, style: str = "") -> Text:
    """Returns text for rich that is harmless and read as no markup."""
    return Text(safe(text), style=style)


def console(*, error: bool = False) -> Console:
    """Returns where to print: coloured and as wide as the terminal, or plain and never cut."""
    stream = sys.stderr if error else sys.stdout
    made = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(
            file=stream, highlight=False, markup=False, emoji=False, width=_UNBOUNDED, color_system=None, no_color=True
        )
    return made


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Returns an empty table with these headings; those in `right` hold numbers."""
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", no_wrap=name in right, overflow="fold")
    return made


def print_table(made: Table) -> None:
    """Prints a table; without a terminal, its columns alone."""
    out = console()
    if out.is_terminal:
        out.print(made)
        return
    made.box = None
    with out.capture() as captured:
        out.print(made)
    print_lines(line.rstrip() for line in captured.get().splitlines())


def print_lines(lines: Any) -> None:
    """Prints harmless lines as they are."""
    for line in lines:
        sys.stdout.write(line + "\n")


def print_json(value: object) -> None:
    """Prints a value as JSON in ASCII, so that nothing in it acts on a terminal."""
    text = json.dumps(value, indent=2, ensure_ascii=True, default=str)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")


def print_error(text: str) -> None:
    """Prints what went wrong to standard error."""
    console(error=True).print(Text.assemble(("timetracer: ", "bold red"), safe(text, lines=True)), soft_wrap=True)


def of_file(path: str, problem: str) -> str:
    """Returns a problem with the file that has it, which most of them name already."""
    return problem if problem.startswith(path) else f"{path}: {problem}"


def milliseconds(value: float | None) -> str:
    """Returns a duration as people read it."""
    if value is None:
        return ""
    if value >= 60_000:
        return f"{int(value // 60_000)} min {value % 60_000 / 1000:.0f} s"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"


def size(count: int) -> str:
    """Returns a number of bytes as people read it."""
    amount = float(count)
    for unit in ("B", "KB", "MB"):
        if amount < 1024:
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"
