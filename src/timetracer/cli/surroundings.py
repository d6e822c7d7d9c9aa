"""What surrounds timetracer here: versions, settings and their sources, plugins and their libraries, OpenTelemetry."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Literal

from timetracer import __version__
from timetracer.config import IN_DJANGO, TraceConfig
from timetracer.engine import wrapping
from timetracer.errors import ConfigError
from timetracer.runtime.libraries import loaded
from timetracer.runtime.releases import release_of

Found = tuple[str, Literal["ok", "note", "wrong"], str]
"""Name, state, detail."""

_TELEMETRY = ("api", "sdk", "instrumentation", "distro")
_EXPORTERS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
_DISTRIBUTIONS = (*(f"opentelemetry-{part}" for part in _TELEMETRY), "wrapt", "msgspec")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Returns the versions of what is always there."""
    found = {name: _version(name) for name in _DISTRIBUTIONS}
    python = f"{platform.python_version()} ({platform.python_implementation()}, {sys.platform}, {sys.executable})"
    return {"timetracer": __version__, "python": python} | {name: number for name, number in found.items() if number}


# ------------------------------------------------------------------------------------------------ settings


def settings_in_force(
    config: TraceConfig, environ: Mapping[str, str], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Returns each setting with its value and where that comes from; secret values stay hidden."""
    given = {key.lower().removeprefix("timetracer_") for key in settings}
    made = []
    for item in fields(TraceConfig):
        if not item.metadata:
            continue
        value = getattr(config, item.name)
        shown = "(hidden)" if item.metadata["secret"] and value else list(value) if isinstance(value, tuple) else value
        variable = item.metadata["variable"]
        names = (variable, *item.metadata["old"])
        source = _source(item.name, names, environ, given, value != item.default)
        made.append({"variable": variable, "value": shown, "source": source})
    return made


def _source(field: str, names: tuple[str, ...], environ: Mapping[str, str], given: set[str], changed: bool) -> str:
    short = {name.removeprefix("TIMETRACER_").lower() for name in names}
    if given & {field, *short}:
        return IN_DJANGO
    for name in names:
        if environ.get(name, "").strip():
            return name
    if not changed:
        return "default"
    if field == "cassette_dir":
        return "TIMETRACER_S3_BUCKET"
    named = field == "service" and environ.get("OTEL_SERVICE_NAME")
    return "OTEL_SERVICE_NAME" if named else "OTEL_RESOURCE_ATTRIBUTES"


# ------------------------------------------------------------------------------------------------ plugins


def plugins() -> Iterator[Found]:
    """Looks at each plugin: its library, the version it knows, and every function that it wraps."""
    for found in sorted(entry_points(group="timetracer_plugin"), key=lambda each: each.name):
        yield plugin_found(found)


def plugin_found(found: EntryPoint) -> Found:
    """Looks at one plugin. A library that is not installed is no fault; functions that are not where they were are."""
    try:
        plugin = loaded(found)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] not in ("timetracer", ""):
            return found.name, "note", f"{error.name} is not installed"
        return found.name, "wrong", f"{found.value} cannot be imported: {error}"
    except AttributeError as error:
        return found.name, "wrong", str(error)
    except ConfigError:
        return found.name, "wrong", f"{found.value} is no timetracer.plugin.Plugin"
    release = release_of(plugin)
    wrong = [] if release.tested else [f"not among the versions that this plugin knows ({plugin.library})"]
    if missing := wrapping.missing_targets(plugin):
        wrong.append(f"not where they were, and not captured: {', '.join(missing)}")
    if wrong:
        return found.name, "wrong", f"{release}: {'; '.join(wrong)}"
    return found.name, "ok", f"{release}, {len(plugin.patches)} functions in place{_spans(found.name)}"


def _spans(name: str) -> str:
    names = {found.name.replace("-", "_") for found in entry_points(group="opentelemetry_instrumentor")}
    known = {"aiohttp": "aiohttp_client", "http_client": None}.get(name, name)
    return "" if known is None or known in names else ", without spans (no OpenTelemetry instrumentation for it)"


# ------------------------------------------------------------------------------------------------ OpenTelemetry


def opentelemetry(environ: Mapping[str, str]) -> Iterator[Found]:
    """Looks at the launcher, the distribution it will take, the exporters, and the SDK."""
    beside = Path(sys.executable).parent
    launcher = shutil.which("opentelemetry-instrument", path=str(beside)) or shutil.which("opentelemetry-instrument")
    yield "launcher", "ok" if launcher else "wrong", launcher or "opentelemetry-instrument is not installed"
    names = [found.name for found in entry_points(group="opentelemetry_distro")]
    chosen = environ.get("OTEL_PYTHON_DISTRO")
    if chosen and chosen not in names:
        yield "distribution", "wrong", f"OTEL_PYTHON_DISTRO={chosen}: installed are {', '.join(names)}"
    elif "timetracer" not in names:
        yield "distribution", "wrong", "timetracer's entry points are not registered: reinstall timetracer"
    else:
        others = ", ".join(name for name in names if name != "timetracer")
        yield "distribution", "ok", f"{chosen} (OTEL_PYTHON_DISTRO)" if chosen else others or "timetracer"
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield "SDK", "note", "OTEL_SDK_DISABLED=true: cassettes have no spans"
    yield _exporter(environ)
    instrumentors = sorted(found.name for found in entry_points(group="opentelemetry_instrumentor"))
    yield "instrumentations", "ok" if instrumentors else "note", ", ".join(instrumentors) or "none: there are no spans"


def _exporter(environ: Mapping[str, str]) -> Found:
    installed = {found.name for found in entry_points(group="opentelemetry_traces_exporter")}
    chosen = environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    for name in filter(None, (part.strip() for part in chosen.split(","))):
        if name == "otlp":
            if _EXPORTERS.get(protocol or "http/protobuf") not in installed:
                return "exporter", "wrong", f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: no exporter for it is installed"
        elif name != "none" and name not in installed:
            return "exporter", "wrong", f"OTEL_TRACES_EXPORTER={name}: installed are {', '.join(sorted(installed))}"
    where = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    to = f" to {where or 'the default endpoint, localhost'}" if "otlp" in chosen else ""
    return "exporter", "ok", f"{chosen}{to}; payloads are not exported unless TIMETRACER_EXPORT_PAYLOADS asks for it"
