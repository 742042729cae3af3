"""How one try of a webhook gets into the record: opened when it is sent, finished with the endpoint's answer."""

from collections.abc import Mapping

import httpx

from vextrus_payments_sandbox.record import Entry
from vextrus_payments_sandbox.redacting import body_shown, endpoint_shown, headers_shown
from vextrus_payments_sandbox.subscriptions import Try
from vextrus_payments_sandbox.world import World


class WebhookTape:
    """The entry of one try: ``{"type", "message_id", "url", "number", "status", "error", "fault", "took_ms",
    "request", "answer"}``. ``number`` is 0 where nothing is ever sent, ``status`` None where nothing was answered.
    """

    def __init__(self, world: World, gateway: str, url: str, row: Try) -> None:
        self._world = world
        self._row = row
        self._began = world.clock.monotonic_s()
        self._name = f"{row.type}, try {row.number}" if row.number else row.type
        self.entry: Entry = world.record.add(
            "webhook",
            gateway,
            row.reference or "",
            f"{self._name}: under way" if row.number else f"{self._name}: never sent ({row.fault})",
            type=row.type,
            message_id=row.message_id,
            url=endpoint_shown(url),
            number=row.number,
            status=None,
            error=None,
            fault=row.fault,
            took_ms=None,
            request=None,
            answer=None,
        )

    def sending(self, headers: Mapping[str, str], body: bytes) -> None:
        """What goes out."""
        self.entry.detail["request"] = {"headers": headers_shown(headers.items()), "body": body_shown(body)}

    def finished(self, answered: tuple[httpx.Response, bytes] | None) -> None:
        """The try is over: an answer came, and this much of its body, or none did, and the row says why."""
        ending = (
            str(self._row.status) if answered is not None else f"no answer ({self._row.error or 'stopped'})"
        )
        fault = f" ({self._row.fault})" if self._row.fault else ""
        shown = None
        if answered is not None:
            answer, body = answered
            shown = {
                "status": answer.status_code,
                "headers": headers_shown(answer.headers.items()),
                "body": body_shown(body),
            }
        self._world.record.change(
            self.entry,
            title=f"{self._name}: {ending}{fault}",
            status=self._row.status,
            error=self._row.error,
            took_ms=max(0, round((self._world.clock.monotonic_s() - self._began) * 1000)),
            answer=shown,
        )
