"""The names that users type, frozen: a change here is a change for every user, and is meant."""

from __future__ import annotations

import ast
import inspect
import tomllib
from pathlib import Path

import pytest

import timetracer
from timetracer import cli, environment_variables, plugin, plugins, pytest_plugin
from timetracer.config import PLUGIN_KINDS, TraceConfig

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

PLUGINS = {"aiohttp", "http_client", "httpx", "httpx2", "psycopg", "redis", "requests", "sqlite3", "urllib3"}


def test_the_package() -> None:
    """`import timetracer` gives these names and no others, each under the path of its module."""
    assert set(timetracer.__all__) == {
        "CassetteError",
        "ConfigError",
        "Exhausted",
        "NoMatch",
        "ReplayError",
        "TimetracerError",
        "TraceConfig",
        "UnsupportedError",
        "__version__",
        "record",
        "replay",
        "start",
        "stop",
    }
    assert all(getattr(timetracer, name) is not None for name in timetracer.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'recrod'"):
        timetracer.recrod  # type: ignore[attr-defined]  # noqa: B018


def test_record_and_replay() -> None:
    """Both take a path and options by name."""
    assert str(inspect.signature(timetracer.record)) == "(path: 'str | Path | None' = None, **options: 'Any') -> 'None'"
    assert str(inspect.signature(timetracer.replay)) == "(path: 'str | Path', **options: 'Any') -> 'None'"
    assert [*inspect.signature(timetracer.start).parameters][:1] == ["config"]
    assert not inspect.signature(timetracer.stop).parameters


def test_the_contract_of_plugins() -> None:
    """What a plugin author imports from `timetracer.plugin`."""
    tree = ast.parse(inspect.getsource(plugin)).body
    classes = {node.name for node in tree if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    aliases = {n.target.id for n in tree if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    public = {name for name in classes | aliases if not name.startswith("_")}
    roles = {"Exchange", "Send", "Receive", "Poll", "Open", "Close", "Role"}
    data = {"Call", "Volatile", "Upload", "Request", "Reply", "Capture", "Sink", "Source", "Patch", "Plugin"}
    assert public == roles | data | {"Value", "Headers", "BodyEnd"} | {"Inbound", "Visit", "Door"}


def test_switches() -> None:
    """Two for each plugin that is ours, and two for any."""
    switches = {f"{verb}_{name}" for verb in ("enable", "disable") for name in (*PLUGINS, "plugin")}
    assert set(plugins.__all__) == switches


def test_entry_points() -> None:
    """What an installation registers, and where."""
    groups = {group: set(names) for group, names in PROJECT["entry-points"].items()}
    assert groups == {
        "opentelemetry_distro": {"timetracer"},
        "opentelemetry_environment_variables": {"timetracer"},
        "opentelemetry_post_instrument": {"timetracer"},
        "opentelemetry_pre_instrument": {"timetracer"},
        "pytest11": {"timetracer"},
        "timetracer_plugin": PLUGINS,
    }
    assert PROJECT["scripts"] == {"timetracer": "timetracer.cli:main"}


def test_extras() -> None:
    """One for each library that has a plugin or an integration, and what cassettes can have."""
    libraries = {name.replace("_", "-") for name in PLUGINS}
    frameworks = {"django", "fastapi", "flask", "litestar", "starlette"}
    more = {"all", "encryption", "fast", "opentelemetry", "test", "threading", "zstd"}
    assert set(PROJECT["optional-dependencies"]) == libraries | frameworks | more


def test_commands() -> None:
    """The command line."""
    assert list(cli.COMMANDS) == ["demo", "run", "list", "show", "replay", "validate", "doctor"]


def test_pytest_options_and_fixtures(pytestconfig: pytest.Config) -> None:
    """What a test run and a test can ask for."""
    options = {action for action in vars(pytestconfig.option) if action.startswith("timetracer")}
    assert options == {
        "timetracer_record",
        "timetracer_block_network",
        "timetracer_allowed_hosts",
        "timetracer_unused",
    }
    assert (pytestconfig.getini("timetracer_cassette_dir"), pytestconfig.getini("timetracer_record")) == ("", "")
    (marker,) = (line for line in pytestconfig.getini("markers") if line.startswith("cassette("))
    signature = (
        "(path=None, *, record=None, strict=None, plugins=None, live=None, allow_unused=None, allow_repeats=False)"
    )
    assert marker.startswith(f"cassette{signature}: ")
    fixtures = {name for name in vars(pytest_plugin) if name.startswith("timetracer_")}
    assert fixtures == {
        "timetracer_auto",
        "timetracer_cassette",
        "timetracer_cassette_dir",
        "timetracer_config",
        "timetracer_record",
        "timetracer_replay",
    }


def test_environment_variables() -> None:
    """Every variable, those of 1.x included."""
    names = """MODE CASSETTE_DIR DIR CASSETTE SERVICE ENV CAPTURE MOCK_PLUGINS LIVE_PLUGINS SAMPLE_RATE ERRORS_ONLY
        INCLUDE_PATHS EXCLUDE_PATHS STRICT_REPLAY STREAM_TIMING ALLOW_REPEATS MATCH_IGNORE MAX_BODY_KB INLINE_BODY_KB
        STORE_REQ_BODY STORE_RES_BODY SECRETS REDACT_FIELDS REDACT_KEEP COMPRESSION ENCRYPTION_KEY ENCRYPTION_KEY_FILE
        KEY_FILE KMS_KEY_ID VAULT_KEY QUEUE_MB EXPORT_PAYLOADS LOG_LEVEL S3_BUCKET S3_PREFIX S3_REGION S3_ENDPOINT"""
    declared = {name for name in vars(environment_variables) if name.startswith("TIMETRACER_")}
    assert declared == {f"TIMETRACER_{name}" for name in names.split()}


def test_the_configuration() -> None:
    """Its methods, and the names that 1.x gave some fields."""
    methods = {"from_env", "with_env_overrides", "with_settings", "should_trace", "should_sample", "should_mock_plugin"}
    aliases = {"cassette_path", "service_name", "env", "store_request_body", "store_response_body"}
    assert all(hasattr(TraceConfig, name) for name in methods | aliases)


def test_every_plugin_can_be_named_in_the_configuration() -> None:
    """What is registered can be captured, mocked and left live by its name."""
    for name in PLUGINS:
        assert TraceConfig(live_plugins=(name,)).live_plugins == (name,)
    assert set(PLUGIN_KINDS) >= PLUGINS
