"""A call that the app cancels ends recorded and replayed as it ends without us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.services import PostgresServer, RedisServer, Upstream


def _run(mode: str, folder: Path, env: dict[str, str]) -> Any:
    command = [sys.executable, "-X", "dev", "-W", "error::RuntimeWarning", "-m", "tests.outbound.run_cancelled"]
    done = subprocess.run(
        [*command, mode, str(folder)], env=os.environ | env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for trouble in ("never retrieved", "never awaited", "was destroyed but it is pending", "Exception ignored"):
        assert trouble not in done.stderr, done.stderr
    return json.loads(done.stdout)


def test_a_cancelled_call_ends_as_without_us(
    tmp_path: Path, upstream: Upstream, redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    """By asyncio's and anyio's timeouts, scopes and groups: the same exception, in time, and nothing left running."""
    env = {"UPSTREAM": upstream.url, "REDIS": redis_server.url, "POSTGRES": postgres_server.url}
    live = _run("live", tmp_path, env)
    assert len(live) == 49
    assert all(early and not left and not noise for _, left, _, early, noise in live.values()), live
    assert _run("record", tmp_path, env) == live
    servers = (upstream, redis_server, postgres_server)
    for server in servers:
        server.stop()
    try:
        assert _run("replay", tmp_path, env) == live
    finally:
        for server in servers:
            server.start()
