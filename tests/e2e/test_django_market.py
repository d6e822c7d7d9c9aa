"""What Django projects use besides views: a tour of the market, recorded, then replayed with nothing running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.marketing import commands, market
from tests.e2e.serving import BIN, LAUNCHER
from tests.services import PostgresServer, RedisServer, Upstream

COMMANDS = commands(BIN)
LONG = pytest.mark.versions
ATOMIC = {"ATOMIC_REQUESTS": True, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
POOL = {"OPTIONS": {"pool": True}}


def _with(**database: object) -> dict[str, str]:
    return {"MARKET_DATABASE": json.dumps(database)}


@pytest.mark.parametrize(
    ("server", "launched", "more"),
    [
        pytest.param("gunicorn", True, _with(**ATOMIC), id="gunicorn-atomic"),
        pytest.param("uvicorn", True, _with(**POOL), id="uvicorn-pool"),
        pytest.param("gunicorn", True, _with(**POOL), id="gunicorn-pool", marks=LONG),
        pytest.param("uvicorn", True, _with(CONN_MAX_AGE=60), id="uvicorn-age", marks=LONG),
        pytest.param("gunicorn", True, _with(OPTIONS={"server_side_binding": True}), id="binding", marks=LONG),
        pytest.param("gunicorn", False, {"MARKET_MIDDLEWARE": "1"}, id="gunicorn-middleware", marks=LONG),
        pytest.param("uvicorn", False, {"MARKET_MIDDLEWARE": "1"}, id="uvicorn-middleware", marks=LONG),
        pytest.param("runserver", True, {"MARKET_CACHE": "django_redis.cache.RedisCache"}, id="django-redis"),
    ],
)
def test_a_tour_replays_byte_for_byte(
    server: str,
    launched: bool,
    more: dict[str, str],
    tmp_path: Path,
    upstream: Upstream,
    redis_server: RedisServer,
    postgres_server: PostgresServer,
) -> None:
    """DRF, sign-in, messages, caches, signals, hooks, streams, uploads: a cassette a request, and the same answers."""
    command = [*(LAUNCHER if launched else []), *COMMANDS[server]]
    with market(tmp_path, BIN, upstream, redis_server, postgres_server, **more) as there:
        live = there.tour("record", command)
        asked = sorted((step.method, step.target) for step in live)
        assert sorted((c.inbound.method, c.inbound.target) for c in there.recorded() if c.inbound) == asked
        assert {step.status for step in live} >= {200, 201, 202, 204, 301, 302, 304, 400, 401, 403, 404, 429, 500}
        for each in there.servers:
            each.stop()
        there.replays_alike(command, live)


def test_what_is_posted_is_recorded_whole(tmp_path: Path, upstream: Upstream, redis_server: RedisServer) -> None:
    """However a view reads its body (`body`, `POST`, `FILES`, `read`), the cassette has all of it and says so."""
    with market(tmp_path, BIN, upstream, redis_server) as there:
        for server in ("gunicorn", "uvicorn"):
            there.tour("record", [*LAUNCHER, *COMMANDS[server]])
        posted = [c.inbound for c in there.recorded() if c.inbound and c.inbound.method == "POST"]
    kept = [(i.target, i.request.body.end) for i in posted if i.request.body is not None]
    assert len(kept) > 20
    assert [target for target, end in kept if end != "complete" and target != "/committed/?n=1"] == []


def test_a_management_command_records_and_replays(
    tmp_path: Path, upstream: Upstream, redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    """`manage.py restock` with the ORM, a hook, a signal, the cache, a UUID and a call: the same words, offline."""
    with market(tmp_path, BIN, upstream, redis_server, postgres_server) as there:
        ours = {"TIMETRACER_CASSETTE_DIR": str(there.cassettes), "TIMETRACER_SECRETS": "keep"}
        live = there.manage("restock", "lamp", launched=True, TIMETRACER_MODE="record", **ours)
        for each in there.servers:
            each.stop()
        again = there.manage("restock", "lamp", launched=True, TIMETRACER_MODE="replay", **ours)
        assert "3.20" in live
        assert again == live
        assert "PROCESS  market" in there.manage("timetracer", "list", **ours)
