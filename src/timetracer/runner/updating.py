"""Rewrites what a cassette says of the answer, and drops the calls that are made no more; as one, or not at all."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from timetracer.cassette import encryption, store
from timetracer.cassette.model import Body, Result
from timetracer.config import TraceConfig
from timetracer.errors import CassetteCorrupt
from timetracer.runner.answers import VOLATILE
from timetracer.runner.questions import Answer
from timetracer.runtime.pipeline import Pipeline
from timetracer.runtime.secrets import Secrets


def update(path: Path, config: TraceConfig, answer: Answer, unused: Collection[int | None]) -> None:
    """Writes a cassette anew in its place, its secrets dealt with as before.

    Args:
        answer: what stands for the recorded answer from now on.
        unused: events to drop.

    Raises:
        CassetteError: it cannot be read or written.
    """
    secrets = Secrets(config)
    was_sealed = False

    def opened(document: bytes) -> bytes:
        nonlocal was_sealed
        was_sealed = was_sealed or encryption.sealed(document)
        return secrets.opened(document)

    cassette = store.read_cassette(path, transform=opened)
    inbound = cassette.inbound
    if inbound is None:
        raise CassetteCorrupt(f"{path} is no cassette of a request")
    kept = [(name, value) for name, value in inbound.result.headers if _of_transfer(name)]
    fresh = [(name, value) for name, value in answer.headers if not _of_transfer(name)]
    status = answer.status if answer.status is not None else inbound.result.status
    value = inbound.result.value
    if isinstance(value, dict) and "reason" in value:
        value = {**value, "reason": answer.reason}
    inbound.result = Result(
        status=status,
        headers=fresh + kept,
        value=value,
        body=Body(raw=[answer.body]) if answer.body or inbound.result.body is not None else None,
        error=inbound.result.error if answer.error is not None else None,
    )
    inbound.traceback = inbound.traceback if inbound.result.error is not None else None
    inbound.incomplete = None
    cassette.trace.status = "error" if status is not None and status >= 500 else "ok"
    left = [event for event in cassette.events if event.eid not in unused]
    cassette.events = [msgspec.structs.replace(event, eid=number) for number, event in enumerate(left)]
    mode = "seal" if was_sealed else config.secrets
    Pipeline(config.with_settings({"secrets": mode})).save(cassette, path)


def _of_transfer(name: str) -> bool:
    """Whether a header is the server's, not the application's; a body's length is the application's here."""
    return name.lower() in VOLATILE - {"content-length"}
