"""How what is asked of the sandbox itself gets into the record: every request that changes something.

The entry stands before what the request causes: an approval before the payer's steps that it takes.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.gateways import DEFAULT
from vextrus_payments_sandbox.record import Entry
from vextrus_payments_sandbox.redacting import body_shown, cut, endpoint_shown, url_shown
from vextrus_payments_sandbox.taping import BODY_KEY, answer_shown
from vextrus_payments_sandbox.wire_log import PATH_MAX
from vextrus_payments_sandbox.world import World

_PREFIX: Final = "/_sandbox/"
_TITLES: Final[Mapping[tuple[str, str], str]] = {
    ("POST", "reset"): "The sandbox started over",
    ("POST", "clock"): "The clock was moved",
    ("POST", "approve"): "The payer's page was answered from outside",
    ("POST", "portal"): "The merchant acted in the gateway's portal",
    ("POST", "walk_in"): "A payer paid without the API",
    ("POST", "faults"): "A fault was ordered",
    ("DELETE", "faults"): "Faults were called off",
    ("PUT", "webhooks"): "A webhook's endpoint was named",
    ("DELETE", "webhooks"): "A webhook's endpoint was dropped",
    ("PUT", "wallets"): "A wallet's balance was set",
}
"""Method and first part of the path -> what it says; another request is told by its method and path."""


class AdminTape:
    """The entry of one request to the sandbox itself."""

    def __init__(self, world: World, request: Request) -> None:
        self._world = world
        path = cut(url_shown(request.url.path), PATH_MAX)
        name = path.removeprefix(_PREFIX).partition("/")[0]
        self._title = _TITLES.get((request.method, name), f"{request.method} {path}")
        raw = request.scope.get(BODY_KEY, b"")
        gateway, reference = self._about(raw)
        self._entry: Entry = world.record.add(
            "admin",
            gateway,
            reference,
            self._title,
            operation=name,
            method=request.method,
            path=path,
            status=None,
            request={"headers": {}, "body": _shown(name, raw)},
            answer=None,
        )

    def finished(self, answer: Response | None) -> None:
        """It is done, or refused; after a reset, which forgets, the entry is there again."""
        kept, record = self._entry, self._world.record
        known: dict[str, Any] = {
            "status": None if answer is None else answer.status_code,
            "answer": answer_shown(answer),
        }
        if answer is None or answer.status_code >= 400:
            self._title += ": refused"
        if record.keeps(kept):
            record.change(kept, title=self._title, **known)
        else:
            record.add("admin", "", "", self._title, **{**kept.detail, **known})

    def _about(self, raw: bytes) -> tuple[str, str]:
        """Which payment the request names, if it does."""
        try:
            asked: Any = json.loads(raw) if raw else None
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            return "", ""
        gateway, reference = asked.get("gateway", DEFAULT), asked.get("reference")
        if not isinstance(gateway, str) or gateway not in self._world.gateways:
            return "", ""
        if not isinstance(reference, str):
            return (gateway if "gateway" in asked else ""), ""
        row = self._world.gateways[gateway].row(reference)
        return gateway, "" if row is None else row.reference


def _shown(name: str, raw: bytes) -> str:
    """The body, its secrets hidden: of a webhook's address these are all that its query says."""
    asked: Any = None
    if name == "webhooks":
        try:
            asked = json.loads(raw)
        except (ValueError, RecursionError):
            asked = None
    if isinstance(asked, dict) and isinstance(asked.get("url"), str):
        asked["url"] = endpoint_shown(asked["url"])
        raw = json.dumps(asked).encode("ascii")
    return body_shown(raw)
