"""`timetracer.cli.terminal`: nothing that a terminal obeys gets through."""

from __future__ import annotations

import json
import unicodedata

import pytest

from timetracer.cli import terminal


def test_no_control_or_direction_character_survives() -> None:
    """Every C0, C1, bidirectional and invisible character of Unicode is escaped; joiners that make letters stay."""
    joiners = {"\u200c", "\u200d"}
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        ):  # fmt: skip
            assert character not in terminal.safe(f"a{character}b"), hex(code)
            if character != "\n":
                assert character not in terminal.safe(f"a{character}b", lines=True), hex(code)
        elif unicodedata.category(character) in ("Lu", "Ll", "Nd") or character in joiners:
            assert terminal.safe(character) == character


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b", "\\x9b"),
        ("a\r\nb", "a\\r\\nb"),
        ("\u202e", "\\u202e"),
        ("\U000e0041", "\\U000e0041"),
        ("\udc80", "\\udc80"),
        ("[red]ä 日本[/red]", "[red]ä 日本[/red]"),
    ],
)
def test_an_escape_says_which_character_it_was(text: str, shown: str) -> None:
    """As Python writes it."""
    assert terminal.safe(text) == shown


def test_lines_keep_their_ends_alone() -> None:
    """Text of several lines, such as a traceback, stays readable."""
    assert terminal.safe("a\r\n\tb\rc\x1b", lines=True) == "a\n    b\\rc\\x1b"


def test_json_is_ascii_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON escapes what a terminal obeys, and says the same."""
    value = {"key\x1b": "\x00\x1b[31m\x7f\x9b\u202e\udc80ä"}
    terminal.print_json(value)
    printed = capsys.readouterr().out
    assert all(character == "\n" or " " <= character <= "~" for character in printed)
    assert json.loads(printed) == value


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KB"), (5 << 20, "5.0 MB"), (3 << 30, "3.0 GB")]
)
def test_sizes_read_well(count: int, shown: str) -> None:
    """Bytes as people say them."""
    assert terminal.size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, ""), (0.04, "0.0 ms"), (999.94, "999.9 ms"), (1500, "1.50 s"), (61_000, "1 min 1 s")]
)
def test_durations_read_well(value: float | None, shown: str) -> None:
    """Milliseconds as people say them."""
    assert terminal.milliseconds(value) == shown
