"""What every application of these tests asks the upstream, and what they make of what they are sent."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import httpx

from timetracer.config import TraceConfig

URL = os.environ["APP_UPSTREAM"]
SETUP = os.environ.get("APP_SETUP", "launcher")
"""How timetracer gets in: `launcher` and `variables` (not a line in the application), `middleware`, `auto_setup`."""

CONFIG: TraceConfig | None = None
if "APP_MODE" in os.environ:  # no TIMETRACER_* variable, so nothing but the application starts timetracer
    folder = os.environ["APP_FOLDER"]
    CONFIG = TraceConfig(mode=os.environ["APP_MODE"], cassette_dir=folder, secrets="keep")

CHUNKS = 5


def ask(name: str) -> dict[str, Any]:
    """Asks the upstream; it answers differently each time."""
    answer: dict[str, Any] = httpx.get(f"{URL}/counter/{name}").json()
    return answer


async def ask_async(name: str) -> dict[str, Any]:
    """Asks the upstream; it answers differently each time."""
    async with httpx.AsyncClient() as client:
        answer: dict[str, Any] = (await client.get(f"{URL}/counter/{name}")).json()
        return answer


def digest(data: bytes) -> str:
    """Returns the SHA-256 of what was sent."""
    return hashlib.sha256(data).hexdigest()
