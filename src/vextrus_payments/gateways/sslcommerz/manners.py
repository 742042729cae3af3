"""What SSLCommerz can do and what it demands of callers, as data (dossier §1.2, §1.7, §1.8)."""

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
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.money import Money

NAME: Final = "sslcommerz"
ORDER_ID: Final = OrderIdRule(characters=m.TRAN_ID_CHARACTERS, min_length=1, max_length=m.TRAN_ID_MAX)
"""Neither `&` nor `=`: both would make what SSLCommerz signs ambiguous (§1.5)."""

SESSION_LIFE: Final = timedelta(hours=24)
"""How long a page is taken to be payable. SSLCommerz publishes no end; a page that it ended itself shows as EXPIRED."""
POLLING: Final = Polling(
    # Looks at 15 s, 1, 3, 10 and 30 min, 2, 6 and 24 h: the differences between them.
    session_s=(15, 45, 120, 420, 1200, 5400, 14_400, 64_800),
    open_s=(15, 60, 300, 1800, 7200, 21_600),
    end_margin_s=300,
    at_once=8,
)

REGISTERING: Final = Registering(
    webhook="Every session names this address as its ipn_url where it is known. Register it in SSLCommerz's panel (IPN "
    "settings) as well: the panel's holds where a session names none.",
    returns="Nothing to register: every session names it. SSLCommerz sends the browser there by POST.",
)
"""§1.2, §1.3."""

CAPABILITIES: Final = Capabilities(
    gateway=NAME,
    currencies=frozenset({m.CURRENCY, "USD", "EUR", "GBP", "INR", "SGD", "MYR"}),
    min_amount=Money(m.AMOUNT_MIN, m.CURRENCY),
    max_amount=Money(m.AMOUNT_MAX, m.CURRENCY),
    completion=Completion.PAYER_COMPLETES,
    # A query shows a tran_id that nobody has paid, and no source says how long it may lag behind.
    absence=Absence.NEVER,
    hard_limit_s=60,
    absence_margin_s=60,
    refund_correlation=RefundCorrelation.OWN_ID,
    # "processing" is said to answer a refund_trans_id that was used before; two third parties are no proof of it.
    idempotency=IdempotencyScope.NONE,
    order_id=ORDER_ID,
    session_life=SESSION_LIFE,
    # No REFUND_STATUS: refunds are not listed; each is asked for by the id that its acceptance named.
    features=frozenset({Feature.REFUND, Feature.PARTIAL_REFUND}),
    max_refunds=None,
    polling=POLLING,
    pays_again=True,
)
