"""urllib3 in replay: values, chunks, exceptions and spans equal those seen live."""

from __future__ import annotations

import inspect

import pytest
import urllib3
import urllib3._collections

from tests.outbound.http_recordings import record_http
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant
from timetracer.outbound.urllib3 import PARAMETERS

SUITE = Suite("tests.outbound.steps.urllib3", instrumentors=("urllib3",))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings, made while the upstream ran."""
    return record_http(SUITE, tmp_path_factory.mktemp("urllib3"))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the upstream gone."""
    SUITE.check(recordings, variant)


def test_private_names_are_where_they_were() -> None:
    """What is leaned on upstream without being promised there fails here, by name, when it moves."""
    assert hasattr(urllib3._collections, "HTTPHeaderDict")
    assert hasattr(urllib3.HTTPResponse(b"x"), "_original_response")
    assert hasattr(urllib3.HTTPResponse(b"x"), "_fp_bytes_read")
    asked = list(inspect.signature(urllib3.HTTPConnectionPool.urlopen).parameters)[1:]
    named = [name for name in asked if name != "response_kw"]
    assert tuple(named) == PARAMETERS[: len(named)]
