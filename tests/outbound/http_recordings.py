"""Both recordings of an HTTP client's steps, made while an upstream of their own ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.outbound.suite import Recordings, Suite
from tests.services import start_upstream


@contextmanager
def upstream_addresses(folder: Path) -> Iterator[Mapping[str, str]]:
    """Runs an upstream; gives its addresses by the names that steps use."""
    upstream = start_upstream(folder)
    try:
        yield {
            "http": upstream.url,
            "https": upstream.https_url,
            "proxy": upstream.proxy_url,
            "refused": upstream.refused_url,
            "ca": str(upstream.ca_file),
        }
    finally:
        upstream.stop()


def record_http(suite: Suite, folder: Path) -> Recordings:
    """Records an HTTP client's steps with and without instrumentors; the upstream is stopped when this returns."""
    with upstream_addresses(folder) as addresses:
        return suite.record_both(folder, addresses)
