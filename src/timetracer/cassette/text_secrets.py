"""Finds secrets in running text, by the name that stands before each: URLs, logs, forms, HTML, XML, exceptions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from timetracer.cassette.credential_headers import opaque
from timetracer.cassette.secrets_rules import BUNDLE, COOKIE, OPAQUE, PLAIN, SHAPED, Names

_NAME = re.compile(r"[\w.\-]+")
_QUOTE = r"\\*(?:[\"']|&quot;|&#(?:34|39|x27);)"
_VALUE = (
    r"(?P<lead>(?:[Bb]earer|[Bb]asic|[Tt]oken)\s+)?"
    rf"(?:b?(?P<quote>{_QUOTE})(?P<quoted>(?:(?P=quote){{2}}|(?!(?P=quote))(?:\\.|[^\\\n]))*)(?P=quote)|(?P<bare>[^\s,;&\"'<>()\[\]{{}}#]+))"
)
_PAIR = re.compile(rf"(?P<name>[\w.\-]+)(?:{_QUOTE})?\]?(?P<sep>\s*(?:=>|=|:)\s*|\s+(?='))" + _VALUE)
_COUPLE = re.compile(  # `('password', 'x')`: a pair as Python prints it, arguments of a script
    rf"(?P<name>[\w.\-]+){_QUOTE}\s*,\s*b?(?P<quote>{_QUOTE})(?:[Bb]earer\s+|[Bb]asic\s+)?"
    r"(?P<quoted>[^\"'\\\n]*)(?P=quote)\s*[)\]]"
)
_OPTION = re.compile(r"(?P<name>[\w.\-]+)[ \t]+(?P<quoted>(?!-)[^\s\"'\\]+)")
_PART = re.compile(  # a multipart field
    r"(?P<name>[\w.\-]+)(?:\\?[\"'])?(?:;[^\r\n]*)?\r?\n(?:[^\r\n]+\r?\n){0,16}\r?\n(?P<part>[^\r\n]+)"
)
_ATTRIBUTE = re.compile(r"\b(?:value|content)\s*=\s*(?:\\?[\"'](?P<html>[^\"'<>\\]+)|(?P<bare>[^\s\"'<>]+))")
_CONTENT = r"(?:<!\[CDATA\[)?\s*(?P<part>[^<>\s\]\0](?:[^<>\]\0]*[^<>\s\]\0])?)\s*(?:\]\]>)?\s*<"
_ELEMENT = re.compile(r"(?P<name>[\w.\-]+)(?:\s[^<>\n]{0,200})?>\s*" + _CONTENT)
_SIBLING = re.compile(
    r"(?P<name>[\w.\-]+)\s*</(?:\w+:)?(?:[Kk]ey|[Nn]ame)>\s*<(?:\w+:)?(?:[Vv]alue|string|data)\b[^<>]{0,200}>\s*"
    + _CONTENT
)
_PROPERTY = re.compile(r"(?P<name>[\w.\-]+)\\?[\"'][^<>]{0,200}>\s*" + _CONTENT)
_PROPERTIES = re.compile(r"<(?:\w+:)?(?:property|entry|string|param|item|field|key|setting)\b[^<>]*\Z")
_USERINFO = re.compile(r"://(?:[^/\s:@\"']*:(?P<userinfo>[^/\s\"'<>]+)|(?P<user>[\w\-.~%]{16,}))@")
_CODE = re.compile(r"[A-Za-z_][A-Za-z_.]*")
_NOTHING = frozenset(["none", "null", "true", "false", "nil", "undefined", "self", "bearer", "basic"])

_QUERY = re.compile(r"(?P<before>[?&\s\"'\0]|^)(?P<name>code|key)=(?P<value>[\w\-.~%+/]{6,})")
_BESIDE = re.compile(
    r"\b(?:state|grant_type|redirect_uri|session_state|client_id|authuser)=|oauth|callback|/auth|/login|/cb\b"
)
_AROUND = re.compile(r"[\s\"'<>\0]")
_DETAIL = re.compile(r"Key \((?P<names>[^()]{1,200})\)=\((?P<values>[^\n]{1,2000}?)\)(?= (?:already|is |conflicts))")
_NETRC = re.compile(r"\bmachine\s+\S+\s+login\s+\S+\s+password\s+(?P<value>\S+)")
_AWAY = 2_000
_REACH = 300  # how far an attribute may be from the name that another one holds

_PATH = re.compile(
    r"/[\w\-]*(?P<word>reset|verif|confirm|activat|invit|unsubscribe|magic|recover|token)[\w\-]*"
    r"(?P<rest>(?:\\*/[\w\-.~%:=]+){1,3})"
    r"|hooks\.slack\.com/services/(?P<slack>(?:\w+/)*\w{16,})|/bot\d+:(?P<bot>[\w\-]{20,})|/webhooks/\d+/(?P<hook>[\w\-]{20,})"
)
_PATH_WORDS = (
    *["reset", "verif", "confirm", "activat", "invit", "unsubscribe", "magic", "recover", "token"],
    *("hooks.slack.com/", "/bot", "/webhooks/"),
)
"""One is in whatever `_PATH` matches."""
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_NAMED_BY_ID = frozenset(("invit", "confirm", "token", "unsubscribe"))  # these paths name things by UUID, too
_TOKEN = 16


def in_paths(text: str) -> Iterator[str]:
    """Yields the tokens in paths: `/reset/<user>/<token>/`, the addresses of webhooks and bots."""
    if not any(word in text for word in _PATH_WORDS):  # a tenth of the time
        return
    for found in _PATH.finditer(text):
        if (rest := found["rest"]) is None:
            yield found["slack"] or found["bot"] or found["hook"]
            continue
        for segment in rest.replace("\\", "").split("/"):  # JSON may escape a slash
            named = _UUID.fullmatch(segment) and found["word"] in _NAMED_BY_ID
            if len(segment) >= _TOKEN and opaque(segment) and not named and "." not in segment:
                yield segment


def named(text: str, names: Names) -> Iterator[tuple[int, int]]:
    """Yields where secrets stand in running text: `password = 'x'`, `token=x&`, `"secret": "x"`, HTML, form fields."""
    lower = text.replace("\u0130", "i").lower()  # the only letter that is two in lower case: places must not shift
    starts: set[int] = set()
    for keyword in names.keywords:
        at = lower.find(keyword)
        while at >= 0:
            while at > 0 and (text[at - 1].isalnum() or text[at - 1] in "_-."):
                at -= 1
            starts.add(at)
            name = _NAME.match(text, at)
            at = lower.find(keyword, name.end() if name else at + 1)
    done = 0
    for start in sorted(starts):
        if start >= done:  # else within a value that was found: looked at again, `password=password=...` took for ever
            for span in _value_at(text, start, names):
                done = span[1]
                yield span
    if "://" in text:
        for found in _USERINFO.finditer(text):
            if found["userinfo"] or opaque(found["user"]):
                yield found.span("userinfo" if found["userinfo"] else "user")
    yield from _otherwise(text, names)


def _otherwise(text: str, names: Names) -> Iterator[tuple[int, int]]:
    """Yields what a name tells of that is not its own: a `code` of OAuth, the columns of an error, .netrc."""
    if "code=" in text or "key=" in text:
        for found in _QUERY.finditer(text):
            if opaque(found["value"]) and (_is_a_code if found["name"] == "code" else _is_a_key)(found):
                yield found.span("value")
    if ")=(" in text:
        for found in _DETAIL.finditer(text):
            yield from _columns(found, names)
    if "machine" in text:
        yield from (found.span("value") for found in _NETRC.finditer(text))


def _is_a_code(found: re.Match[str]) -> bool:
    """Whether the URL or form around a `code` is one of OAuth."""
    text, (start, end) = found.string, found.span()
    first = max(0, start - _AWAY)
    before = max((each.end() for each in _AROUND.finditer(text, first, start)), default=first)
    after = _AROUND.search(text, end, end + _AWAY)
    return _BESIDE.search(text, before, after.start() if after else end + _AWAY) is not None


def _is_a_key(found: re.Match[str]) -> bool:
    """Whether a `key` is that of an API, as maps have it: those of caches and objects are shorter, or hold slashes."""
    return found["before"] in ("?", "&") and len(found["value"]) >= _TOKEN and "/" not in found["value"]


def _columns(found: re.Match[str], names: Names) -> Iterator[tuple[int, int]]:
    columns = [part.strip(' "') for part in found["names"].split(",")]
    values, at = found["values"].split(", ", len(columns) - 1), found.start("values")
    for column, value in zip(columns, values, strict=False):
        if PLAIN < names[column] < SHAPED:
            yield at, at + len(value)
        at += len(value) + 2


def _value_at(text: str, start: int, names: Names) -> Iterator[tuple[int, int]]:
    name = _NAME.match(text, start)
    if name is None:
        return
    kind = names[name.group().strip("-")]
    if kind in (PLAIN, COOKIE) or kind >= SHAPED:
        return
    found = _found_at(text, start, name.end())
    if found is None:
        return
    group = next(key for key in ("quoted", "bare", "html", "part") if found.groupdict().get(key) is not None)
    value = found[group]
    if value.lower() in _NOTHING or not re.search(r"\w.*\w", value) or (value.startswith("%") and len(value) <= 3):
        return
    if group == "html" and names[value] != PLAIN:
        return  # the name of a field
    if (kind == OPAQUE and not opaque(value)) or (kind == BUNDLE and value.isdigit()):
        return  # nothing made for machines; a number of tokens
    if group == "bare" and "sep" in found.groupdict():
        follows = text[found.end() : found.end() + 1]
        spaced = found["sep"] != found["sep"].strip() or ":" in found["sep"]
        code = _CODE.fullmatch(value) is not None
        if follows in ("(", "[", "{") or (code and (spaced or "." in value or names[value] != PLAIN)):
            return  # program text or prose, no value
        if re.fullmatch(r"[?%$:@]\w*\)?s?", value):
            return  # a placeholder in SQL
    yield found.span(group)


def _found_at(text: str, start: int, end: int) -> re.Match[str] | None:
    """Returns the value of the name at a place, whatever joins them."""
    if found := _PAIR.match(text, start):
        return found
    tag = text.rfind("<", max(0, start - _REACH), start)
    if tag >= 0 and ">" not in text[tag:start]:
        if text[start - 1 : start] in ("<", ":") and (found := _ELEMENT.match(text, start)):
            return found
        close = text.find(">", end, end + _REACH)
        for found in _ATTRIBUTE.finditer(text, tag, close if close >= 0 else end + _REACH):
            if not found.start() <= start < found.end():  # the name stands in the value itself: prose, an option
                return found
        return _PROPERTY.match(text, start) if _PROPERTIES.search(text, tag, start) else None
    before = text[max(0, start - 1) : start]
    if (before == ">" or before.isspace()) and (found := _SIBLING.match(text, start)):
        return found
    if text[start : start + 2] == "--" or text[start - 2 : start] == "--":
        return _OPTION.match(text, start)
    if text[start - 1 : start] in ("'", '"'):
        first = text[max(0, start - 4) : start - 1].rstrip("b\\ ")[-1:] in ("(", "[", ",")
        return (_COUPLE.match(text, start) if first else None) or _PART.match(text, start)
    return _PART.match(text, start) if text[start - 5 : start] == "name=" else None
