"""Finds the secrets of one cassette by where they stand, and replaces them there: headers, JSON, SQL, redis, text."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from timetracer.cassette import blobs, bodies, tables
from timetracer.cassette.coded_texts import CodedTexts
from timetracer.cassette.copied_rows import CopiedRows
from timetracer.cassette.credential_headers import cookies, credentials, opaque_parts
from timetracer.cassette.encoded_parts import columns_of, content, decode_base64, opened, plain
from timetracer.cassette.model import Body, Cassette, Event, Pairs, Result, Sent
from timetracer.cassette.quiet import Named, outside
from timetracer.cassette.redis_commands import Commands
from timetracer.cassette.redis_keys import Keys
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.running_texts import RunningTexts
from timetracer.cassette.secrets_rules import BUNDLE, COOKIE, CREDENTIALS, OPAQUE, PLAIN, SECRET, SHAPED, Names, shaped
from timetracer.cassette.sql_names import aliases
from timetracer.cassette.sql_secrets import Statements
from timetracer.cassette.text_secrets import in_paths

_BLOB, _PARAMETERS, _ROWS, _MAP, _SEALED = range(10, 15)
_STATEMENT, _VALUE, _GRANT = range(SHAPED + 1, SHAPED + 4)
_SPECIAL: Final = {
    "$base64": _BLOB,
    "params": _PARAMETERS,
    "rows": _ROWS,
    "$map": _MAP,
    "$sealed": _SEALED,
    **dict.fromkeys(("sql", "db.statement", "db.query.text"), _STATEMENT),
    **dict.fromkeys(("value", "Value"), _VALUE),  # a name may stand beside it
    "grant_type": _GRANT,  # a code beside it is one of OAuth's
}
_NAMING = ("name", "Name", "key", "Key")
_FIXED = frozenset(  # tags whose content has to stay what it is
    ("$date", "$datetime", "$time", "$timedelta", "$timezone", "$repr", "$text", "$sealed", "$float")
)
_INNER = frozenset(("value", "values", "id", "key", "raw", "data", "plain", "text", "hash"))
_TELLING = re.compile(r"[=@]|: |\":|:\"|</|--|',|&#|quot;")  # in every text that may name a secret before it


class Positions:
    """One walk over a cassette, which it changes: hand it a copy.

    Args:
        names: what each name says of its value.
        look: tells by the bytes of a body which of its strings are secret; None where it has to be walked.
        found: takes the secrets, gives what stands for them.
        seal: gives what stands for a secret that is no string; None: a number of the same length.
    """

    def __init__(
        self,
        names: Names,
        look: Callable[[bytes], list[Named] | None],
        found: Replacements,
        seal: Callable[[Any], Any] | None = None,
    ) -> None:
        self._names, self._look, self._found, self._seal = names, look, found, seal
        self._texts = RunningTexts()
        self._strings: set[str] = set()  # long enough to be a secret by shape
        self._quiet: set[str] = set()  # those of JSON data that name no secret: most come again and again
        self._commands = Commands(self._kind, Keys(self._kind, names, found), self._secret, self._rows)
        self._statements = Statements(names, self._kind, found, self._item)
        self._headers_seen: dict[str, str] = {}  # cookies and credentials: most calls repeat them
        self._unread: set[str] = set()  # bodies that nobody had to look into
        self._edited: list[bodies.Edited] = []  # those of JSON that were looked into
        self._blobs: list[tuple[Any, Any, bytes, bytes, Callable[[bytes], bytes]]] = []
        self._coded = CodedTexts(names, found, self._node)
        self._copied = CopiedRows(self._kind, found)
        self._aliases: dict[str, int] = {}  # of the statement at hand
        if names.get("$sealed") != _SEALED:  # once: it may copy all the names there are
            names.update(_SPECIAL)
        self._uncached = names.uncached = set()

    def cassette(self, cassette: Cassette) -> None:
        """Replaces every secret that is known by its position; `blobs` then goes on inside base64."""
        if (inbound := cassette.inbound) is not None:
            self._text(inbound, "target", inbound.target)
            self._text(inbound, "route", inbound.route)
            self._text(inbound, "traceback", inbound.traceback)
            self._node(inbound.fields)
            self._sent(inbound.request)
            self._result(inbound.result)
        for event in (*cassette.events, *cassette.shared.values()):
            self._event(event)
        for span in cassette.spans:
            self._node(span.attributes)
            self._text(span, "status_message", span.status_message)
            for item in span.events:
                self._node(item)
            self._text(span, "name", span.name)
        self._node(cassette.logs)
        self._node(cassette.trace.resource)
        for match in cassette.replay:
            self._text(match, "url", match.url)
            self._text(match, "reason", match.reason)
        for draw in cassette.draws:
            self._node(draw.values)
        self._texts.replace(self._names, self._found)
        strings = "\n".join(self._strings)
        for secret in (*shaped(strings), *in_paths(strings)):
            self._found.put(secret)
        self._coded.look_into(strings)

    def texts(self) -> str:
        """Returns every text and name that the walk saw, once."""
        return "\n".join((*self._strings, *self._unread, *self._uncached, self._names.text()))

    def blobs(self) -> None:
        """Replaces what is known by now inside base64, and ends the walk: what changed of a body is put into it."""
        for box, key, data, edited, pack in self._blobs:
            made = self._found.within(edited)
            if made != data:
                text = box[key] if isinstance(box, dict) else getattr(box, key)
                blobs.put(
                    box, key, self._found.form(text, base64.b64encode(pack(made)).decode(), asked=isinstance(box, dict))
                )
        for body in self._edited:
            body.close()
        self._coded.replace()

    # ------------------------------------------------------------------------------------- parts of the model

    def _event(self, event: Event) -> None:
        signature, result = event.signature, event.result
        self._copied.event(event)
        self._aliases = self._secret_aliases(signature.fields.get("sql"))
        self._text(signature, "url", signature.url)
        self._node(signature.fields)
        self._sent(event.request)
        if event.type.startswith("cache"):
            self._commands.command(event)
        self._result(result)

    def _sent(self, sent: Sent) -> None:
        sent.headers = self._headers(sent.headers)
        self._body(sent.body)

    def _result(self, result: Result) -> None:
        result.headers = self._headers(result.headers)
        self._body(result.body)
        self._field(result, "value")
        self._field(result, "error")
        if result.replies is not None:
            self._node(result.replies)
        if result.items is not None:
            columns = columns_of(result.value) if isinstance(result.value, dict) else []
            self._rows(result.items.values, columns)
            self._field(result.items, "error")

    def _body(self, body: Body | None) -> None:
        if body is None:
            return
        if body.layout is not None:
            self._json_body(body)
        if body.text is not None:
            quiet = self._look(body.text.encode("utf-8", "surrogatepass")) == []
            (self._unread if quiet else self._strings).add(body.text)
            if not quiet:
                body.text = tables.without_secrets(body.text, self._kind, self._found)
                self._texts.add(body.text, body, "text")
        if body.base64 is not None:
            self._blob(body, "base64", body.base64)
        self._field(body, "error")

    def _json_body(self, body: Body) -> None:
        named = self._look(printed := bytes(body.printed))
        if named is None:
            self._edited.append(edited := bodies.Edited(body))
            self._node(edited.value)
            return
        left = outside(printed, named)
        self._unread.add(b"".join(left).decode())
        if named:  # changed where they stand: a third of what it takes to decode, walk and print all of it
            made = [msgspec.json.encode(self._secret(printed[at:end].decode(), kind))[1:-1] for at, end, kind in named]
            body.printed = msgspec.Raw(b"".join(part for pair in zip(left, [*made, b""], strict=True) for part in pair))

    def _field(self, owner: Any, name: str) -> None:
        value = getattr(owner, name)
        if isinstance(value, str):
            self._text(owner, name, value)
        elif value is not None:
            self._node(value)

    def _headers(self, pairs: Pairs) -> Pairs:
        names = self._names
        for name, value in pairs:
            self._strings.add(value)
            if names[name] or "=" in value or "@" in value:
                made: list[Any] = [list(pair) for pair in pairs]
                self._pairs(made)
                return made
        return pairs

    # ------------------------------------------------------------------------------------------ JSON data

    def _node(self, node: Any) -> None:
        """Walks data of any shape. The hottest loop of redaction: nothing is looked at twice."""
        names, quiet = self._names, self._quiet
        if node.__class__ is dict:
            for key, value in node.items():
                kind = names[key]
                cls = value.__class__
                if kind == PLAIN:
                    if cls is str:
                        if value not in quiet and len(value) > 3:
                            self._strings.add(value)
                            if (
                                "=" in value
                                or ": " in value
                                or '":' in value
                                or ':"' in value
                                or "@" in value
                                or "</" in value
                                or "--" in value
                                or "'," in value
                            ):
                                self._texts.add(value, node, key)
                            else:
                                quiet.add(value)
                    elif cls is int:
                        if value > 9_999_999:
                            self._strings.add(str(value))
                    elif cls is dict or cls is list:
                        self._node(value)
                elif kind < _BLOB:
                    node[key] = self._secret(value, kind)
                else:
                    self._special(node, key, value, kind)
        elif node.__class__ is list:
            if len(node) == 2 and node[0].__class__ is str and names[node[0]] in (SECRET, COOKIE, CREDENTIALS):
                node[1] = self._secret(node[1], names[node[0]])
                return
            for index, value in enumerate(node):
                cls = value.__class__
                if cls is dict or cls is list:
                    self._node(value)
                elif cls is str and value not in quiet and len(value) > 3:
                    self._text(node, index, value)
                    if value[0] == "-" and index + 1 < len(node) and self._kind(value) == SECRET:
                        node[index + 1] = self._option(value, node[index + 1])
                elif cls is int and value > 9_999_999:
                    self._strings.add(str(value))

    def _option(self, name: str, value: Any) -> Any:
        """Returns what stands for the argument after an option (`--password`, `x`)."""
        is_one = isinstance(value, str) and not value.startswith("-") and "=" not in name
        return self._secret(value, SECRET) if is_one else value

    def _special(self, node: dict[str, Any], key: str, value: Any, kind: int) -> None:
        if kind == _BLOB and isinstance(value, str):
            self._blob(node, key, value)
        elif kind == _PARAMETERS and isinstance(node.get("sql"), str):
            self._statements.parameters(node["sql"], content(value))
        elif kind == _ROWS and "columns" in node:
            self._rows(content(value), columns_of(node))
        elif kind == _MAP and isinstance(value, list):
            self._pairs(value)
        elif kind == _STATEMENT and isinstance(value, str):
            made = self._statements.without_literals(value)
            if made is None:
                self._text(node, key, value)
            else:
                node[key] = made
                self._strings.add(made)
        elif kind == _VALUE and (told := self._kind_beside(node)) != PLAIN:
            node[key] = self._secret(value, told)
        elif kind == _GRANT and isinstance(code := node.get("code"), str):
            node["code"] = self._found.put(code)
        elif kind == SHAPED:
            self._strings.add(key)
            self._item(node, key, value, PLAIN)
        elif kind != _SEALED:
            self._text(node, key, value) if isinstance(value, str) else self._node(value)

    def _kind_beside(self, node: dict[str, Any]) -> int:
        """Returns what the name in `{"name": ..., "value": ...}` says of the value."""
        return next((self._kind(name) for key in _NAMING if isinstance(name := node.get(key), str)), PLAIN)

    def _kind(self, name: str) -> int:
        kind = self._names[name]
        return kind if kind < _BLOB else PLAIN

    def _pairs(self, pairs: list[Any]) -> None:
        for pair in pairs:
            name = plain(pair[0])
            kind = self._names[name] if name is not None else PLAIN
            if kind != PLAIN and kind < _BLOB:
                pair[1] = self._secret(pair[1], kind)
            elif isinstance(pair[1], str):
                self._text(pair, 1, pair[1])
            else:
                self._node(pair[1])

    def _secret(self, value: Any, kind: int) -> Any:
        """Returns what stands for a value whose name says that it is secret."""
        if isinstance(value, str):
            if kind in (SECRET, BUNDLE):
                return self._found.put(value)
            if kind == OPAQUE:
                self._strings.add(value)
                return opaque_parts(value, self._found)
            if value not in self._headers_seen:
                self._strings.add(value)
                self._headers_seen[value] = (
                    cookies(value, lambda name: self._kind(name) != PLAIN, self._found)
                    if kind == COOKIE
                    else credentials(value, self._found)
                )
            return self._headers_seen[value]
        if isinstance(value, list):
            return [self._secret(item, kind) for item in value]
        if isinstance(value, dict):
            if kind == OPAQUE:  # `auth` may hold anything: what is secret in it says so
                self._node(value)
                return value
            return self._bundle(value, kind)
        if isinstance(value, int) and abs(value) >= 100 and kind != OPAQUE:
            if self._seal is not None:
                self._found.put(str(abs(value)))
                return self._seal(value)
            return int(self._found.put(str(abs(value)))) * (1 if value > 0 else -1)
        return value

    def _bundle(self, value: dict[str, Any], kind: int) -> dict[str, Any]:
        tag = next(iter(value)) if len(value) == 1 else ""
        if tag.startswith("$"):
            if tag in ("$error", "$instance", "$object", "$enum", "$escaped"):
                self._node(value)
            elif tag == "$volatile":
                family, told = value[tag]
                value[tag] = [family, self._secret(told, kind)]
            elif tag not in _FIXED:
                value[tag] = self._secret(value[tag], kind)
            return value
        for key, item in value.items():
            if (kind == BUNDLE and isinstance(item, str)) or key.lower() in _INNER:
                value[key] = self._secret(item, SECRET)
        self._node(value)
        return value

    def _secret_aliases(self, sql: Any) -> dict[str, int]:
        """Returns what a statement calls its secret columns in the rows that it gives."""
        if not isinstance(sql, str) or not self._statements.hints_at_secrets(sql):
            return {}
        return {alias: kind for alias, name in aliases(sql).items() if (kind := self._kind(name)) != PLAIN}

    def _rows(self, rows: Any, columns: list[str]) -> None:
        kinds = [(i, kind) for i, name in enumerate(columns) if (kind := self._aliases.get(name) or self._kind(name))]
        for row in rows if kinds and isinstance(rows, list) else ():
            cells = content(row)
            if isinstance(cells, list):
                for index, kind in kinds:
                    if index < len(cells):
                        cells[index] = self._secret(cells[index], SECRET if COOKIE <= kind <= BUNDLE else kind)
        self._node(rows)

    def _item(self, box: Any, key: Any, value: Any, kind: int) -> None:
        if kind != PLAIN and kind < _BLOB:
            box[key] = self._secret(value, kind)
        elif isinstance(value, str):
            self._text(box, key, value)
        else:
            self._node(value)

    def _text(self, box: Any, key: Any, text: str | None) -> None:
        if not text or text in self._quiet:
            return
        self._strings.add(text)
        if _TELLING.search(text) is not None:
            self._texts.add(text, box, key)
        else:
            self._quiet.add(text)

    def _blob(self, box: Any, key: Any, text: str) -> None:
        data = decode_base64(text)
        if not data:
            return
        data, pack = opened(data)
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._node(msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf")))
        self._blobs.append((box, key, data, blobs.redacted(data, self._names, self._found), pack))
