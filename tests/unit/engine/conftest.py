"""Tests of the engine begin without what an earlier test's recording has put in place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from timetracer.engine import threads


@pytest.fixture(autouse=True)
def _plain_threads() -> Iterator[None]:
    """Threads carry nothing, unless the test says so."""
    threads.uninstall()
    yield
    threads.uninstall()
