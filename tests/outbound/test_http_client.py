"""http.client and urllib.request in replay: values, chunks, exceptions and spans equal those seen live."""

from __future__ import annotations

import inspect
import urllib.request

import pytest

from tests.outbound.http_recordings import record_http
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant

SUITE = Suite("tests.outbound.steps.http_client", instrumentors=("urllib",))
CONNECTIONS = Suite("tests.outbound.steps.http_connections", instrumentors=("urllib", "urllib3", "requests"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings of urllib.request, made while the upstream ran."""
    return record_http(SUITE, tmp_path_factory.mktemp("http_client"))


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings of connections used by themselves."""
    return record_http(CONNECTIONS, tmp_path_factory.mktemp("http_connections"))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the upstream gone."""
    SUITE.check(recordings, variant)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_of_connections_equals_live(connections: Recordings, variant: Variant) -> None:
    """The same for `http.client` used by itself."""
    CONNECTIONS.check(connections, variant)


def test_private_names_are_where_they_were() -> None:
    """What is leaned on upstream without being promised there fails here, by name, when it moves."""
    assert "_data" in vars(urllib.request.Request("http://127.0.0.1/", data=b"x"))
    assert list(inspect.signature(urllib.request.AbstractHTTPHandler.do_open).parameters)[:3] == [
        "self",
        "http_class",
        "req",
    ]
