"""Names the checks that a replay cannot pass: of a secret that came in, where the cassette holds another value.

A login compares a password with a hash; redaction replaced both, and nothing makes them fit again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from timetracer.cassette import bodies
from timetracer.cassette.model import Cassette, Sent
from timetracer.errors import TimetracerError

LOGIN = "a login"
_CHECKS = {
    LOGIN: ("password", "passwd", "pwd", "passphrase"),
    "a CSRF token": ("csrf", "xsrf"),
    "a session": ("session", "sid"),
    "an authorization": ("authorization", "token", "key", "secret"),
}
"""What an application checks a secret for, by what its name contains; the first that fits."""
_PASSES = "a CSRF token"  # redacted, the cookie and the form still hold one and the same value
_SEALED = "ttsealed:"


def check_of(name: str) -> str:
    """Returns what a secret of this name is checked for."""
    return next((check for check, parts in _CHECKS.items() if any(part in name.lower() for part in parts)), "a secret")


def named(checks: Mapping[str, Iterable[str]]) -> str:
    """Returns checks with the names of their secrets, for a message."""
    return ", ".join(f"{check} ({', '.join(sorted(names))})" for check, names in sorted(checks.items()) if names)


def redacted_checks(cassette: Cassette) -> dict[str, set[str]]:
    """Returns, by check, the names of the secrets that came in and were replaced."""
    inbound, found = cassette.inbound, dict[str, set[str]]()
    if inbound is None or not cassette.replacements:
        return found
    replaced = frozenset(cassette.replacements)
    for name, value in _pairs(inbound.target, inbound.request):
        if not replaced.isdisjoint((value, *value.split())) and check_of(name) not in (_PASSES, "a secret"):
            found.setdefault(check_of(name), set()).add(name)
    return found


def note(cassette: Cassette, *, matched: bool) -> str | None:
    """Returns what is to be said of a replay whose checks could not pass; None for nothing.

    Args:
        matched: it answered as it was recorded. Of a login that says little, if it failed then as it fails now.
    """
    checks = {check: names for check, names in redacted_checks(cassette).items() if check == LOGIN or not matched}
    if checks:
        return f"redacted, so that these checks cannot pass: {named(checks)}; record with TIMETRACER_SECRETS=seal"
    inbound = cassette.inbound
    if matched or inbound is None:
        return None
    sealed: dict[str, set[str]] = {}
    for name, value in _pairs(inbound.target, inbound.request):
        if _SEALED in value:
            sealed.setdefault(check_of(name), set()).add(name)
    if not sealed:
        return None
    key = "give the key in TIMETRACER_ENCRYPTION_KEY or TIMETRACER_ENCRYPTION_KEY_FILE"
    return f"sealed, so that these checks cannot pass: {named(sealed)}; {key}"


def _pairs(target: str, sent: Sent) -> Iterator[tuple[str, str]]:
    """Gives what came in by name: headers, cookies, the query, and a body that is a form or JSON."""
    yield from parse_qsl(urlsplit(target).query)
    for name, value in sent.headers:
        if name.lower() == "cookie":
            yield from ((key, text) for part in value.split(";") for key, _, text in [part.strip().partition("=")])
        else:
            yield name, value
    try:
        body = b"".join(bodies.unpack(sent.body)) if sent.body is not None else b""
    except TimetracerError:  # what cannot be restored is said where it is asked for
        return
    if body[:1] in (b"{", b"["):
        try:
            yield from _members(json.loads(body))
        except (ValueError, RecursionError):
            return
    else:
        yield from parse_qsl(body.decode("utf-8", "replace"))


def _members(data: Any) -> Iterator[tuple[str, str]]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield from [(name, value)] if isinstance(value, str) else _members(value)
    elif isinstance(data, list):
        for value in data:
            yield from _members(value)
