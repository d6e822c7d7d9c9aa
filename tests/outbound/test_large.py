"""Large downloads: the app sees the same bytes as ever, little memory is taken, and what was not kept is said so.

The short version has 64 MiB; `pytest -m large` downloads 1 GiB with every client.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import timetracer
from tests.outbound.run_download import CLIENTS
from tests.outbound.suite import ROOT
from tests.outbound.upstream_answers import BLOCK
from tests.services import Upstream, start_upstream
from timetracer import ReplayError
from timetracer.cassette.store import read_cassette

EVERY_CLIENT = [*CLIENTS, "aiohttp"]
MOST_MB = 32.0
KEPT = 10 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """An upstream that streams megabytes."""
    upstream = start_upstream(tmp_path_factory.mktemp("large"))
    yield upstream
    upstream.stop()


def _download(client: str, url: str, cassette: Path, how: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TIMETRACER_", "OTEL_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    command = [sys.executable, "-m", "tests.outbound.run_download", client, url, str(cassette), how]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _check(client: str, server: Upstream, folder: Path, megabytes: int) -> None:
    url, cassette = f"{server.url}/big/{megabytes}", folder / "c.json"
    idle = _download(client, url, cassette, "idle")
    recorded = _download(client, url, cassette, "recorded")

    whole = hashlib.sha256()
    for _ in range(megabytes * 1024 * 1024 // len(BLOCK)):
        whole.update(BLOCK)
    assert recorded["sha256"] == idle["sha256"] == whole.hexdigest()
    assert recorded["size"] == megabytes << 20
    assert recorded["peak"] - idle["peak"] <= MOST_MB

    (event,) = read_cassette(cassette).events
    body = event.result.body
    assert body is not None
    assert body.file is not None
    assert event.incomplete is not None
    assert "over the limit" in event.incomplete
    kept = sum(map(len, body.raw or ()))
    assert KEPT * 0.9 < kept <= KEPT
    assert cassette.stat().st_size < 100_000


@pytest.mark.parametrize("client", EVERY_CLIENT)
def test_a_large_download_takes_little_memory(client: str, server: Upstream, tmp_path: Path) -> None:
    """64 MiB streamed: every byte is as without us, at most 32 MB more are taken, ten are kept and said to be few."""
    _check(client, server, tmp_path, 64)


@pytest.mark.large
@pytest.mark.parametrize("client", EVERY_CLIENT)
def test_a_download_of_a_gibibyte_takes_little_memory(client: str, server: Upstream, tmp_path: Path) -> None:
    """The same with 1 GiB."""
    _check(client, server, tmp_path, 1024)


def test_a_body_that_was_not_kept_is_refused_at_once(server: Upstream, tmp_path: Path) -> None:
    """Replayed, such a call fails when it is made, and says why: an app never gets half an answer."""
    cassette = tmp_path / "c.json"

    def get() -> httpx.Response:
        with httpx.Client(trust_env=False) as http:
            return http.get(f"{server.url}/big/1")

    with timetracer.record(cassette, max_body_kb=100):
        assert len(get().content) == 1 << 20
    replay = timetracer.replay(cassette)
    with pytest.raises(ReplayError, match=r"not recorded in full: body over the limit"), replay:
        get()


def test_a_large_body_is_kept_beside_the_cassette_as_it_came(server: Upstream, tmp_path: Path) -> None:
    """Below the limit a binary body lies in a side file byte for byte, in the chunks in which the app read it."""
    cassette = tmp_path / "c.json"

    def chunks() -> list[bytes]:
        with httpx.Client(trust_env=False) as http, http.stream("GET", f"{server.url}/big/4?chunked=1") as response:
            return list(response.iter_raw())

    with timetracer.record(cassette):
        live = chunks()
    (side_file,) = tmp_path.glob("*.body")
    assert side_file.read_bytes() == b"".join(live) == BLOCK * (4 * 1024 * 1024 // len(BLOCK))
    with timetracer.replay(cassette):
        assert chunks() == live


def test_secrets_are_replaced_in_side_files_too(server: Upstream, tmp_path: Path) -> None:
    """A large binary body that holds a known secret is written without it, and the app's own copy keeps it."""
    cassette, secret = tmp_path / "c.json", "sk-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
    body = b"\x00\x01" * 50_000 + secret.encode() + b"\x02" * 50_000
    with timetracer.record(cassette), httpx.Client(trust_env=False) as http:
        sent = http.post(f"{server.url}/upload", content=body, headers={"Authorization": f"Bearer {secret}"})
    assert sent.json()["sha256"] == hashlib.sha256(body).hexdigest()
    (side_file,) = tmp_path.glob("*.body")
    written = side_file.read_bytes()
    assert secret.encode() not in written
    assert len(written) == len(body)
    assert secret not in cassette.read_text()
