"""The main job, as a user does it: a Django service recorded under a web server, then replayed with nothing running."""

from __future__ import annotations

import pytest

from tests.e2e.shopping import GUNICORN, RUNSERVER, UVICORN, Shop, questions

# A connection is readied in one request (its time zone is not Django's) and used in others: which ones, chance decides.
KEPT_CONNECTIONS = {"SHOP_CONN_MAX_AGE": "600", "SHOP_PG_OPTIONS": "-c TimeZone=Europe/Rome"}


@pytest.mark.parametrize(
    ("command", "more"),
    [
        pytest.param(GUNICORN, {}, id="gunicorn"),
        pytest.param([*GUNICORN, "--preload"], {}, id="gunicorn-preload"),
        pytest.param(UVICORN, {}, id="uvicorn"),
        pytest.param(RUNSERVER, {"OTEL_TRACES_SAMPLER": "always_off"}, id="runserver-always-off"),
        pytest.param(GUNICORN, {"OTEL_SDK_DISABLED": "true"}, id="gunicorn-sdk-disabled"),
        pytest.param(GUNICORN, KEPT_CONNECTIONS, id="gunicorn-kept-connections"),
    ],
)
def test_fifty_requests_replay_byte_for_byte_with_nothing_running(
    command: list[str], more: dict[str, str], shop: Shop
) -> None:
    """Fifty parallel requests are recorded; with every server stopped they are answered alike, byte for byte."""
    asked = questions()
    live = shop.run("record", command, asked, **more)
    for question, answer in zip(asked, live, strict=True):
        expected_status = 500 if "/fail/" in question.path else 201 if question.path.startswith("/orders/?") else 200
        assert answer.status == expected_status, f"{question.path}: {answer}"
    expected = sorted([a.path for a in asked] + [f"/orders/{n + 11}/" for n in range(5)])
    assert shop.targets() == expected, shop.log("record")
    shop.take_all_away()
    shop.replays_alike(command, asked, live, **more)
