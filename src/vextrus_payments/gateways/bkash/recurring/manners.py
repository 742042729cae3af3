"""What bKash's recurring platform can do and what it demands of callers, as data (dossier §7)."""

from datetime import timedelta
from typing import Final

from vextrus_payments.capabilities import (
    Absence,
    Capabilities,
    Completion,
    Feature,
    IdempotencyScope,
    OrderIdRule,
    Polling,
    RefundCorrelation,
)
from vextrus_payments.gateways.base import Registering
from vextrus_payments.gateways.bkash.recurring import models
from vextrus_payments.money import Money

NAME: Final = "bkash_recurring"
ORDER_ID: Final = OrderIdRule(characters="A-Za-z0-9/-", min_length=3, max_length=100)
"""Of a collected payment: `{subscriptionRequestId}/{paymentId}`. bKash makes it, not we."""

POLLING: Final = Polling(
    # The guide: query after the payer is back and when no news came. A page lives for ten minutes.
    session_s=(60, 300, 600),
    open_s=(30, 120, 600, 3600, 21_600),
    end_margin_s=300,
    at_once=4,
)

REGISTERING: Final = Registering(
    webhook="Send it to your contact at bKash: all messages of recurring payments come to this one address, signed "
    "with your API key. The address of the bkash gateway does as well, where BKASH_RECURRING_API_KEY is set.",
    returns="It goes along with every subscription; there is nothing to register.",
)

CAPABILITIES: Final = Capabilities(
    gateway=NAME,
    currencies=frozenset({models.CURRENCY}),
    min_amount=Money("1.00", models.CURRENCY),
    max_amount=None,
    # bKash collects by itself under the payer's consent: nothing of ours moves the money.
    completion=Completion.PAYER_COMPLETES,
    # No source says for how long bKash may still be at work on what a look-up does not show.
    absence=Absence.NEVER,
    hard_limit_s=60,
    absence_margin_s=60,
    # A payment shows its last refund's own id, and nothing of ours with it.
    refund_correlation=RefundCorrelation.NONE,
    idempotency=IdempotencyScope.NONE,
    order_id=ORDER_ID,
    session_life=timedelta(minutes=10),
    features=frozenset(
        {
            Feature.AGREEMENTS,
            Feature.SUBSCRIPTIONS,
            Feature.REFUND,
            Feature.PARTIAL_REFUND,
            Feature.REFUND_STATUS,
        }
    ),
    max_refunds=None,
    polling=POLLING,
)
