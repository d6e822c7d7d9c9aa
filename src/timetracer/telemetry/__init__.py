"""Our side of OpenTelemetry: spans into sessions, counts and exchanges out to the collector.

attach(config)              processor and sampler, on every SDK provider
install_metrics()           the process's counts
export_exchanges(cassette)  payloads, where they were asked for
"""

from __future__ import annotations

from timetracer.telemetry.logs import export_exchanges
from timetracer.telemetry.metrics import install_metrics
from timetracer.telemetry.providers import attach, detach

__all__ = ["attach", "detach", "export_exchanges", "install_metrics"]
