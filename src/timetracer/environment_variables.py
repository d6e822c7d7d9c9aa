"""The names of all environment variables that timetracer reads, each with its meaning and default.

`timetracer.config` reads them, once; `docs/configuration.md` explains them at length. A value is text: lists are
separated by commas, booleans are `true` or `false` (also 1/0, yes/no, on/off), and an empty value counts as not set.
"""

from __future__ import annotations

TIMETRACER_MODE = "TIMETRACER_MODE"
"""
.. envvar:: TIMETRACER_MODE

What to do with the calls of this process: ``off`` leaves them alone, ``record`` writes cassettes, ``replay`` answers
from cassettes.
Default: "off"
"""

TIMETRACER_CASSETTE_DIR = "TIMETRACER_CASSETTE_DIR"
"""
.. envvar:: TIMETRACER_CASSETTE_DIR

Where cassettes go: a folder, or an ``s3://``, ``gs://`` or ``az://`` URL.
Default: "./cassettes"
"""

TIMETRACER_DIR = "TIMETRACER_DIR"
"""
.. envvar:: TIMETRACER_DIR

The name of :envvar:`TIMETRACER_CASSETTE_DIR` in timetracer 1.x, which wins if both are set.
Default: not set
"""

TIMETRACER_CASSETTE = "TIMETRACER_CASSETTE"
"""
.. envvar:: TIMETRACER_CASSETTE

What to replay: a cassette file, a folder of them, or a URL.
Default: the value of TIMETRACER_CASSETTE_DIR
"""

TIMETRACER_SERVICE = "TIMETRACER_SERVICE"
"""
.. envvar:: TIMETRACER_SERVICE

The service's name in its cassettes.
Default: the value of OTEL_SERVICE_NAME, else service.name of OTEL_RESOURCE_ATTRIBUTES
"""

TIMETRACER_ENV = "TIMETRACER_ENV"
"""
.. envvar:: TIMETRACER_ENV

The deployment environment's name in cassettes.
Default: deployment.environment.name of OTEL_RESOURCE_ATTRIBUTES
"""

TIMETRACER_CAPTURE = "TIMETRACER_CAPTURE"
"""
.. envvar:: TIMETRACER_CAPTURE

The plugins that record, by name (``httpx``) or kind (``http``); ``all`` or ``none``.
Default: "all"
"""

TIMETRACER_MOCK_PLUGINS = "TIMETRACER_MOCK_PLUGINS"
"""
.. envvar:: TIMETRACER_MOCK_PLUGINS

The plugins that are answered from the cassette in replay, by name or kind; ``all`` or ``none``.
Default: "all"
"""

TIMETRACER_LIVE_PLUGINS = "TIMETRACER_LIVE_PLUGINS"
"""
.. envvar:: TIMETRACER_LIVE_PLUGINS

The plugins that reach their real servers in replay, by name or kind; ``all`` or ``none``. The more exact word wins: a
name before a kind, a kind before ``all``.
Default: "none"
"""

TIMETRACER_SAMPLE_RATE = "TIMETRACER_SAMPLE_RATE"
"""
.. envvar:: TIMETRACER_SAMPLE_RATE

The share of traces that is recorded, from 0.0 to 1.0; independent of OTEL_TRACES_SAMPLER, and the same traces in every
service.
Default: "1.0"
"""

TIMETRACER_ERRORS_ONLY = "TIMETRACER_ERRORS_ONLY"
"""
.. envvar:: TIMETRACER_ERRORS_ONLY

Keeps a cassette only if its root failed: a 5xx answer, an exception, a failed task.
Default: "false"
"""

TIMETRACER_INCLUDE_PATHS = "TIMETRACER_INCLUDE_PATHS"
"""
.. envvar:: TIMETRACER_INCLUDE_PATHS

Globs on the inbound path or task name; if set, only what matches one of them is recorded.
Default: not set
"""

TIMETRACER_EXCLUDE_PATHS = "TIMETRACER_EXCLUDE_PATHS"
"""
.. envvar:: TIMETRACER_EXCLUDE_PATHS

Globs on the inbound path or task name (``/admin/*``) that are not recorded; they win over
:envvar:`TIMETRACER_INCLUDE_PATHS`.
Default: not set
"""

TIMETRACER_STRICT_REPLAY = "TIMETRACER_STRICT_REPLAY"
"""
.. envvar:: TIMETRACER_STRICT_REPLAY

Lets replay answer on an exact match only.
Default: "false"
"""

TIMETRACER_STREAM_TIMING = "TIMETRACER_STREAM_TIMING"
"""
.. envvar:: TIMETRACER_STREAM_TIMING

The pace of replayed streams: ``none`` waits for nothing, ``recorded`` waits as long as at the time.
Default: "none"
"""

TIMETRACER_ALLOW_REPEATS = "TIMETRACER_ALLOW_REPEATS"
"""
.. envvar:: TIMETRACER_ALLOW_REPEATS

Lets a recorded answer that was already given be given again.
Default: "false"
"""

TIMETRACER_MATCH_IGNORE = "TIMETRACER_MATCH_IGNORE"
"""
.. envvar:: TIMETRACER_MATCH_IGNORE

More header, query or JSON fields to leave out of matching.
Default: not set
"""

TIMETRACER_MAX_BODY_KB = "TIMETRACER_MAX_BODY_KB"
"""
.. envvar:: TIMETRACER_MAX_BODY_KB

How many KB of one body are captured at most; a longer one is marked incomplete.
Default: "10240"
"""

TIMETRACER_INLINE_BODY_KB = "TIMETRACER_INLINE_BODY_KB"
"""
.. envvar:: TIMETRACER_INLINE_BODY_KB

How many KB of one body stand in the cassette itself; a longer one gets a side file.
Default: "64"
"""

TIMETRACER_STORE_REQ_BODY = "TIMETRACER_STORE_REQ_BODY"
"""
.. envvar:: TIMETRACER_STORE_REQ_BODY

Stores the bodies of inbound requests.
Default: "true"
"""

TIMETRACER_STORE_RES_BODY = "TIMETRACER_STORE_RES_BODY"
"""
.. envvar:: TIMETRACER_STORE_RES_BODY

Stores the bodies of the answers to inbound requests.
Default: "true"
"""

TIMETRACER_SECRETS = "TIMETRACER_SECRETS"
"""
.. envvar:: TIMETRACER_SECRETS

What happens to secret values in cassettes: ``redact`` replaces them, ``seal`` encrypts them in place (needs a key),
``keep`` leaves them.
Default: "redact"
"""

TIMETRACER_REDACT_FIELDS = "TIMETRACER_REDACT_FIELDS"
"""
.. envvar:: TIMETRACER_REDACT_FIELDS

More names of headers, keys and parameters whose values are secret.
Default: not set
"""

TIMETRACER_REDACT_KEEP = "TIMETRACER_REDACT_KEEP"
"""
.. envvar:: TIMETRACER_REDACT_KEEP

Names of headers, keys and parameters whose values are not secret.
Default: not set
"""

TIMETRACER_COMPRESSION = "TIMETRACER_COMPRESSION"
"""
.. envvar:: TIMETRACER_COMPRESSION

How cassettes are compressed: ``none``, ``gzip`` or ``zstd``.
Default: "none"
"""

TIMETRACER_ENCRYPTION_KEY = "TIMETRACER_ENCRYPTION_KEY"
"""
.. envvar:: TIMETRACER_ENCRYPTION_KEY

The key that encrypts cassettes at rest and seals secrets in them. At most one source of a key may be set.
Default: not set
"""

TIMETRACER_ENCRYPTION_KEY_FILE = "TIMETRACER_ENCRYPTION_KEY_FILE"
"""
.. envvar:: TIMETRACER_ENCRYPTION_KEY_FILE

A file that holds the key.
Default: not set
"""

TIMETRACER_KEY_FILE = "TIMETRACER_KEY_FILE"
"""
.. envvar:: TIMETRACER_KEY_FILE

A short name of :envvar:`TIMETRACER_ENCRYPTION_KEY_FILE`, which wins if both are set.
Default: not set
"""

TIMETRACER_KMS_KEY_ID = "TIMETRACER_KMS_KEY_ID"
"""
.. envvar:: TIMETRACER_KMS_KEY_ID

The id of an AWS KMS key that wraps the key.
Default: not set
"""

TIMETRACER_VAULT_KEY = "TIMETRACER_VAULT_KEY"
"""
.. envvar:: TIMETRACER_VAULT_KEY

The name of a HashiCorp Vault transit key that wraps the key.
Default: not set
"""

TIMETRACER_QUEUE_MB = "TIMETRACER_QUEUE_MB"
"""
.. envvar:: TIMETRACER_QUEUE_MB

How many MB captured data may take in memory until it is on disk; beyond it bodies become incomplete, and the app goes
on.
Default: "64"
"""

TIMETRACER_EXPORT_PAYLOADS = "TIMETRACER_EXPORT_PAYLOADS"
"""
.. envvar:: TIMETRACER_EXPORT_PAYLOADS

Emits the redacted exchanges as OTel log records with their trace and span id.
Default: "false"
"""

TIMETRACER_LOG_LEVEL = "TIMETRACER_LOG_LEVEL"
"""
.. envvar:: TIMETRACER_LOG_LEVEL

How much timetracer itself logs: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.
Default: "warning"
"""

TIMETRACER_S3_BUCKET = "TIMETRACER_S3_BUCKET"
"""
.. envvar:: TIMETRACER_S3_BUCKET

The name of timetracer 1.x for an S3 bucket to keep cassettes in; TIMETRACER_CASSETTE_DIR=s3://bucket/prefix wins over
it.
Default: not set
"""

TIMETRACER_S3_PREFIX = "TIMETRACER_S3_PREFIX"
"""
.. envvar:: TIMETRACER_S3_PREFIX

The folder in :envvar:`TIMETRACER_S3_BUCKET`.
Default: not set
"""

TIMETRACER_S3_REGION = "TIMETRACER_S3_REGION"
"""
.. envvar:: TIMETRACER_S3_REGION

The region of the S3 bucket, if the AWS variables do not name it.
Default: not set
"""

TIMETRACER_S3_ENDPOINT = "TIMETRACER_S3_ENDPOINT"
"""
.. envvar:: TIMETRACER_S3_ENDPOINT

The URL of an S3-compatible server in place of AWS.
Default: not set
"""
