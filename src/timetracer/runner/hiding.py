"""Keeps sealed values out of findings: a replay needs them open, a report does not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from timetracer.cassette import encryption, store
from timetracer.runner.findings import Finding
from timetracer.runtime.secrets import Secrets

HIDDEN = "(sealed)"
_TOKEN = re.compile(rb'\{\s*"\$sealed":\s*"ttsealed:v1:[\w\-]+"\s*\}|ttsealed:v1:[\w\-]+\.')
_SHORTEST = 4


def hidden(finding: Finding, path: Path, secrets: Secrets) -> Finding:
    """Returns a finding in which no value stands that the cassette keeps sealed."""
    values: set[str] = set()

    def opened(document: bytes) -> bytes:
        if encryption.sealed(document):
            for token in set(_TOKEN.findall(document)):
                values.update(_texts(secrets.opened(token)))
        return secrets.opened(document)

    store.read_cassette(path, transform=opened, side_files=False)
    if not values:
        return finding
    pattern = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))))
    return msgspec.convert(_without(msgspec.to_builtins(finding), pattern), Finding)


def _texts(fragment: bytes) -> set[str]:
    """Returns how a sealed part of a JSON document may stand in a report: as written, and as read."""
    text = fragment.decode("utf-8", "replace")
    found = {text}
    for candidate in (text, f'"{text}"'):
        try:
            found.add(str(json.loads(candidate)))
        except ValueError:
            continue
    return {value for value in found if len(value) >= _SHORTEST}


def _without(data: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(data, str):
        return pattern.sub(HIDDEN, data)
    if isinstance(data, list):
        return [_without(item, pattern) for item in data]
    if isinstance(data, dict):
        # `outcome` and the kinds of calls are words of ours; no recorded text is.
        return {k: v if k in ("outcome", "kind") else _without(v, pattern) for k, v in data.items()}
    return data
