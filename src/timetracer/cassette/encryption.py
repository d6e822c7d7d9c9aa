"""Keys, and sealing bytes with them: AES-GCM, authenticated, under a fresh nonce each time."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any

from timetracer.errors import CassetteLocked, ConfigError, MissingDependencyError

KEY_BYTES = 32
_NONCE_BYTES = 12
_ASSOCIATED = b"timetracer"
_TOKEN = re.compile(rb'\{\s*"\$sealed":\s*"ttsealed:v1:([A-Za-z0-9_\-]+)"\s*\}|ttsealed:v1:([A-Za-z0-9_\-]+)(?:\.)')


def parse_key(text: str, *, name: str = "TIMETRACER_ENCRYPTION_KEY") -> bytes:
    """Returns the key that `text` spells: 32 bytes as base64 (either alphabet) or as 64 hexadecimal digits.

    Raises:
        ConfigError: it spells no such key. The error names the setting, never the text.
    """
    text = text.strip()
    try:
        if len(text) == 2 * KEY_BYTES:
            key = bytes.fromhex(text)
        else:
            padded = text.rstrip("=").replace("+", "-").replace("/", "_")
            key = base64.b64decode(padded + "=" * (-len(padded) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(name, "...", "32 bytes as urlsafe base64 or as 64 hexadecimal digits")
    return key


def read_key(path: str | Path, *, name: str = "TIMETRACER_ENCRYPTION_KEY_FILE") -> bytes:
    """Returns the key in a file: as text that `parse_key` reads, or as 32 raw bytes.

    Raises:
        ConfigError: the file cannot be read, or holds no key.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(1024)
    except OSError as error:
        raise ConfigError(name, str(path), f"a readable file with a key ({error.strerror})") from None
    if len(data) == KEY_BYTES:
        return data
    return parse_key(data.decode("ascii", "replace"), name=name)


def new_key() -> str:
    """Returns a fresh key as urlsafe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def seal_bytes(data: bytes, key: bytes) -> bytes:
    """Returns `data` sealed: a random nonce of 96 bits, then the ciphertext with its tag."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + bytes(_cipher(key).encrypt(nonce, data, _ASSOCIATED))


def unseal_bytes(data: bytes, key: bytes) -> bytes:
    """Returns what `seal_bytes` sealed.

    Raises:
        CassetteLocked: the key is another one, or the data was changed.
    """
    from cryptography.exceptions import InvalidTag

    cipher = _cipher(key)
    try:
        return bytes(cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _ASSOCIATED))
    except (InvalidTag, ValueError):
        raise CassetteLocked("the key does not open this: it was sealed with another key, or changed since") from None


_ENCRYPTED = b"ttencrypted:v1\n"


def encrypt(document: bytes, key: bytes) -> bytes:
    """Returns a whole file encrypted, with a line in front that says so."""
    return _ENCRYPTED + seal_bytes(document, key)


def encrypted(document: bytes) -> bool:
    """Tells whether a file is encrypted."""
    return document.startswith(_ENCRYPTED)


def decrypt(document: bytes, key: bytes) -> bytes:
    """Returns a file as it was before `encrypt`.

    Raises:
        CassetteLocked: the key is another one, or the file was changed.
    """
    return unseal_bytes(document[len(_ENCRYPTED) :], key)


@lru_cache(8)
def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingDependencyError("encryption", "encryption") from None
    return AESGCM(key)


# ------------------------------------------------------------------------------------------- sealed in place


def seal_text(fragment: bytes, key: bytes) -> str:
    """Returns a token that stands in a JSON string for `fragment`, a part of a JSON document.

    The token ends with a dot, so that it ends where it should whatever comes after it.
    """
    return f"ttsealed:v1:{base64.urlsafe_b64encode(seal_bytes(fragment, key)).decode().rstrip('=')}."


def seal_value(fragment: bytes, key: bytes) -> dict[str, str]:
    """Returns what stands for a JSON value that is no string, or for a list's items."""
    return {"$sealed": seal_text(fragment, key)[:-1]}


def sealed(document: bytes) -> bool:
    """Tells whether a document holds sealed values."""
    return b"ttsealed:v1:" in document and _TOKEN.search(document) is not None


def unseal(document: bytes, key: bytes) -> bytes:
    """Returns a document with its sealed values back in place.

    Raises:
        CassetteLocked: the key is another one, or a value was changed.
    """

    def open_token(found: re.Match[bytes]) -> bytes:
        text = found[1] or found[2]
        try:
            data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
        except binascii.Error:
            raise CassetteLocked("a sealed value was changed since it was sealed") from None
        return unseal_bytes(data, key)

    return _TOKEN.sub(open_token, document)
