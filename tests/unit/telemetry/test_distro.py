"""Our distribution: it sets defaults only, and steps back behind any other one."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from opentelemetry.distro import OpenTelemetryDistro

from timetracer.telemetry.distro import TimetracerDistro, set_protocol_default

VARIABLES = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No OTEL_ variable of ours, and none left behind."""
    for name in (*VARIABLES, "OTEL_PYTHON_DISTRO"):
        monkeypatch.setenv(name, "")  # so that it is taken back afterwards
        monkeypatch.delenv(name)


@pytest.fixture
def distro(monkeypatch: pytest.MonkeyPatch) -> type[TimetracerDistro]:
    """A distribution is a singleton upstream; each test gets a new one."""
    monkeypatch.setattr(TimetracerDistro, "_instance", None)
    return TimetracerDistro


def test_named_it_sets_its_own_defaults(distro: type[TimetracerDistro], monkeypatch: pytest.MonkeyPatch) -> None:
    """OTLP over HTTP, whose exporter comes with timetracer."""
    monkeypatch.setenv("OTEL_PYTHON_DISTRO", "timetracer")
    distro().configure()
    assert os.environ["OTEL_TRACES_EXPORTER"] == "otlp"
    assert os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    assert "OTEL_METRICS_EXPORTER" not in os.environ


def test_what_the_user_says_stays(distro: type[TimetracerDistro], monkeypatch: pytest.MonkeyPatch) -> None:
    """A default never overrides a variable that is set."""
    monkeypatch.setenv("OTEL_PYTHON_DISTRO", "timetracer")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    distro().configure()
    assert os.environ["OTEL_TRACES_EXPORTER"] == "console"
    assert os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"


def test_unnamed_it_hands_on_to_the_next_one(distro: type[TimetracerDistro]) -> None:
    """Another distribution's defaults are set, as if ours were not installed."""
    ours = distro()
    assert isinstance(ours.next, OpenTelemetryDistro)
    ours.configure()
    assert os.environ["OTEL_METRICS_EXPORTER"] == "otlp"


def test_the_next_one_loads_the_instrumentors(distro: type[TimetracerDistro], monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor's way to instrument a library is kept."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def load(self: object, entry_point: EntryPoint, **kwargs: Any) -> None:
        seen.append((entry_point.name, kwargs))

    monkeypatch.setattr(OpenTelemetryDistro, "load_instrumentor", load)
    redis = EntryPoint("redis", "nowhere:Nothing", "opentelemetry_instrumentor")
    distro().load_instrumentor(redis, skip_dep_check=True)
    assert seen == [("redis", {"skip_dep_check": True})]


def test_the_only_exporter_decides_the_protocol() -> None:
    """opentelemetry-distro would say grpc, and start-up would fail for want of its exporter."""
    set_protocol_default()
    assert os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
