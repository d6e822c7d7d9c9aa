"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.shopping import shop

__all__ = ["shop"]
