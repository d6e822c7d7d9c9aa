"""Turns libpq's results and parameters into data to read and compare: text where PostgreSQL sends text, OIDs kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from timetracer.errors import UnsupportedError
from timetracer.outbound.postgres_peer import SETTINGS
from timetracer.outbound.postgres_wire import ERROR_FIELDS, Result
from timetracer.plugin import Value
from timetracer.values import Later

_REPORTED = (
    *SETTINGS,
    "default_transaction_read_only",
    "in_hot_standby",
    "is_superuser",
    "scram_iterations",
    "search_path",
)
# https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQPARAMETERSTATUS
_SETTING_TAGS = (b"SET", b"RESET", b"DISCARD ALL", b"ROLLBACK", b"COMMIT")
_FIELDS = tuple((name, getattr(pq.DiagnosticField, name.upper())) for name in ERROR_FIELDS)
_STREAMED = {pq.ExecStatus.SINGLE_TUPLE, getattr(pq.ExecStatus, "TUPLES_CHUNK", pq.ExecStatus.SINGLE_TUPLE)}
_COPIES = {pq.ExecStatus.COPY_IN: "in", pq.ExecStatus.COPY_OUT: "out"}
NOTICES, ASKED, CANCELLED = "_timetracer_notices", "_timetracer_asked", "_timetracer_cancelled"
_CANCELED = {
    "severity": "ERROR",
    "severity_nonlocalized": "ERROR",
    "sqlstate": "57014",
    "message_primary": "canceling statement due to user request",
}
# https://github.com/psycopg/psycopg/blob/3.1.20/psycopg/psycopg/pq/pq_ctypes.py#L405 and libpq's own words.
_READING, _GONE = "consuming input failed: ", "server closed the connection unexpectedly"
_JSONB, _JSON = 3802, 114


def text_or_bytes(value: bytes) -> str | bytes:
    """Returns text where the bytes are UTF-8 text, else the bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def database(pgconn: Any) -> str:
    """Returns the name of the connection's database; an empty text if it is closed."""
    try:
        return str(pgconn.db.decode())
    except psycopg.OperationalError:
        return ""


def settings(pgconn: Any) -> dict[str, str]:
    """Returns what the server reported of itself."""
    found = ((name, pgconn.parameter_status(name.encode())) for name in _REPORTED)
    return {name: raw.decode() for name, raw in found if raw is not None}


def address(pgconn: Any) -> dict[str, str]:
    """Returns where the server is, as libpq says it."""
    return {"host": pgconn.host.decode(), "hostaddr": pgconn.hostaddr.decode(), "port": pgconn.port.decode()}


def diagnosed(result: Any) -> dict[str, str | bytes]:
    """Returns the fields of an error or a notice."""
    found = ((name, result.error_field(code)) for name, code in _FIELDS)
    return {name: text_or_bytes(raw) for name, raw in found if raw is not None}


def described(found: Sequence[Any], pgconn: Any) -> Value:
    """Returns the results of one statement as data: one as itself, several in a list.

    Nothing changes a result but `clear()`, so it is read where it is encoded; settings are those of this moment.
    """
    changed = settings(pgconn) if any(_changes_settings(each) for each in found) else None
    owner = owner_of(pgconn)
    notices = owner.__dict__.pop(NOTICES, None) if owner is not pgconn else None
    return Later(partial(_all_described, found, changed, notices, _patience(owner)))


def owner_of(pgconn: Any) -> Any:
    """Returns the connection that a libpq connection belongs to; itself where there is none yet.

    https://github.com/psycopg/psycopg/blob/3.3.2/psycopg/psycopg/_connection_base.py#L110
    """
    handler = pgconn.notice_handler
    found = handler.args[0]() if isinstance(handler, partial) and handler.args else None
    return pgconn if found is None else found


def _patience(owner: Any) -> float | None:
    """Returns how long an app may take to cancel what it cancelled; None where it did not."""
    asked = getattr(owner, CANCELLED, None)
    return None if asked is None else round(asked + 1, 3)


def broken_off(connection: Any) -> Value:
    """Returns what stands for the answer that the app waits for no more; None in a pipeline, whose end waits for it."""
    if connection._pipeline is not None:
        return None
    waited = time.monotonic() - connection.__dict__.get(ASKED, 0.0)
    return {"error": _CANCELED, "cancelled": round(waited + 1, 3), "unanswered": True}


def _all_described(found: Sequence[Any], changed: Value, notices: Value, patience: float | None) -> Value:
    kept = [_described(each, changed) for each in found]
    if kept and notices:
        kept[0]["notices"] = notices
    if patience is not None:
        kept = [each | {"cancelled": patience} if "error" in each else each for each in kept]
    return kept[0] if len(kept) == 1 else kept


def last_words(error: BaseException) -> Value:
    """Returns the error in which the server took its leave; the error as it is where it just went away.

    psycopg before 3.2.3 tells them in the text of the connection's error alone, and then what libpq adds itself.
    """
    said, ended, _ = str(error).partition(_GONE)
    words = said.removeprefix(_READING).rstrip("\n")
    if not ended or not said.startswith(_READING) or not words:
        return error
    return {"error": {"severity": "FATAL", "severity_nonlocalized": "FATAL", "message_primary": words}}


def restored(kept: Value) -> Sequence[Result]:
    """Returns the results that the peer shall give; none for what libpq finds out by itself."""
    if isinstance(kept, BaseException):
        return ({"error": {}},)  # the connection broke: it breaks again
    return tuple(each for each in (kept if isinstance(kept, list) else [kept]) if each and "aborted" not in each)


def _changes_settings(result: Any) -> bool:
    tag = result.command_status
    return tag in _SETTING_TAGS or (tag == b"SELECT 1" and result.nfields == 1 and result.fname(0) == b"set_config")


def _described(result: Any, changed: Value) -> dict[str, Any]:
    if result.pgresult_ptr is None:
        raise UnsupportedError("psycopg: a result that the app cleared cannot be recorded")
    status = result.status
    if status == pq.ExecStatus.FATAL_ERROR:
        return {"error": diagnosed(result)}
    if status == pq.ExecStatus.PIPELINE_ABORTED:
        return {"aborted": True}
    if status == pq.ExecStatus.EMPTY_QUERY:
        return {"empty": True}
    if status in _COPIES:
        return {"copy": _COPIES[status], "formats": [result.fformat(i) for i in range(result.nfields)]}
    tag = result.command_status or b""
    kept: dict[str, Any] = {"streams": True} if status in _STREAMED else {"status": tag.decode()}
    if result.nfields or status != pq.ExecStatus.COMMAND_OK:
        kept |= _table(result)
    if changed is not None and _changes_settings(result):
        kept["settings"] = changed
    return kept


def _table(result: Any) -> dict[str, Any]:
    columns = range(result.nfields)
    formats = [result.fformat(i) for i in columns]
    get = result.get_value
    kinds = [
        [result.ftable(i), result.ftablecol(i), result.ftype(i), result.fsize(i), result.fmod(i), formats[i]]
        for i in columns
    ]
    rows: list[list[Any]]
    if any(formats):
        rows = [
            [raw if (raw := get(n, i)) is None or formats[i] else text_or_bytes(raw) for i in columns]
            for n in range(result.ntuples)
        ]
    else:
        rows = [
            [raw if (raw := get(n, i)) is None else text_or_bytes(raw) for i in columns] for n in range(result.ntuples)
        ]
    return {"columns": [text_or_bytes(result.fname(i)) for i in columns], "types": kinds, "rows": rows}


# ------------------------------------------------------------------------------------------------ parameters


@lru_cache(maxsize=256)
def _loader(oid: int) -> Any:
    """Returns psycopg's own reader of a binary value; an app's readers may make what nobody else can compare."""
    return Transformer().get_loader(oid, pq.Format.BINARY)


def parameters(query: Any) -> list[Value] | None:
    """Returns a converted query's parameters as values to read: they were dumped to text or binary before."""
    if not query.params:
        return None
    found = zip(query.params, query.types or (0,) * len(query.params), query.formats or (), strict=False)
    return [_parameter(raw, oid, form) for raw, oid, form in found]


def _parameter(raw: Any, oid: int, form: Any) -> Value:
    if raw is None:
        return None
    raw = bytes(raw)
    if form == pq.Format.TEXT:
        return text_or_bytes(raw)
    if oid == _JSONB:
        return text_or_bytes(raw[1:])
    if oid == _JSON:
        return text_or_bytes(raw)
    try:
        return _loader(oid).load(raw)
    except (psycopg.Error, ValueError, OverflowError):
        return raw  # infinity, year 10000
