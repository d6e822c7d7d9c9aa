"""Keys are read in every spelling, and what is sealed opens with its key alone."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest

from timetracer.cassette.encryption import (
    new_key,
    parse_key,
    read_key,
    seal_bytes,
    seal_text,
    seal_value,
    sealed,
    unseal,
    unseal_bytes,
)
from timetracer.errors import CassetteLocked, ConfigError

KEY = bytes(range(32))


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.urlsafe_b64encode(KEY).decode(),
        base64.b64encode(KEY).decode().rstrip("="),
        f"  {KEY.hex()}\n",
    ],
)
def test_a_key_is_read_in_every_spelling(text: str) -> None:
    """Hexadecimal and base64 of both alphabets, padded or not, name the same key."""
    assert parse_key(text) == KEY


@pytest.mark.parametrize("text", ["", "short", "x" * 64, KEY.hex()[:-2], "é" * 32])
def test_a_bad_key_is_refused_without_being_shown(text: str) -> None:
    """The error names the variable and what is allowed, and never the key."""
    with pytest.raises(ConfigError, match="TIMETRACER_ENCRYPTION_KEY") as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)


def test_a_key_file_holds_text_or_raw_bytes(tmp_path: Path) -> None:
    """Both kinds of key file give the key."""
    (tmp_path / "text").write_text(KEY.hex() + "\n")
    (tmp_path / "raw").write_bytes(KEY)
    assert read_key(tmp_path / "text") == read_key(tmp_path / "raw") == KEY


def test_a_missing_key_file_is_a_config_error(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(ConfigError, match="absent"):
        read_key(tmp_path / "absent")


def test_new_keys_are_keys_and_differ() -> None:
    """A fresh key can be parsed and is like no other."""
    assert len(parse_key(new_key())) == 32
    assert new_key() != new_key()


def test_sealed_bytes_open_with_their_key() -> None:
    """Sealing is undone by the same key, and differs each time."""
    assert unseal_bytes(seal_bytes(b"secret", KEY), KEY) == b"secret"
    assert seal_bytes(b"secret", KEY) != seal_bytes(b"secret", KEY)


@pytest.mark.parametrize(
    "data", [b"", b"short", seal_bytes(b"secret", KEY)[:-1] + b"\0\0"], ids=["empty", "short", "cut"]
)
def test_changed_data_is_locked(data: bytes) -> None:
    """Truncated or changed data is a CassetteLocked, not a crash."""
    with pytest.raises(CassetteLocked):
        unseal_bytes(data, KEY)


def test_tokens_open_in_place() -> None:
    """Tokens within strings and sealed values are found wherever they stand, however the document is printed."""
    text, value = seal_text(b'a\\"b', KEY), seal_value(b"123", KEY)["$sealed"]
    document = f'{{"a": "x{text}y{text}", "n": {{\n  "$sealed": "{value}"\n}}}}'.encode()
    assert sealed(document)
    assert unseal(document, KEY) == b'{"a": "xa\\"bya\\"b", "n": 123}'


def test_a_wrong_key_is_locked() -> None:
    """A token does not open with another key."""
    with pytest.raises(CassetteLocked, match="another key"):
        unseal(f'"{seal_text(b"x", KEY)}"'.encode(), secrets.token_bytes(32))


def test_a_plain_document_is_not_sealed() -> None:
    """A document that only speaks of sealing holds nothing sealed."""
    assert not sealed(b'{"a": "ttsealed:v1: is the prefix"}')
