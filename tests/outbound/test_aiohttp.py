"""aiohttp in replay: values, chunks, exceptions and spans equal those seen live."""

from __future__ import annotations

import asyncio
import inspect

import aiohttp
import pytest
from aiohttp.helpers import TimerContext
from aiohttp.payload import BytesPayload
from yarl import URL

from tests.outbound.http_recordings import record_http
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant

SUITE = Suite("tests.outbound.steps.aiohttp", instrumentors=("aiohttp-client",))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings, made while the upstream ran."""
    return record_http(SUITE, tmp_path_factory.mktemp("aiohttp"))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the upstream gone."""
    SUITE.check(recordings, variant)


async def _private_names() -> set[str]:
    """Names that our plugin takes from aiohttp and that are not there."""
    missing = set()
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        request = aiohttp.ClientRequest("POST", URL("http://127.0.0.1/"), data=b"x", loop=loop, session=session)
        key = request.connection_key
        owners = {
            session: ("_middlewares", "_request"),
            request: ("_body", "_timer", "_traces"),
            request.body: ("_value",),
            TimerContext(loop): ("_cancelled",),
            aiohttp.StreamReader: ("_wait",),
            aiohttp.ClientResponse: ("_response_eof",),
            aiohttp.ClientConnectorError(key, OSError(1, "x")): ("_conn_key",),
        }
        assert isinstance(request.body, BytesPayload)
        assert key._fields[:3] == ("host", "port", "is_ssl")
        for owner, names in owners.items():
            missing |= {f"{owner!r}.{name}" for name in names if not hasattr(owner, name)}
    return missing


def test_private_names_are_where_they_were() -> None:
    """What is leaned on upstream without being promised there fails here, by name, when it moves."""
    assert asyncio.run(_private_names()) == set()
    assert "middlewares" in inspect.signature(aiohttp.ClientSession._request).parameters
    assert inspect.iscoroutinefunction(aiohttp.StreamReader._wait)
