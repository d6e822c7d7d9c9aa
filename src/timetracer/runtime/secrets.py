"""Applies the user's choice about secrets: redacted, sealed or kept when written; unsealed when read with the key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from timetracer.cassette import encryption
from timetracer.cassette.model import Cassette, Event
from timetracer.config import TraceConfig
from timetracer.engine.guard import say_once
from timetracer.errors import CassetteLocked, ConfigError
from timetracer.runtime.secret_checks import LOGIN, check_of, named, redacted_checks

if TYPE_CHECKING:
    from timetracer.cassette.redaction import Redacted, Redactor

_NAMED = re.compile(rb'([A-Za-z][\w-]*)[\\"]*\s*[:=,]\s*[\\"]*(?:\{\s*"\$sealed":\s*")?ttsealed:v1:')


class Secrets:
    """What is done about secrets, by configuration.

    Raises:
        ConfigError: the key is no key.
    """

    def __init__(self, config: TraceConfig) -> None:
        self._key = key_of(config)
        self._at_rest = self._key if config.secrets != "seal" else None  # sealed, the rest is to stay readable
        self._sealed: dict[str, set[str]] = {}
        self._redacted: dict[str, set[str]] = {}
        self._config = config
        if config.secrets == "seal":
            self._redactor  # noqa: B018 (made now, so that a missing key is said at the start)

    @cached_property
    def _redactor(self) -> Redactor:
        # Imported with the first cassette, on the writer's thread: compiling its patterns is no part of the start.
        from timetracer.cassette.redaction import Redactor

        config = self._config
        return Redactor(config.secrets, fields=config.redact_fields, keep=config.redact_keep, key=self._key)

    def harmless(self, data: bytes) -> bool:
        """Whether a large body holds no secret of its own, as far as that is told without a walk over it."""
        return self._redactor.harmless(data)

    def hidden(self, cassette: Cassette) -> Redacted:
        """Returns the cassette as it may be written; nobody else may use it any more."""
        return self._redactor.redact(cassette, owned=True)

    def shown(self, events: Sequence[Event]) -> Sequence[Event]:
        """Returns events as a message may show them: with marks in place of secrets, also where they are sealed."""
        return self._redactor.shown(events)

    def closed(self, document: bytes) -> bytes:
        """Returns a file as it may lie on disk: encrypted, where there is a key and it is not used for sealing."""
        return document if self._at_rest is None else encryption.encrypt(document, self._at_rest)

    def opened(self, document: bytes) -> bytes:
        """Returns a document as it was before it was encrypted or sealed; without a key what is sealed stays so.

        Raises:
            CassetteLocked: it is encrypted and there is no key, or another one.
        """
        document = self.decrypted(document)
        if not encryption.sealed(document):
            return document
        if self._key is None:
            for name in (found.decode() for found in _NAMED.findall(document)):
                self._sealed.setdefault(check_of(name), set()).add(name)
            self._sealed.setdefault("a secret", set())
            return document
        return encryption.unseal(document, self._key)

    def decrypted(self, document: bytes) -> bytes:
        """Returns a document as it was before it was encrypted; what is sealed in it stays sealed, key or not.

        Raises:
            CassetteLocked: it is encrypted and there is no key, or another one.
        """
        if not encryption.encrypted(document):
            return document
        if self._key is None:
            raise CassetteLocked(
                "encrypted: give its key in TIMETRACER_ENCRYPTION_KEY or TIMETRACER_ENCRYPTION_KEY_FILE"
            )
        return encryption.decrypt(document, self._key)

    def look_at(self, cassette: Cassette) -> None:
        """Notes what a cassette that is to be replayed has lost to redaction."""
        for check, names in redacted_checks(cassette).items():
            self._redacted.setdefault(check, set()).update(names)

    def report(self, where: str) -> None:
        """Says which checks cannot pass, where something stayed sealed, or where the secrets of a login are gone.

        Args:
            where: the file or folder that was read.
        """
        if self._sealed:
            say_once(
                f"sealed {where}",
                "%s is sealed, and no key opens it: these checks cannot pass: %s;"
                " give the key in TIMETRACER_ENCRYPTION_KEY or TIMETRACER_ENCRYPTION_KEY_FILE",
                where,
                named(self._sealed) or "those of its secrets",
            )
        if LOGIN in self._redacted:
            say_once(
                f"redacted {where}",
                "%s is redacted: these checks cannot pass: %s; to replay them, record with TIMETRACER_SECRETS=seal",
                where,
                named(self._redacted),
            )


def key_of(config: TraceConfig) -> bytes | None:
    """Returns the key that the settings name, or None.

    Raises:
        ConfigError: it is no key, its file cannot be read, or it lies where this version cannot fetch it.
    """
    for name, value in (("TIMETRACER_KMS_KEY_ID", config.kms_key_id), ("TIMETRACER_VAULT_KEY", config.vault_key)):
        if value:
            raise ConfigError(name, value, "not supported yet: use TIMETRACER_ENCRYPTION_KEY or _KEY_FILE")
    if config.encryption_key:
        return encryption.parse_key(config.encryption_key)
    return encryption.read_key(config.encryption_key_file) if config.encryption_key_file else None
