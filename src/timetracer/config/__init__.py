"""What the user asked for: every setting, where it may come from, what it may be, validated once.

The fields of `TraceConfig` are the one table: each knows its variable, its default and how its value is read. Order of
precedence: explicit argument, command line flag, Django settings, environment, default.

    config = TraceConfig.from_env().with_settings(settings.TIMETRACER).with_settings({"mode": "replay"})
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

from timetracer import environment_variables as variables
from timetracer.config import parsing
from timetracer.config.parsing import PLUGIN_KINDS, Parser
from timetracer.errors import ConfigError

__all__ = ["IN_DJANGO", "PLUGIN_KINDS", "SCRIPT_MARK", "TraceConfig", "environment", "in_ci", "taken"]

T = TypeVar("T")
_DEFAULT_DIR = "./cassettes"
_TRACE_ID_BITS = 64  # opentelemetry.sdk.trace.sampling.TraceIdRatioBased
IN_DJANGO = "Django's TIMETRACER"
"""What errors and reports call a project's settings."""
_LEFT_ALONE = "TIMETRACER_TEST_"  # the project's own tests
SCRIPT_MARK = "_TIMETRACER_SCRIPT"
"""Set by `timetracer run` alone, for the process that it starts; no setting."""


# ------------------------------------------------------------------------------------------------ the table


def _setting(default: T, variable: str, parse: Parser, *, old: tuple[str, ...] = (), secret: bool = False) -> T:
    """Declares one setting; `old` are further names of its variable or field, of timetracer 1.x mostly."""
    metadata = {"variable": variable, "parse": parse, "old": old, "secret": secret}
    declared: T = field(default=default, metadata=metadata, repr=not secret)
    return declared


def _with_old_names(cls: type[T]) -> type[T]:
    """Lets `TraceConfig(service_name=...)` of timetracer 1.x go on, without making it part of the typed signature."""
    generated: Any = cls.__init__

    def __init__(self: Any, **settings: Any) -> None:
        renamed = {_OLD_FIELDS.get(name, name): value for name, value in settings.items()}
        if len(renamed) != len(settings):
            raise TypeError(f"a setting is given under two names: {', '.join(settings)}")
        generated(self, **renamed)

    __init__.__wrapped__ = generated  # type: ignore[attr-defined]  # inspect.signature shows the fields
    setattr(cls, "__init__", __init__)  # noqa: B010  # mypy keeps the generated signature
    return cls


@_with_old_names
@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """All settings. A bad value raises `ConfigError`; text is accepted for every field, as from the environment."""

    mode: Literal["off", "record", "replay"] = _setting(
        "off", variables.TIMETRACER_MODE, parsing.choice("off", "record", "replay")
    )
    cassette_dir: str = _setting(
        _DEFAULT_DIR, variables.TIMETRACER_CASSETTE_DIR, parsing.text, old=(variables.TIMETRACER_DIR,)
    )
    cassette: str | None = _setting(None, variables.TIMETRACER_CASSETTE, parsing.text, old=("cassette_path",))
    service: str | None = _setting(None, variables.TIMETRACER_SERVICE, parsing.text, old=("service_name",))
    environment: str | None = _setting(None, variables.TIMETRACER_ENV, parsing.text)
    capture: tuple[str, ...] = _setting(("all",), variables.TIMETRACER_CAPTURE, parsing.plugins)
    mock_plugins: tuple[str, ...] = _setting(("all",), variables.TIMETRACER_MOCK_PLUGINS, parsing.plugins)
    live_plugins: tuple[str, ...] = _setting(("none",), variables.TIMETRACER_LIVE_PLUGINS, parsing.plugins)
    sample_rate: float = _setting(1.0, variables.TIMETRACER_SAMPLE_RATE, parsing.share)
    errors_only: bool = _setting(False, variables.TIMETRACER_ERRORS_ONLY, parsing.flag)
    include_paths: tuple[str, ...] = _setting((), variables.TIMETRACER_INCLUDE_PATHS, parsing.words)
    exclude_paths: tuple[str, ...] = _setting((), variables.TIMETRACER_EXCLUDE_PATHS, parsing.words)
    strict_replay: bool = _setting(False, variables.TIMETRACER_STRICT_REPLAY, parsing.flag)
    stream_timing: Literal["none", "recorded"] = _setting(
        "none", variables.TIMETRACER_STREAM_TIMING, parsing.choice("none", "recorded")
    )
    allow_repeats: bool = _setting(False, variables.TIMETRACER_ALLOW_REPEATS, parsing.flag)
    match_ignore: tuple[str, ...] = _setting((), variables.TIMETRACER_MATCH_IGNORE, parsing.words)
    max_body_kb: int = _setting(10240, variables.TIMETRACER_MAX_BODY_KB, parsing.at_least(0))
    inline_body_kb: int = _setting(64, variables.TIMETRACER_INLINE_BODY_KB, parsing.at_least(0))
    store_req_body: bool = _setting(
        True, variables.TIMETRACER_STORE_REQ_BODY, parsing.stored, old=("store_request_body",)
    )
    store_res_body: bool = _setting(
        True, variables.TIMETRACER_STORE_RES_BODY, parsing.stored, old=("store_response_body",)
    )
    secrets: Literal["redact", "seal", "keep"] = _setting(
        "redact", variables.TIMETRACER_SECRETS, parsing.choice("redact", "seal", "keep")
    )
    redact_fields: tuple[str, ...] = _setting((), variables.TIMETRACER_REDACT_FIELDS, parsing.words)
    redact_keep: tuple[str, ...] = _setting((), variables.TIMETRACER_REDACT_KEEP, parsing.words)
    compression: Literal["none", "gzip", "zstd"] = _setting(
        "none", variables.TIMETRACER_COMPRESSION, parsing.choice("none", "gzip", "zstd")
    )
    encryption_key: str | None = _setting(None, variables.TIMETRACER_ENCRYPTION_KEY, parsing.text, secret=True)
    encryption_key_file: str | None = _setting(
        None, variables.TIMETRACER_ENCRYPTION_KEY_FILE, parsing.text, old=(variables.TIMETRACER_KEY_FILE,)
    )
    kms_key_id: str | None = _setting(None, variables.TIMETRACER_KMS_KEY_ID, parsing.text)
    vault_key: str | None = _setting(None, variables.TIMETRACER_VAULT_KEY, parsing.text)
    queue_mb: int = _setting(64, variables.TIMETRACER_QUEUE_MB, parsing.at_least(1))
    export_payloads: bool = _setting(False, variables.TIMETRACER_EXPORT_PAYLOADS, parsing.flag)
    log_level: str = _setting(
        "warning", variables.TIMETRACER_LOG_LEVEL, parsing.choice("debug", "info", "warning", "error", "critical")
    )
    s3_bucket: str | None = _setting(None, variables.TIMETRACER_S3_BUCKET, parsing.text)
    s3_prefix: str | None = _setting(None, variables.TIMETRACER_S3_PREFIX, parsing.text)
    s3_region: str | None = _setting(None, variables.TIMETRACER_S3_REGION, parsing.text)
    s3_endpoint: str | None = _setting(None, variables.TIMETRACER_S3_ENDPOINT, parsing.text)
    known_plugins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Names and kinds of third-party plugins, allowed beside `PLUGIN_KINDS`."""

    def __post_init__(self) -> None:
        for setting in _SETTINGS.values():
            value = _read(setting, setting.name, getattr(self, setting.name), self.known_plugins)
            object.__setattr__(self, setting.name, value)
        if self.s3_bucket and self.cassette_dir == _DEFAULT_DIR:
            url = "/".join(("s3:/", self.s3_bucket, *(self.s3_prefix or "").strip("/").split("/"))).rstrip("/")
            object.__setattr__(self, "cassette_dir", url)
        keys = [name for name in _KEYS if getattr(self, name)]
        if len(keys) > 1:
            raise ConfigError(" and ".join(_variable(_SETTINGS[name]) for name in keys), "(hidden)", "only one of them")
        if self.mode == "record" and self.secrets == "seal" and not keys:
            names = ", ".join(_variable(_SETTINGS[name]) for name in _KEYS)
            raise ConfigError(variables.TIMETRACER_SECRETS, self.secrets, f"with a key only, from one of {names}")

    # ------------------------------------------------------------------------------------------ where it comes from

    @classmethod
    def create(cls, *, known_plugins: Mapping[str, str] | None = None, **options: Any) -> TraceConfig:
        """Returns the defaults with `options` on top, under any name that `with_settings` knows."""
        return cls(known_plugins=known_plugins or {}).with_settings(options)

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, known_plugins: Mapping[str, str] | None = None
    ) -> TraceConfig:
        """Returns what the environment says: TIMETRACER_* first, then OTel's names of service and environment.

        Raises:
            ConfigError: a variable has a value that is not allowed.
        """
        return cls(known_plugins=known_plugins or {}).with_env_overrides(environ)

    def with_env_overrides(self, environ: Mapping[str, str] | None = None) -> TraceConfig:
        """Returns these settings with every TIMETRACER_* variable that is set on top.

        Raises:
            ConfigError: a variable has a value that is not allowed.
        """
        environ = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for setting in _SETTINGS.values():
            for name in (_variable(setting), *setting.metadata["old"]):
                if (raw := environ.get(name, "")).strip():
                    given[setting.name] = _read(setting, name, raw, self.known_plugins)
                    break
        for name in environ:
            if name.startswith("TIMETRACER_") and name not in _VARIABLES and not name.startswith(_LEFT_ALONE):
                parsing.say(f"{name} is no variable of timetracer and does nothing{parsing.suggest(name, _VARIABLES)}")
        resource = parsing.resource_attributes(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
        service = self.service or environ.get("OTEL_SERVICE_NAME") or resource.get("service.name")
        environment = self.environment or resource.get("deployment.environment.name")
        return replace(self, **{"service": service, "environment": environment, **given})

    def with_settings(self, settings: Mapping[str, Any], *, where: str = "") -> TraceConfig:
        """Returns these settings with a mapping on top, such as Django's `TIMETRACER`.

        Keys are variables with or without their prefix, fields, or names of timetracer 1.x; their case does not matter.

        Args:
            settings: values as the environment has them, or typed.
            where: what the mapping is, for errors; empty where they are arguments.

        Raises:
            ConfigError: a key does not exist, or a value is not allowed.
        """
        given: dict[str, Any] = {}
        for key, raw in settings.items():
            name = key.lower().removeprefix("timetracer_")
            if name not in _NAMES:
                names = [known.upper() if key.isupper() else known for known in _NAMES]
                hint = parsing.suggest(key, names) or f"; the settings are {', '.join(_SETTINGS)}"
                raise ConfigError(f"{where} setting".lstrip(), key, "there is no such setting" + hint)
            shown = f"{where}[{key!r}]" if where else key
            given[_NAMES[name]] = _read(_SETTINGS[_NAMES[name]], shown, raw, self.known_plugins)
        return replace(self, **given)

    # ------------------------------------------------------------------------------------------ what it means

    @property
    def replay_from(self) -> str:
        """The file, folder or URL to replay."""
        return self.cassette or self.cassette_dir

    def should_trace(self, path: str) -> bool:
        """Tells whether an inbound path (its query is ignored) or task name is to be recorded."""
        path = path.partition("?")[0]
        if any(_covers(pattern, path) for pattern in self.exclude_paths):
            return False
        return not self.include_paths or any(_covers(pattern, path) for pattern in self.include_paths)

    def should_sample(self, trace_id: int) -> bool:
        """Tells whether a trace is recorded: the same in every service, whatever OTel's sampler says.

        The low 64 bits decide, low numbers first, as in OTel's `TraceIdRatioBased`: where both keep a share, the traces
        of the smaller share are among those of the larger one, and a cassette's spans are found in the collector.
        """
        return trace_id & ((1 << _TRACE_ID_BITS) - 1) < round(self.sample_rate * (1 << _TRACE_ID_BITS))

    def should_mock_plugin(self, name: str, kind: str | None = None) -> bool:
        """Tells whether a plugin is answered from the cassette in replay: name over kind over `all`."""
        mocked = self._exactness(self.mock_plugins, name, kind)
        return mocked > self._exactness(self.live_plugins, name, kind)

    def should_capture_plugin(self, name: str, kind: str | None = None) -> bool:
        """Tells whether a plugin records."""
        return self._exactness(self.capture, name, kind) > 0

    def _exactness(self, words: tuple[str, ...], name: str, kind: str | None) -> int:
        name = parsing.SYNONYMS.get(name, name)
        kind = kind or PLUGIN_KINDS.get(name) or self.known_plugins.get(name)
        return 3 if name in words else 2 if kind in words else 1 if "all" in words else 0

    # ------------------------------------------------------------------------------------------ names of 1.x

    @property
    def cassette_path(self) -> str | None:
        """`cassette`, as timetracer 1.x called it."""
        return self.cassette

    @property
    def service_name(self) -> str | None:
        """`service`, as timetracer 1.x called it."""
        return self.service

    @property
    def env(self) -> str | None:
        """`environment`, as timetracer 1.x called it."""
        return self.environment

    @property
    def store_request_body(self) -> bool:
        """`store_req_body`, as timetracer 1.x called it."""
        return self.store_req_body

    @property
    def store_response_body(self) -> bool:
        """`store_res_body`, as timetracer 1.x called it."""
        return self.store_res_body


def in_ci(environ: Mapping[str, str] | None = None) -> bool:
    """Tells whether a CI system runs this: they all set CI, and nothing is to be recorded there unasked."""
    return bool((os.environ if environ is None else environ).get("CI"))


# ------------------------------------------------------------------------------------------------ names and errors


def _variable(setting: Field[Any]) -> str:
    variable: str = setting.metadata["variable"]
    return variable


def _short(name: str) -> str:
    return name.removeprefix("TIMETRACER_").lower()


_SETTINGS: dict[str, Field[Any]] = {item.name: item for item in fields(TraceConfig) if item.metadata}
_VARIABLES = {name for name in dir(variables) if name.startswith("TIMETRACER_")}
_NAMES = {item.name: item.name for item in _SETTINGS.values()} | {
    _short(name): item.name for item in _SETTINGS.values() for name in (_variable(item), *item.metadata["old"])
}
_OLD_FIELDS = {old: name for old, name in _NAMES.items() if old != name}
_KEYS = ("encryption_key", "encryption_key_file", "kms_key_id", "vault_key")


def _read(setting: Field[Any], shown: str, raw: object, known_plugins: Mapping[str, str]) -> Any:
    """Reads one value; an empty one is the default. `shown` is the name as the user typed it."""
    raw = raw.value if isinstance(raw, Enum) else raw
    if raw is None or raw == "" or (isinstance(raw, Iterable) and not isinstance(raw, str) and not raw):
        return setting.default
    try:
        value = setting.metadata["parse"](raw)
        if setting.metadata["parse"] is parsing.plugins:
            parsing.check_plugins(value, known_plugins)
    except ValueError as error:
        raise ConfigError(shown, "(hidden)" if setting.metadata["secret"] else raw, str(error)) from None
    return setting.default if value in (None, ()) else value


def _covers(pattern: str, path: str) -> bool:
    """Matches a glob, or a plain path with all that lies beneath it."""
    if any(special in pattern for special in "*?["):
        return fnmatchcase(path, pattern)
    return path == pattern or path.startswith(pattern.rstrip("/") + "/")


# ------------------------------------------------------------------------------------------------ the environment


def environment() -> dict[str, str]:
    """Returns a copy of the process's environment, to be shown or handed to a child."""
    return dict(os.environ)


def taken(name: str) -> str | None:
    """Takes a variable out of the process's environment, so that no child inherits it, and returns its value."""
    return os.environ.pop(name, None)
