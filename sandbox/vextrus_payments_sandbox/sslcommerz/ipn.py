"""IPNs: what SSLCommerz posts to a merchant's server when a try has ended (dossier §1.4).

A form with both signatures, once, to the ``ipn_url`` of its session, else to the one in the merchant's panel
(``PUT /_sandbox/webhooks/sslcommerz``); nothing is known of SSLCommerz trying again. It goes out before the payer's
browser is led back. The sandbox posts to this machine alone. What goes wrong on purpose stands in ``fault_kinds.py``.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from vextrus_payments.clock import Sleeper
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.direct_posting import FORGED, DirectPost
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Attempt, Session
from vextrus_payments_sandbox.sslcommerz.signing import SIGN, SIGN_SHA2
from vextrus_payments_sandbox.sslcommerz.writing import posted
from vextrus_payments_sandbox.subscriptions import Try
from vextrus_payments_sandbox.world import World, iso

TYPE: Final = "IPN"
WAIT_S: Final = 3.0
"""How long a payer's page waits for the merchant's server before it leads him back."""
_TAKA: Final = 100
_STRANGER: Final = "somebody else's password"
_HEADERS: Final = {
    "Content-Type": "application/x-www-form-urlencoded",
    "User-Agent": "SSLCommerz sandbox IPN",
}


@dataclass(slots=True)
class Ipn(Kept):
    """One announcement that has to be posted."""

    number: int
    reference: str
    url: str
    fields: Mapping[str, str]
    due_at: datetime
    fault: str = ""

    @property
    def title(self) -> str:
        """How the record calls it."""
        return f"{TYPE} {self.fields['status']}"


class IpnPost(DirectPost[Ipn]):
    """Posts for one SSLCommerz; the endpoint set by hand is what the merchant's panel holds."""

    gateway = GATEWAY

    def __init__(
        self, world: World, faults: FaultPlans, courier: Courier, sleeper: Sleeper, panel_url: str
    ) -> None:
        super().__init__(world, faults, courier, sleeper, panel_url)
        self._prompt: set[asyncio.Task[None]] = set()

    def announce(self, session: Session, attempt: Attempt) -> None:
        """A try has ended. Awaits nothing; where no event loop runs, it is sent with the next announcement."""
        url = session.ipn_url or self.url
        if not url or self._quiet:
            return
        wallet = attempt.wallet.number if attempt.wallet is not None else ""
        fault = self._next_fault(session.key, session.amount_minor, wallet)
        name = fault.name if fault is not None else ""

        def made(fields: Mapping[str, str]) -> Ipn:
            return Ipn(self._next_number(), session.key, url, fields, self._due_at(fault), name)

        fields = posted(session, attempt, more_minor=_TAKA if name == "webhook_other_amount" else 0)
        if name == "webhook_bad_signature":
            fields = {**fields, SIGN: _other(fields[SIGN]), SIGN_SHA2: _other(fields[SIGN_SHA2])}
        if name == FORGED:
            forged = posted(session, attempt, password=_STRANGER, more_minor=session.amount_minor)
            self._announce(made(forged), None)
        self._announce(made(fields), fault)
        if name == "webhook_duplicate":
            self._announce(made(fields), None)

    async def told(self) -> None:
        """Wait until what goes out at once was answered, or as long as a payer would wait."""
        if self._prompt:
            await asyncio.wait(set(self._prompt), timeout=WAIT_S)

    def _start(self, message: Ipn, after_s: float = 0.0) -> asyncio.Task[None] | None:
        task = super()._start(message, after_s)
        if task is not None and not after_s:
            self._prompt.add(task)
            task.add_done_callback(self._prompt.discard)
        return task

    def _goes_to(self, message: Ipn) -> str:
        return message.url

    def signed(self, message: Ipn) -> tuple[Mapping[str, str], bytes]:
        """See DirectPost. Its signatures are among its fields."""
        return _HEADERS, urlencode(message.fields, errors="replace").encode("ascii")

    def _row(self, message: Ipn, number: int) -> Try:
        fields = message.fields
        bank_tran_id = fields.get("bank_tran_id", "")
        return Try(
            message.number,
            iso(self._world.now()),
            message.title,
            fields.get("val_id", "") or bank_tran_id,
            "",
            message.reference,
            bank_tran_id or None,
            message.fault or None,
            number,
        )


def _other(digest: str) -> str:
    """A digest with one bit wrong."""
    return digest[:-1] + f"{int(digest[-1], 16) ^ 1:x}"
