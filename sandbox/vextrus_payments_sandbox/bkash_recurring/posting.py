"""What the platform tells the merchant's server: JSON, signed with the API key over its very bytes (dossier §7).

Each merchant's news goes to one endpoint (``PUT /_sandbox/webhooks/bkash_recurring``). An answer of 200 or 202 ends a
delivery; anything else is met with a new message three times, 20 seconds apart: bKash publishes no policy of its own.
The time in a message is that of its sending. What goes wrong on purpose stands in ``fault_kinds.py``.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments_sandbox.bkash_recurring.records import GATEWAY, Collection, Merchant, Subscription
from vextrus_payments_sandbox.bkash_recurring.writing import (
    Taka,
    dumps,
    instant,
    news_of_payment,
    news_of_refund,
    news_of_subscription,
)
from vextrus_payments_sandbox.delivery import RETRIES, RETRY_DELAY_S
from vextrus_payments_sandbox.direct_posting import FORGED, DirectPost
from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.subscriptions import Try
from vextrus_payments_sandbox.world import iso

_STRANGER: Final = b"somebody else's key, 24 b"
_TAKEN: Final = frozenset({200, 202})


@dataclass(slots=True)
class Message(Kept):
    """One message that has to be posted. `fields` is JSON; the time is put in when it is sent."""

    number: int
    kind: str
    merchant: Merchant
    reference: str
    transaction_id: str
    fields: str
    due_at: datetime
    fault: str = ""
    skew_s: float = 0.0


class Post(DirectPost[Message]):
    """Posts for one platform."""

    gateway = GATEWAY
    tries_max = RETRIES + 1
    retry_delay_s = RETRY_DELAY_S
    _seq = 0

    # ------------------------------------------------------------------------------------- the news

    def tell(self, kind: str, one: Subscription, due: Collection | None, why: str | None) -> None:
        """Something happened. Awaits nothing; where no event loop runs, it is sent with the next message."""
        if not self.url or self._quiet:
            return
        if due is None:
            fields = news_of_subscription(one, why)
        elif kind == "REFUND":
            fields = news_of_refund(due, one)
        else:
            fields = news_of_payment(due, one, why)
        wallet = one.wallet.number if one.wallet is not None else ""
        fault = self._next_fault(one.key, one.amount_minor, wallet)
        name = fault.name if fault is not None else ""
        reference = one.key if due is None else due.key
        trx_id = "" if due is None else (due.reverse_trx_id if kind == "REFUND" else due.trx_id)

        def made(told: Mapping[str, Any], fault_name: str) -> Message:
            return Message(
                number=self._next_number(),
                kind=kind,
                merchant=one.merchant,
                reference=reference,
                transaction_id=trx_id,
                fields=dumps(dict(told)),
                due_at=self._due_at(fault),
                fault=fault_name,
                skew_s=fault.skew_s if fault is not None else 0.0,
            )

        if name == FORGED:
            self._announce(made(_doubled(fields), name), None)
        told = _more(fields) if name == "webhook_other_amount" else fields
        self._announce(made(told, "" if name == FORGED else name), fault)
        if name == "webhook_duplicate":
            self._announce(made(told, name), None)

    def _is_taken(self, status: int | None) -> bool:
        return status in _TAKEN

    def signed(self, message: Message) -> tuple[dict[str, str], bytes]:
        """See DirectPost. Its time is that of its sending."""
        at = self._world.now() + timedelta(seconds=message.skew_s)
        body = f'{{"timeStamp":"{instant(at)}",{message.fields[1:]}'.encode()
        key = base64.urlsafe_b64decode(message.merchant.api_key)
        if message.fault == FORGED:
            key = _STRANGER
        digest = hmac.new(key, body, hashlib.sha256).digest()
        if message.fault == "webhook_bad_signature":
            digest = digest[:-1] + bytes([digest[-1] ^ 1])
        signature = base64.urlsafe_b64encode(digest).decode("ascii")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "bKash recurring sandbox",
            m.HEADER_SIGNATURE: signature,
            m.HEADER_TYPE: message.kind,
        }
        return headers, body

    def _row(self, message: Message, number: int) -> Try:
        self._seq += 1
        return Try(
            self._seq,
            iso(self._world.now()),
            message.kind,
            str(message.number),
            "",
            message.reference,
            message.transaction_id or None,
            message.fault or None,
            number,
        )


def _more(fields: Mapping[str, Any]) -> dict[str, Any]:
    """With one taka more."""
    return {
        name: Taka(value.minor + 100) if isinstance(value, Taka) else value for name, value in fields.items()
    }


def _doubled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: Taka(2 * value.minor) if isinstance(value, Taka) else value for name, value in fields.items()
    }
