"""What people may see of a request and its answer: no credential, token, PIN or code, and no end of text.

Of headers only those are shown that are known to be harmless. In a JSON body every member whose name sounds like a
secret is hidden, at any depth, and sealed data is shortened; in a body that is no JSON, whatever follows such a name.
The same names are hidden in the query of any address. Numbers stay as they were written.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

BODY_MAX: Final = 4_096
"""How many characters are kept of a body."""
_PARSED_MAX: Final = 65_536  # a longer one is treated as no JSON
_VALUE_MAX: Final = 512
_DEPTH_MAX: Final = 32
_SEALED_KEPT: Final = 12

_SHOWN_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "host",
        "location",
        "retry-after",
        "transfer-encoding",
        "user-agent",
        "x-amz-sns-message-id",
        "x-amz-sns-message-type",
        "x-amz-sns-topic-arn",
        "x-km-api-version",
        "x-km-client-type",
        "x-km-ip-v4",
        "x-km-mc-id",
        "x-sandbox-fault",
    }
)
_LOUD: Final = re.compile(
    r"authorization|credential|password|passwd|secret|token|cookie|signature|subscribeurl|"
    r"(?:api|app|access|private)[_-]?key|card[_-]?number|pincode|otpcode"
)
"""Wherever one of these stands in a name, it is a secret's."""
_QUIET: Final = frozenset({"pin", "otp", "cvc", "cvv", "hash", "username"})
"""These only as a word of their own: an opinion is no secret."""
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_IS_SEALED: Final = re.compile(r"sensitivedata\w*|signature", re.IGNORECASE)
_NOT_SECRET: Final = frozenset({"token_type", "signatureversion", "tokenized"})
_LOOSE: Final = re.compile(
    # A name, what parts it from its value, and the value: quoted, or with all that follows where it is a list, or bare.
    r"""(?<![\w\-])([\w\-]++)(["']?\s{0,9}[:=]\s{0,9})("[^"\r\n]*"?|'[^'\r\n]*'?|[\[{][\s\S]*|[^\s,;&}<]+)"""
)
_ELEMENT: Final = re.compile(r"(<([\w.:\-]{1,100}+)(?:\s[^<>]{0,200}+)?>)([^<]+)")
_PART: Final = re.compile(
    # A field of a multipart form, which PHP's curl sends when it is handed an array: its header, then its value.
    r"""(\bname=["']?([\w.\-\[\]]{1,100}+)[^\r\n]{0,200}+(?:\r?\n[^\r\n]{1,200}+){0,4}\r?\n\r?\n)([\s\S]+?)(?=\r?\n--|\Z)"""
)
_LONG: Final = re.compile(r"[A-Za-z0-9+/=_.\-]{200,}")
_QUERY: Final = re.compile(r"([?&;#])([^=&#\s]{1,100})=([^&#\s\"']*)")

_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


_read: Final = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_Number).decode


def headers_shown(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Every header by name in lower case; its value only where it is known to be harmless."""
    shown: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()[:_VALUE_MAX]
        known = key in _SHOWN_HEADERS
        text = cut(url_shown(value), _VALUE_MAX) if known else hidden(value)
        shown[key] = f"{shown[key]}, {text}" if key in shown else text
    return shown


def body_shown(raw: bytes, limit: int = BODY_MAX) -> str:
    """A body as text, its secrets hidden, cut at `limit` characters."""
    if not raw:
        return ""
    found: Any = None
    if len(raw) <= _PARSED_MAX:
        try:
            found = _read(raw.decode(json.detect_encoding(raw)))
        except (ValueError, RecursionError):
            found = None
    if isinstance(found, dict | list):
        # JSON's escapes can spell half a surrogate pair, which no answer could hold
        return cut(_written(found, 0).encode("utf-8", "replace").decode("utf-8"), limit)
    text = raw[: 4 * limit].decode("utf-8", "replace")
    left_out = len(raw) - len(raw[: 4 * limit])
    return cut(text_shown(text), limit, left_out)


def text_shown(text: str) -> str:
    """A text that is no JSON (any more), with what follows the name of a secret hidden."""
    text = _LOOSE.sub(_loosely, text)
    for pattern in (_PART, _ELEMENT):
        text = pattern.sub(
            lambda match: match[1] + (hidden(match[3]) if is_secret(match[2]) else match[3]), text
        )
    return _LONG.sub(lambda match: _sealed(match[0]), text)


def _loosely(match: re.Match[str]) -> str:
    name, between, value = match.groups()
    if _IS_SEALED.fullmatch(name) and len(value) > 2 * _SEALED_KEPT:
        return name + between + _sealed(value.strip("\"'"))
    return name + between + hidden(value) if is_secret(name[:_VALUE_MAX]) else match[0]


def url_shown(text: str) -> str:
    """An address with the secrets of its query hidden; other texts stay as they are."""
    if "=" not in text:
        return text
    return _QUERY.sub(
        lambda match: f"{match[1]}{match[2]}={hidden(match[3]) if is_secret(match[2]) else match[3]}", text
    )


def endpoint_shown(url: str) -> str:
    """The address of somebody's webhook: whatever its query says may be what lets a sender in."""
    path, mark, query = url.partition("?")
    values = (part.partition("=") for part in query.split("&"))
    shown = "&".join(
        f"{name}{equal}{hidden(value)}" if equal else hidden(name) for name, equal, value in values
    )
    return f"{path}{mark}{shown}"


@lru_cache(maxsize=1_024)
def is_secret(name: str) -> bool:
    """Whether a member, parameter or header of this name is never shown."""
    lowered = name.lower()
    if lowered in _NOT_SECRET:
        return False
    return _LOUD.search(lowered) is not None or not _QUIET.isdisjoint(_HUMP.sub(" ", name).lower().split())


def hidden(value: str) -> str:
    """In place of a secret: only how long it is."""
    return f"[hidden: {len(value)} characters]" if value else ""


def cut(text: str, limit: int, more: int = 0) -> str:
    """The beginning of a text, and how much is left out; `more` counts what was left out before."""
    left_out = max(0, len(text) - limit) + more
    return text if not left_out else f"{text[:limit]} [... {left_out} more]"


def _sealed(value: str) -> str:
    return f"{value[:_SEALED_KEPT]}[... {len(value)} characters]"


def _written(value: Any, depth: int) -> str:
    """Compact JSON, secrets hidden."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, str):
        # JSON within JSON, as SNS sends it, holds names of its own.
        return _quoted(text_shown(url_shown(value)) if value.lstrip()[:1] in ("{", "[") else url_shown(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if depth >= _DEPTH_MAX:
        return '"[...]"'
    if isinstance(value, Mapping):
        members = (f"{_quoted(name)}:{_member(name, inner, depth)}" for name, inner in value.items())
        return "{" + ",".join(members) + "}"
    return "[" + ",".join(_written(inner, depth + 1) for inner in value) + "]"


def _member(name: str, value: Any, depth: int) -> str:
    if isinstance(value, str) and _IS_SEALED.fullmatch(name) and len(value) > 2 * _SEALED_KEPT:
        return _quoted(_sealed(value))
    if is_secret(name[:_VALUE_MAX]) and value is not None and not isinstance(value, bool):
        length = value if isinstance(value, str) else _written(value, depth + 1)
        return _quoted(hidden(length))
    return _written(value, depth + 1)
