"""Finds the secrets in redis commands and their answers: what AUTH sends, what a secret key or field keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timetracer.cassette.encoded_parts import content, plain
from timetracer.cassette.model import Event
from timetracer.cassette.redis_keys import Keys, asked
from timetracer.cassette.secrets_rules import SECRET

_READING = ("GET", "GETDEL", "GETEX", "GETSET", "SMEMBERS", "LRANGE", "SRANDMEMBER", "SPOP", "LPOP", "RPOP")
_FIELDS = ("HGETALL", "XRANGE", "XREVRANGE", "XREAD", "XREADGROUP")  # lists of names and values by turns
_TELLING = frozenset((*_READING, *_FIELDS, "HGET", "HMGET", "MGET"))
"""The commands whose answers may hold a secret that the question names."""
_SIGNING = ("AUTH", "HELLO", "MIGRATE", "CONFIG", "ACL")
_PAIRS = ("GET", "EXPIRE", "TTL")


class Commands:
    """The redis commands of one cassette.

    Args:
        kind: what a name says of its value.
        keys: the keys of the cassette.
        secret: gives what stands for a value that is a secret.
        rows: replaces what is secret in rows, by the names of their columns.
    """

    def __init__(
        self,
        kind: Callable[[str], int],
        keys: Keys,
        secret: Callable[[Any, int], Any],
        rows: Callable[[Any, list[str]], None],
    ) -> None:
        self._kind, self._keys, self._secret, self._rows = kind, keys, secret, rows

    def command(self, event: Event) -> None:
        """Replaces the secrets of one command: keys that hold a session's id, fields and values, AUTH."""
        method = event.signature.method.upper()
        for values in event.signature.fields.values():
            arguments = content(values)
            if isinstance(arguments, list):
                self._arguments(arguments, method)
        event.signature.url = self._keys.without_secrets(event.signature.url)
        if method not in _TELLING:
            return
        result = event.result
        replies = [result.value, *(result.replies or ())]
        names = [plain(x) or "" for x in asked(event.signature.fields) if not isinstance(x, list)]
        key = names[1] if len(names) > 1 else event.signature.url
        if method in _READING and (self._keys.keep_a_secret(event.signature.url) or self._keys.keep_a_secret(key)):
            self._answer(event)
        elif method in _FIELDS:
            for reply in replies:
                self._told(reply)
        elif method == "HGET" and any(self._kind(name) == SECRET for name in names[-1:]):
            self._answer(event)
        elif method == "HMGET":
            for reply in replies:
                self._rows([reply], names[2:])
        elif method == "MGET":
            self._read_many(replies, names[1:])

    def _answer(self, event: Event) -> None:
        event.result.value = self._secret(event.result.value, SECRET)
        event.result.replies = self._secret(event.result.replies, SECRET)

    def _read_many(self, replies: list[Any], keys: list[str]) -> None:
        for reply in replies:
            items = content(reply)
            for index, key in enumerate(keys if isinstance(items, list) else ()):
                if index < len(items) and self._keys.keep_a_secret(key):
                    items[index] = self._secret(items[index], SECRET)

    def _told(self, reply: Any) -> None:
        items = content(reply)
        if isinstance(items, list):
            self._arguments(items, "HGETALL")

    def _arguments(self, arguments: list[Any], method: str) -> None:
        texts = [plain(argument) for argument in arguments]
        signing = method.startswith(_SIGNING)
        for index, argument in enumerate(arguments):
            text = texts[index]
            if text is None:
                inner = content(argument)
                if isinstance(inner, list):
                    named = str(plain(inner[0])).upper() if inner else ""
                    self._arguments(inner, method if method == "HGETALL" else named)
                continue
            if signing and self._signs_in(texts, index, method):
                arguments[index] = self._secret(argument, SECRET)
            elif index + 1 < len(arguments) and (self._kind(text) == SECRET or self._keys.keep_a_secret(text)):
                if len(arguments) > 2 or method not in _PAIRS:
                    at = -1 if method in ("SETEX", "PSETEX") and len(arguments) - index == 3 else index + 1
                    arguments[at] = self._secret(arguments[at], SECRET)
            elif (made := self._keys.without_secrets(text)) != text and plain(argument) == text:
                if isinstance(argument, str):
                    arguments[index] = made
                else:
                    argument[next(iter(argument))] = made

    @staticmethod
    def _signs_in(texts: list[str | None], index: int, method: str) -> bool:
        """Whether an argument is a password of redis itself.

        Upstream: https://redis.io/docs/latest/commands/hello/, /migrate/, /config-set/, /acl-setuser/
        """
        before = [(text or "").upper() for text in texts[max(0, index - 2) : index]]
        if method == "AUTH":
            return index == len(texts) - 1 and index > 0
        if method == "HELLO":
            return before[:1] == ["AUTH"] and index >= 2
        if method == "MIGRATE":
            return before[-1:] == ["AUTH"] or before[:1] == ["AUTH2"]
        if method.startswith("CONFIG"):
            return before[-1:] in (["REQUIREPASS"], ["MASTERAUTH"])
        return method.startswith("ACL") and (texts[index] or "")[:1] in (">", "<", "#") and index > 1
