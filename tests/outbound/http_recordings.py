"""Both recordings of an HTTP client's steps, made while an upstream of their own ran."""

from __future__ import annotations

from pathlib import Path

from tests.outbound.suite import Recordings, Suite
from tests.services import start_upstream


def record_http(suite: Suite, folder: Path) -> Recordings:
    """Records an HTTP client's steps with and without instrumentors; the upstream is stopped when this returns."""
    upstream = start_upstream(folder)
    addresses = {
        "http": upstream.url,
        "https": upstream.https_url,
        "proxy": upstream.proxy_url,
        "refused": upstream.refused_url,
        "ca": str(upstream.ca_file),
    }
    try:
        return suite.record_both(folder, addresses)
    finally:
        upstream.stop()
