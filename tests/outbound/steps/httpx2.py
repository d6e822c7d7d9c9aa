"""httpx2's steps: those of httpx, in whose file the name `httpx` stands for its successor."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import httpx2

_spec = importlib.util.spec_from_file_location(
    "tests.outbound.steps._httpx_as_httpx2", Path(__file__).with_name("httpx.py")
)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_httpx = sys.modules.get("httpx")
sys.modules["httpx"] = httpx2
try:
    _spec.loader.exec_module(_module)
finally:
    del sys.modules["httpx"]
    if _httpx is not None:
        sys.modules["httpx"] = _httpx

steps = _module.steps
