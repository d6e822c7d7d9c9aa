"""requests in replay: values, chunks, exceptions and spans equal those seen live."""

from __future__ import annotations

import http.client

import pytest
import requests

from tests.outbound.http_recordings import record_http
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant

SUITE = Suite("tests.outbound.steps.requests", instrumentors=("requests", "urllib3"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings, made while the upstream ran."""
    return record_http(SUITE, tmp_path_factory.mktemp("requests"))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the upstream gone."""
    SUITE.check(recordings, variant)


def test_private_names_are_where_they_were() -> None:
    """What is leaned on upstream without being promised there fails here, by name, when it moves."""
    source = http.client.HTTPResponse.__init__.__code__.co_names
    assert {"fp", "chunked", "length"} <= set(source)
    assert hasattr(requests.structures.CaseInsensitiveDict(), "_store")
