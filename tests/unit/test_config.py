"""`timetracer.config`: what may be set, from where, and what is said about anything else."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from timetracer.config import PLUGIN_KINDS, TraceConfig
from timetracer.errors import ConfigError


def test_defaults_change_nothing() -> None:
    """Without a setting, timetracer is off and would write to ./cassettes."""
    config = TraceConfig.from_env({})
    assert (config.mode, config.cassette_dir, config.replay_from) == ("off", "./cassettes", "./cassettes")
    assert config == TraceConfig()


def test_every_variable_reaches_its_field() -> None:
    """Text from the environment arrives typed."""
    config = TraceConfig.from_env(
        {
            "TIMETRACER_MODE": " Record ",
            "TIMETRACER_SAMPLE_RATE": "0.25",
            "TIMETRACER_ERRORS_ONLY": "yes",
            "TIMETRACER_EXCLUDE_PATHS": "/admin/*, /health",
            "TIMETRACER_QUEUE_MB": "8",
            "TIMETRACER_CAPTURE": "http,sqlite3",
        }
    )
    assert config.mode == "record"
    assert config.sample_rate == 0.25
    assert config.errors_only is True
    assert config.exclude_paths == ("/admin/*", "/health")
    assert config.queue_mb == 8
    assert config.capture == ("http", "sqlite3")


def test_empty_value_counts_as_not_set() -> None:
    """`TIMETRACER_MODE=` is what a compose file writes for a variable that is not set."""
    assert TraceConfig.from_env({"TIMETRACER_MODE": "", "TIMETRACER_QUEUE_MB": " "}) == TraceConfig()


def test_settings_win_over_environment_and_explicit_over_settings() -> None:
    """Order: explicit argument, Django settings, environment, default."""
    config = TraceConfig.from_env({"TIMETRACER_MODE": "record", "TIMETRACER_SERVICE": "env", "TIMETRACER_ENV": "prod"})
    config = config.with_settings({"SERVICE": "django", "CASSETTE_DIR": Path("there")})
    config = replace(config, mode="replay")
    assert (config.mode, config.service, config.environment, config.cassette_dir) == (
        "replay",
        "django",
        "prod",
        "there",
    )


def test_env_overrides_leave_the_rest() -> None:
    """`with_env_overrides` touches only what the environment sets."""
    config = TraceConfig(service="code", queue_mb=3).with_env_overrides({"TIMETRACER_QUEUE_MB": "5"})
    assert (config.service, config.queue_mb) == ("code", 5)


def test_names_come_from_otel_if_we_have_none() -> None:
    """OTEL_SERVICE_NAME wins over the resource, and our own variables over both."""
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,deployment.environment.name=pre%20prod"}
    config = TraceConfig.from_env(environ)
    assert (config.service, config.environment) == ("a", "pre prod")
    assert TraceConfig.from_env({**environ, "OTEL_SERVICE_NAME": "b"}).service == "b"
    assert TraceConfig.from_env({**environ, "OTEL_SERVICE_NAME": "b", "TIMETRACER_SERVICE": "c"}).service == "c"


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("TIMETRACER_MODE", "recrod", "one of off, record, replay"),
        ("TIMETRACER_SAMPLE_RATE", "1.5", "a number from 0.0 to 1.0"),
        ("TIMETRACER_SAMPLE_RATE", "nan", "a number from 0.0 to 1.0"),
        ("TIMETRACER_ERRORS_ONLY", "maybe", "true or false"),
        ("TIMETRACER_MAX_BODY_KB", "-1", "a whole number, 0 or more"),
        ("TIMETRACER_QUEUE_MB", "0", "a whole number, 1 or more"),
        ("TIMETRACER_QUEUE_MB", "many", "a whole number, 1 or more"),
        ("TIMETRACER_COMPRESSION", "lzma", "one of none, gzip, zstd"),
        ("TIMETRACER_LIVE_PLUGINS", "all,httpx", "all or none alone, or names and kinds of plugins"),
    ],
)
def test_bad_value_names_variable_value_and_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    """One clear sentence for each bad value."""
    with pytest.raises(ConfigError) as caught:
        TraceConfig.from_env({variable: value})
    assert str(caught.value) == f"{variable}={value!r} is not allowed: {allowed}"


def test_bad_argument_is_named_by_its_field() -> None:
    """In code the field is what the user typed."""
    with pytest.raises(ConfigError, match=r"^queue_mb=True is not allowed: a whole number, 1 or more$"):
        TraceConfig(queue_mb=True)


def test_unknown_plugin_is_refused_with_the_nearest_name() -> None:
    """A misspelt live plugin would otherwise be mocked in silence."""
    with pytest.raises(ConfigError, match=r"TIMETRACER_LIVE_PLUGINS='htpx'.*did you mean httpx\?.*kinds \(aws, cache"):
        TraceConfig.from_env({"TIMETRACER_LIVE_PLUGINS": "htpx"})


def test_third_party_plugins_are_allowed_once_known() -> None:
    """Plugins found by entry point count like our own, by name and by kind."""
    config = TraceConfig.from_env({"TIMETRACER_LIVE_PLUGINS": "queue"}, known_plugins={"nats": "queue"})
    assert not config.should_mock_plugin("nats")
    assert replace(config, live_plugins=("nats",)).live_plugins == ("nats",)


def test_unknown_setting_suggests_the_nearest() -> None:
    """A typing error in Django's TIMETRACER is an error, not a setting without effect."""
    with pytest.raises(ConfigError, match=r"'CASETTE_DIR'.*did you mean CASSETTE_DIR\?"):
        TraceConfig().with_settings({"CASETTE_DIR": "x"})


def test_unknown_variable_is_said_with_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    """The environment may hold what a newer version knows, so that is a warning."""
    with caplog.at_level(logging.WARNING, logger="timetracer.config"):
        TraceConfig.from_env({"TIMETRACER_MODUS": "record", "TIMETRACER_TEST_SERVICES": "all"})
        TraceConfig.from_env({"TIMETRACER_MODUS": "record"})
    assert [record.getMessage() for record in caplog.records] == [
        "TIMETRACER_MODUS is no variable of timetracer and does nothing; did you mean TIMETRACER_MODE?"
    ]


def test_names_of_timetracer_1_go_on() -> None:
    """Keywords and attributes of 1.x mean the same."""
    old: dict[str, Any] = {"service_name": "s", "env": "e", "cassette_path": "c.json", "store_request_body": False}
    for config in (TraceConfig(**old), TraceConfig.create(**old), TraceConfig().with_settings(old)):
        assert (config.service, config.environment, config.cassette, config.store_req_body) == (
            "s",
            "e",
            "c.json",
            False,
        )
        assert (config.service_name, config.env, config.cassette_path) == ("s", "e", "c.json")
        assert (config.store_request_body, config.store_response_body) == (False, True)
    assert TraceConfig.from_env({"TIMETRACER_DIR": "old"}).cassette_dir == "old"
    assert TraceConfig.from_env({"TIMETRACER_DIR": "old", "TIMETRACER_CASSETTE_DIR": "new"}).cassette_dir == "new"


def test_one_setting_under_two_names_is_refused() -> None:
    """Which of them would win could only be guessed."""
    both: dict[str, Any] = {"service": "a", "service_name": "b"}
    with pytest.raises(TypeError, match="two names"):
        TraceConfig(**both)


def test_body_policies_of_timetracer_1_are_accepted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """`on_error` cannot be had any more per body, so the log names what can."""

    class Policy(StrEnum):
        NEVER = "never"

    with caplog.at_level(logging.WARNING, logger="timetracer.config"):
        config = TraceConfig.from_env({"TIMETRACER_STORE_REQ_BODY": "on_error"})
    assert config.store_req_body is True
    assert "TIMETRACER_ERRORS_ONLY=true" in caplog.text
    values: dict[str, Any] = {"store_response_body": Policy.NEVER}
    assert TraceConfig(**values).store_res_body is False


def test_s3_names_of_timetracer_1_make_a_url() -> None:
    """A cassette folder that is named outright wins over them."""
    config = TraceConfig.from_env({"TIMETRACER_S3_BUCKET": "b", "TIMETRACER_S3_PREFIX": "/x/y/"})
    assert config.cassette_dir == "s3://b/x/y"
    assert TraceConfig(s3_bucket="b").cassette_dir == "s3://b"
    assert TraceConfig(s3_bucket="b", cassette_dir="here").cassette_dir == "here"


def test_should_trace_by_globs() -> None:
    """Exclusion wins over inclusion; a plain path covers what lies beneath it; the query does not count."""
    config = TraceConfig(include_paths=("/api/*", "tasks.*"), exclude_paths=("/api/health", "*/private/*"))
    assert config.should_trace("/api/orders?next=/api/health")
    assert config.should_trace("tasks.pay")
    assert not config.should_trace("/")
    assert not config.should_trace("/api/health")
    assert not config.should_trace("/api/health/deep")
    assert config.should_trace("/api/healthy")
    assert not config.should_trace("/api/private/x")


def test_should_sample_is_a_function_of_the_trace_id() -> None:
    """Only the low 64 bits count, none at rate 0, all at rate 1, and a higher rate keeps what a lower one kept."""
    ids = [value * 0x9E3779B97F4A7C15 % (1 << 128) for value in range(1, 2001)]
    kept = {
        rate: {trace for trace in ids if TraceConfig(sample_rate=rate).should_sample(trace)}
        for rate in (0, 0.3, 0.6, 1)
    }
    assert not kept[0]
    assert kept[1] == set(ids)
    assert kept[0.3] < kept[0.6]
    assert 500 < len(kept[0.3]) < 700
    half = TraceConfig(sample_rate=0.5)
    assert half.should_sample((1 << 63) - 1)
    assert half.should_sample(0xFF << 64 | (1 << 63) - 1)
    assert not half.should_sample(1 << 63)


def test_sampling_keeps_the_traces_that_otel_keeps() -> None:
    """At the same rate, a trace that OTel's ratio sampler keeps is recorded, so that its spans are found."""
    sampler, config = TraceIdRatioBased(0.25), TraceConfig(sample_rate=0.25)
    for value in range(1, 2001):
        trace = value * 0x9E3779B97F4A7C15 % (1 << 128)
        assert config.should_sample(trace) is (sampler.should_sample(None, trace, "x").decision is not Decision.DROP)


@pytest.mark.parametrize(
    ("mock", "live", "mocked"),
    [
        ("", "", {"httpx", "requests", "sqlite3"}),
        ("", "httpx", {"requests", "sqlite3"}),
        ("", "http", {"sqlite3"}),
        ("httpx", "http", {"httpx"}),
        ("http", "httpx", {"requests"}),
        ("http", "", {"httpx", "requests"}),
        ("none", "", set()),
        ("all", "all", set()),
    ],
)
def test_hybrid_replay_by_name_or_kind(mock: str, live: str, mocked: set[str]) -> None:
    """The more exact word wins, and live wins a tie."""
    config = TraceConfig.from_env({"TIMETRACER_MOCK_PLUGINS": mock, "TIMETRACER_LIVE_PLUGINS": live})
    assert {name for name in ("httpx", "requests", "sqlite3") if config.should_mock_plugin(name)} == mocked


def test_boto3_is_botocore() -> None:
    """Users type either name."""
    config = TraceConfig.from_env({"TIMETRACER_LIVE_PLUGINS": "boto3"})
    assert not config.should_mock_plugin("botocore")
    assert not config.should_mock_plugin("boto3")


def test_should_capture_plugin() -> None:
    """Kinds work where the plugin tells its own."""
    config = TraceConfig(capture=("http",))
    assert config.should_capture_plugin("httpx")
    assert config.should_capture_plugin("mine", "http")
    assert not config.should_capture_plugin("redis")
    assert set(PLUGIN_KINDS.values()) == {"http", "db", "redis", "mongo", "aws", "celery", "cache"}


def test_the_key_is_never_shown() -> None:
    """Neither in a repr nor in an error."""
    assert "hunter2" not in repr(TraceConfig(encryption_key="hunter2"))
    with pytest.raises(ConfigError) as caught:
        TraceConfig(encryption_key="hunter2", vault_key="v")
    assert "hunter2" not in str(caught.value)
    assert "TIMETRACER_ENCRYPTION_KEY and TIMETRACER_VAULT_KEY" in str(caught.value)
    wrong: dict[str, Any] = {"encryption_key": b"hunter2"}
    with pytest.raises(ConfigError) as caught:
        TraceConfig(**wrong)
    assert "hunter2" not in str(caught.value)


def test_sealing_needs_a_key_to_record() -> None:
    """Replaying without the key is allowed: the report then names the check that cannot pass."""
    with pytest.raises(ConfigError, match="TIMETRACER_SECRETS='seal'"):
        TraceConfig(mode="record", secrets="seal")
    assert TraceConfig(mode="replay", secrets="seal").secrets == "seal"
    assert TraceConfig.from_env({"TIMETRACER_SECRETS": "seal", "TIMETRACER_KEY_FILE": "k"}).encryption_key_file == "k"


def test_frozen() -> None:
    """A configuration that changes under way would be two."""
    with pytest.raises(FrozenInstanceError):
        TraceConfig().mode = "record"  # type: ignore[misc]
    assert all(item.kw_only for item in fields(TraceConfig))
