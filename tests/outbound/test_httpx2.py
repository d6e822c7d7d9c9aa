"""httpx2 in replay: values, chunks, exceptions and spans equal those seen live."""

from __future__ import annotations

import pytest

from tests.outbound.http_recordings import record_http
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant

SUITE = Suite("tests.outbound.steps.httpx2", instrumentors=("httpx2",))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings, made while the upstream ran."""
    return record_http(SUITE, tmp_path_factory.mktemp("httpx2"))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the upstream gone."""
    SUITE.check(recordings, variant)
