"""Fixtures of the end-to-end tests, and those tests that run only when asked for."""

from __future__ import annotations

import pytest

from tests.e2e.shopping import shop

__all__ = ["shop"]


def pytest_configure(config: pytest.Config) -> None:
    """Names the marker of tests that make environments of their own."""
    config.addinivalue_line("markers", "versions: under other versions of a framework; only with `-m versions`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves them out unless asked for: each makes an environment from the package index."""
    if "versions" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("versions") is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
