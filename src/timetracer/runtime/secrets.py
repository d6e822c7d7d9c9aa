"""Applies the user's choice about secrets: redacted, sealed or kept when written; unsealed when read with the key."""

from __future__ import annotations

from timetracer.cassette import encryption
from timetracer.cassette.model import Cassette
from timetracer.cassette.redaction import Redacted, Redactor
from timetracer.config import TraceConfig


class Secrets:
    """What is done about secrets, by configuration.

    Raises:
        ConfigError: the key is no key.
    """

    def __init__(self, config: TraceConfig) -> None:
        self._key = key_of(config)
        self._redactor = Redactor(config.secrets, fields=config.redact_fields, keep=config.redact_keep, key=self._key)

    def hidden(self, cassette: Cassette) -> Redacted:
        """Returns the cassette as it may be written; nobody else may use it any more."""
        return self._redactor.redact(cassette, owned=True)

    def opened(self, document: bytes) -> bytes:
        """Returns a document as it was before it was sealed; without a key it stays sealed."""
        if self._key is None or not encryption.sealed(document):
            return document
        return encryption.unseal(document, self._key)


def key_of(config: TraceConfig) -> bytes | None:
    """Returns the key that the settings name, or None.

    Raises:
        ConfigError: it is no key, or its file cannot be read.
    """
    if config.encryption_key:
        return encryption.parse_key(config.encryption_key)
    return encryption.read_key(config.encryption_key_file) if config.encryption_key_file else None
