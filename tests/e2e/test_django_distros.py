"""Another distribution beside ours: named or not, it has its say, and requests are recorded and replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.serving import Asked
from tests.e2e.shopping import GUNICORN, Shop
from tests.e2e.test_collector import SERVER, exporting
from tests.services import Collector

MODULE = '''
"""A vendor's distribution: defaults, instrumentors in its own way, a configurator with a resource of its own."""

import os

from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.sdk._configuration import _OTelSDKConfigurator


class Distro(BaseDistro):
    def _configure(self, **kwargs):
        os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp")
        os.environ.setdefault("OTEL_SERVICE_NAME", "named-by-the-vendor")

    def load_instrumentor(self, entry_point, **kwargs):
        with open(os.environ["VENDOR_NOTES"], "a") as notes:
            print("instrumented", entry_point.name, file=notes)
        entry_point.load()().instrument(**kwargs)


class Configurator(_OTelSDKConfigurator):
    def _configure(self, **kwargs):
        with open(os.environ["VENDOR_NOTES"], "a") as notes:
            print("configured", file=notes)
        super()._configure(resource_attributes={"vendor": "yes"}, **kwargs)
'''
ENTRY_POINTS = """
[opentelemetry_distro]
vendor = vendor_distro:Distro
[opentelemetry_configurator]
configurator = vendor_distro:Configurator
"""


@pytest.fixture
def vendor(shop: Shop, tmp_path: Path) -> dict[str, str]:
    """A distribution installed in a folder on PYTHONPATH."""
    folder = tmp_path / "vendor"
    metadata = folder / "vendor_distro-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "vendor_distro.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor-distro\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return {"PYTHONPATH": f"{folder}:{shop.env['PYTHONPATH']}", "VENDOR_NOTES": str(tmp_path / "notes")}


@pytest.mark.parametrize("named", ["vendor", "timetracer", None])
def test_another_distribution_has_its_say(
    named: str | None, vendor: dict[str, str], shop: Shop, collector: Collector, tmp_path: Path
) -> None:
    """Its defaults, its way to instrument and its configurator hold unless ours is named; both runs work either way."""
    asked = [Asked("GET", "/orders/1/"), Asked("GET", "/stock/a/"), Asked("GET", "/gather/")]
    more = exporting(collector, "") | vendor | ({"OTEL_PYTHON_DISTRO": named} if named else {})
    service = f"vendors-{shop.port}"
    del shop.env["OTEL_TRACES_EXPORTER"]  # the distribution's to choose
    for variable in ("OTEL_SERVICE_NAME", "OTEL_TRACES_EXPORTER"):
        del more[variable]
    shop.env["OTEL_SERVICE_NAME"] = service
    live = shop.run("record", GUNICORN, asked, **more)
    assert shop.targets() == sorted(question.path for question in asked), shop.log("record")
    roots = [span for span in collector.spans(service) if span["kind"] == SERVER and "health" not in str(span)]
    assert len(roots) == len(asked)
    notes = (tmp_path / "notes").read_text() if (tmp_path / "notes").exists() else ""
    assert "configured" in notes  # OpenTelemetry's own choice: the first configurator on the path
    assert ("instrumented django" in notes) == (named != "timetracer")
    shop.take_all_away()
    shop.replays_alike(GUNICORN, asked, live, **more)
