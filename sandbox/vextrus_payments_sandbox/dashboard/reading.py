"""How payments and the record read on a page: words, ages and addresses in place of data.

Everything here is handed to the templates as plain mappings. Nothing is escaped here: the templates do that. What makes
an address is quoted here, because a template knows no address.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from vextrus_payments_sandbox.gateways import FACTS
from vextrus_payments_sandbox.notation import iso, to_text
from vextrus_payments_sandbox.record import Entry
from vextrus_payments_sandbox.world import CURRENCY, Listed

KIND_LABELS: Final[Mapping[str, str]] = {
    "call": "API call",
    "page": "Payer's page",
    "webhook": "Webhook",
    "money": "Money",
    "admin": "Sandbox",
}
_TONES: Final[Mapping[str, str]] = {
    state: tone for facts in FACTS.values() for state, tone in facts.states.items()
}
STATES: Final[Sequence[str]] = tuple(_TONES)
"""The gateways' own words for the states of a payment."""
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_TITLE_SAYS_IT: Final = frozenset({"page", "money"})
_SHOWN_APART: Final = frozenset(
    {
        "operation",
        "method",
        "path",
        "status",
        "fault",
        "moved_money",
        "took_ms",
        "request",
        "answer",
        "lost_answer",
        "call",
    }
)
_INDENT: Final = "  "
_JSON_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_NO_PATH: Final = frozenset({"", ".", ".."})
"""References that no address can end in: a browser would take two of them for a folder."""


def payment_path(gateway: str, reference: str) -> str:
    """The address of a payment's page; empty where there can be none."""
    if not gateway or reference in _NO_PATH:
        return ""
    return f"/payments/{quote(gateway, safe='')}/{quote(reference, safe='', errors='replace')}"


def address(path: str, **parameters: object) -> str:
    """An address with those parameters that are not empty."""
    given = {name: str(value) for name, value in parameters.items() if value not in ("", None)}
    return path + (f"?{urlencode(given, errors='replace')}" if given else "")


def tone_of_state(state: str) -> str:
    """The color of a payment's state: good, bad, wait, held or off."""
    return _TONES.get(state, "off")


def age(then: datetime, now: datetime) -> str:
    """How long ago: "just now", "12 s", "3 min", "5 h", "2 d"."""
    seconds = int((now - then).total_seconds())
    if seconds < 1:
        return "just now"
    for unit_s, name, up_to in ((1, "s", _MINUTE_S), (_MINUTE_S, "min", _HOUR_S), (_HOUR_S, "h", 2 * _DAY_S)):
        if seconds < up_to:
            return f"{seconds // unit_s} {name}"
    return f"{seconds // _DAY_S} d"


def ago(then: datetime, now: datetime) -> str:
    """:func:`age` in a sentence: "5 h ago"."""
    text = age(then, now)
    return text if text == "just now" else f"{text} ago"


def span(seconds: float) -> str:
    """A length of time as people say it: "3 h 20 min"."""
    whole = int(seconds)
    parts = []
    for unit_s, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min"), (1, "s")):
        count, whole = divmod(whole, unit_s)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def money(amount_minor: int) -> str:
    """An amount with its thousands apart, for reading: ``12,345.60``. A negative one does not exist here."""
    whole, _, paisa = to_text(amount_minor).partition(".")
    return f"{int(whole):,}.{paisa}"


def payment_row(listed: Listed, now: datetime) -> dict[str, Any]:
    """One payment of the list."""
    row = listed.row
    return {
        "id": f"p{listed.number}",
        "path": payment_path(row.gateway, row.reference),
        "gateway": row.gateway,
        "reference": row.reference,
        "invoice": row.invoice,
        "state": row.state,
        "tone": tone_of_state(row.state),
        "amount": money(row.amount_minor),
        "refunded": money(listed.refunded_minor) if listed.refunded_minor else "",
        "transaction_id": row.transaction_id or "",
        "at": iso(row.created_at),
        "age": age(row.created_at, now),
    }


def totals(count: int, captured_minor: int, refunded_minor: int, gateway: str) -> str:
    """The line above the list; empty where there is nothing to sum."""
    if not count:
        return ""
    at = f" at {gateway}" if gateway else ""
    counted = f"{count:,} payment{'' if count == 1 else 's'} in all"
    return (
        f"{counted}. Received{at}: {money(captured_minor)} {CURRENCY}, "
        f"given back: {money(refunded_minor)} {CURRENCY}."
    )


def moment(entry: Entry, began: datetime | None = None) -> dict[str, Any]:
    """One entry of the record, whole. `began`: when the story that it belongs to began."""
    detail = entry.detail
    at = datetime.fromisoformat(entry.at)
    took_ms = detail.get("took_ms")
    return {
        "seq": entry.seq,
        "at": entry.at,
        "clock": f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}",
        "since": _since(at, began),
        "kind": entry.kind,
        "label": KIND_LABELS.get(entry.kind, entry.kind),
        "gateway": entry.gateway,
        "reference": entry.reference,
        "payment": payment_path(entry.gateway, entry.reference),
        "title": detail.get("operation", entry.title) if entry.kind == "call" else entry.title,
        **_answered(entry),
        "method": detail.get("method", ""),
        "path": detail.get("path", ""),
        "fault": (detail.get("fault") or "") + (" (magic)" if detail.get("brought_by") else ""),
        "moved": bool(detail.get("moved_money")),
        "took": "" if took_ms is None else f"{took_ms:,} ms",
        "request": _message(detail.get("request"), f"{detail.get('method', '')} {detail.get('path', '')}"),
        "answer": _message(detail.get("answer"), ""),
        "lost": _message(detail.get("lost_answer"), ""),
        "facts": []
        if entry.kind in _TITLE_SAYS_IT
        else [(_spoken(name), _said(value)) for name, value in detail.items() if _is_fact(name, value)],
    }


def _since(at: datetime, began: datetime | None) -> str:
    if began is None:
        return f"{at:%H:%M:%S}"
    seconds = (at - began).total_seconds()
    if seconds < 1:
        return f"+{max(round(seconds * 1000), 0)} ms"
    if seconds < _MINUTE_S:
        return f"+{seconds:.1f} s"
    return f"+{span(seconds)}"


def _answered(entry: Entry) -> dict[str, str]:
    """The status as text, and its color."""
    if entry.kind not in ("call", "webhook") or "status" not in entry.detail:
        return {"status": "", "tone": ""}
    status = entry.detail["status"]
    if status is None:
        if "took_ms" in entry.detail and entry.detail["took_ms"] is None:
            return {"status": "under way", "tone": "wait"}
        return {"status": "no answer", "tone": "bad"}
    return {"status": str(status), "tone": "good" if 200 <= int(status) < 300 else "bad"}


def _message(part: Any, first_line: str) -> dict[str, Any] | None:
    """A request or an answer; None where there is none."""
    if not isinstance(part, Mapping):
        return None
    headers = [(str(name), str(value)) for name, value in part.get("headers", {}).items()]
    first = first_line.strip() or (str(part["status"]) if "status" in part else "")
    return {"first": first, "headers": headers, "body": pretty(str(part.get("body", "")))}


def pretty(body: str) -> str:
    """JSON set out in lines, its numbers and texts as they were written; any other text as it is."""
    if not body.startswith(("{", "[")):
        return body
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return body
    out: list[str] = []
    depth = 0
    tokens = _JSON_TOKEN.findall(body)
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        if token in "}]":
            depth -= 1
            out.append(token if before in "{[" else "\n" + _INDENT * depth + token)
            continue
        if place and before in "{[,":
            out.append("\n" + _INDENT * depth)
        out.append(": " if token == ":" else token)
        depth += token in "{["
    return "".join(out)


def _is_fact(name: str, value: object) -> bool:
    return name not in _SHOWN_APART and value not in (None, "", [], {})


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int):
        return str(value)
    if (
        isinstance(value, Iterable)
        and not isinstance(value, Mapping)
        and all(isinstance(v, str) for v in value)
    ):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)
