"""The main job, as a user does it: a Django service recorded under a web server, then replayed with nothing running."""

from __future__ import annotations

import pytest

from tests.e2e.serving import BIN, LAUNCHER
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


GREENLETS = [
    str(BIN / "gunicorn"), "shop.wsgi:application", "--bind", "127.0.0.1:{port}", "--workers", "2", "-k", "gevent",
]  # fmt: skip
# The launcher imports Django ahead of the worker, and Django's connections are then shared by greenlets, also without
# timetracer: https://opentelemetry.io/docs/zero-code/python/troubleshooting/
PATCHED_FIRST = {"OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH": "patch_all"}


@pytest.mark.parametrize(
    ("command", "more"),
    [
        pytest.param([*LAUNCHER, *GREENLETS], PATCHED_FIRST, id="launcher"),
        pytest.param(GREENLETS, {}, id="variables"),
    ],
)
def test_greenlets_have_a_session_each(command: list[str], more: dict[str, str], shop: Shop) -> None:
    """Eight requests at a time in the greenlets of gevent's workers: recorded apart, and replayed byte for byte."""
    asked = [each for each in questions() if "/gather/" not in each.path]  # one asyncio loop a thread, says asgiref
    live = shop.run("record", command, asked, **more)
    assert {answer.status for answer in live} == {200, 201, 500}, shop.log("record")
    assert [a.path for a, b in zip(asked, live, strict=True) if b.status == 500] == [f"/fail/?n={n}" for n in range(5)]
    assert shop.targets() == sorted([a.path for a in asked] + [f"/orders/{n + 11}/" for n in range(5)])
    shop.take_all_away()
    shop.replays_alike(command, asked, live, **more)
