"""Our distribution: defaults for OTEL_* variables, and no more. It steps back behind any other distribution.

With several installed, OpenTelemetry takes whichever comes first on the path; were ours it, a vendor's defaults would
vanish and its spans silently stop. So ours, unless OTEL_PYTHON_DISTRO names it, hands everything on to the next one.
"""

from __future__ import annotations

import os
from typing import Any

from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]
from opentelemetry.instrumentation.environment_variables import OTEL_PYTHON_DISTRO
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_PROTOCOL
from opentelemetry.util._importlib_metadata import entry_points

NAME = "timetracer"
_EXPORTERS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


class TimetracerDistro(BaseDistro):  # type: ignore[misc]
    """Named in OTEL_PYTHON_DISTRO it sets its defaults; else it configures and instruments as the next one does."""

    def __init__(self) -> None:
        self.next = None if os.environ.get(OTEL_PYTHON_DISTRO) == NAME else _next_distro()

    def _configure(self, **kwargs: Any) -> None:
        set_protocol_default()
        if self.next is not None:
            self.next.configure(**kwargs)
        else:
            os.environ.setdefault(OTEL_TRACES_EXPORTER, "otlp")
        if not tuple(entry_points(group="opentelemetry_configurator")):
            # The SDK alone, without opentelemetry-distro, brings no configurator, and there would be no spans.
            from opentelemetry.sdk._configuration import _OTelSDKConfigurator

            _OTelSDKConfigurator().configure(**kwargs)  # type: ignore[no-untyped-call]

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Instruments one library, as the next distribution does it."""
        if self.next is not None:
            self.next.load_instrumentor(entry_point, **kwargs)
        else:
            super().load_instrumentor(entry_point, **kwargs)


def _next_distro() -> BaseDistro | None:
    """Returns the first distribution that is not ours."""
    for entry_point in entry_points(group="opentelemetry_distro"):
        if entry_point.name != NAME:
            distro = entry_point.load()()
            if isinstance(distro, BaseDistro):
                return distro
    return None


def set_protocol_default() -> None:
    """Says which OTLP protocol is spoken where only one exporter is installed and nobody said.

    Other distributions default to gRPC (opentelemetry-distro), whose exporter we do not bring, and start-up would fail.
    """
    installed = [protocol for protocol, name in _EXPORTERS.items() if _has_exporter(name)]
    if len(installed) == 1:
        os.environ.setdefault(OTEL_EXPORTER_OTLP_PROTOCOL, installed[0])


def _has_exporter(name: str) -> bool:
    return bool(tuple(entry_points(group="opentelemetry_traces_exporter", name=name)))
