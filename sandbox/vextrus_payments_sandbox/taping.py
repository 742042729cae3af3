"""How an API call gets into the record: opened on arrival, named once it is known which payment it is about, and
finished with what the caller was sent, and with the true answer where a fault kept that back.
"""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.record import Entry
from vextrus_payments_sandbox.redacting import body_shown, cut, headers_shown, url_shown
from vextrus_payments_sandbox.wire_log import PATH_MAX
from vextrus_payments_sandbox.world import Call, World

BODY_KEY: Final = "vextrus.sandbox.body"
"""Where `exchange.read_body` leaves the body for the record: in the ASGI scope."""
_MAGIC: Final = "a magic amount or wallet"


class Tape:
    """The entry of one call, and what is needed to finish it."""

    def __init__(self, world: World, request: Request, call: Call) -> None:
        self._world = world
        self._call = call
        self._began = world.clock.monotonic_s()
        self._true: Response | None = None
        self._over = False
        self.magic = False
        """Whether the payment's own amount or wallet brought the fault: said, for nobody has ordered it."""
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.entry: Entry = world.record.add(
            "call",
            call.gateway,
            self._payment_of(call.reference),
            f"{call.operation}: under way",
            operation=call.operation,
            method=call.method,
            path=cut(url_shown(path), PATH_MAX),
            status=None,
            fault=None,
            moved_money=False,
            took_ms=None,
            request={
                "headers": headers_shown(request.headers.items()),
                "body": body_shown(request.scope.get(BODY_KEY, b"")),
            },
            answer=None,
            lost_answer=None,
            call=call.seq,
        )

    def worked(self, answer: Response) -> None:
        """The work is done: `answer` is the true one, the call's payment is known, and whether money moved."""
        self._true = answer
        if self._over:  # the caller was answered before: only the record learns it
            self._world.record.change(self.entry, **self._known(), lost_answer=answer_shown(answer))
        elif self._known()["reference"] != self.entry.reference or self._call.moved_money:
            self._world.record.change(self.entry, **self._known())

    def finished(self, sent: Response | None) -> None:
        """The call is over, once: `sent` is what the caller got to see, None where nothing was."""
        if self._over:
            return
        self._over = True
        call = self._call
        ending = (
            "no answer" if sent is None else "half an answer" if call.status is None else str(call.status)
        )
        by = f", brought by {_MAGIC}" if self.magic else ""
        self._world.record.change(
            self.entry,
            title=f"{call.operation}: {ending}" + (f" ({call.fault}{by})" if call.fault else ""),
            status=call.status,
            fault=call.fault,
            took_ms=max(0, round((self._world.clock.monotonic_s() - self._began) * 1000)),
            answer=answer_shown(sent),
            lost_answer=answer_shown(self._true if self._true is not sent else None),
            **self._known(),
            **({"brought_by": _MAGIC} if self.magic else {}),
        )

    def _known(self) -> dict[str, Any]:
        return {"reference": self._payment_of(self._call.reference), "moved_money": self._call.moved_money}

    def _payment_of(self, reference: str | None) -> str:
        """The reference of the payment that the call's own reference names; that itself where it names none."""
        gateway = self._world.gateways.get(self._call.gateway)
        row = gateway.row(reference) if gateway is not None and reference else None
        return row.reference if row is not None else reference or ""


def answer_shown(response: Response | None) -> dict[str, object] | None:
    """Status, headers and body of an answer, fit to be shown."""
    if response is None:
        return None
    return {
        "status": response.status_code,
        "headers": headers_shown(response.headers.items()),
        "body": body_shown(bytes(response.body)),
    }
