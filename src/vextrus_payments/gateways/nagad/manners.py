"""What Nagad can do and what it demands of callers, as data (dossier §4, §5, §7, §8, §11, §15)."""

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
from vextrus_payments.gateways.nagad import models
from vextrus_payments.money import Money

NAME: Final = "nagad"
ORDER_ID: Final = OrderIdRule(
    characters=models.ORDER_ID_CHARACTERS, min_length=models.ORDER_ID_MIN, max_length=models.ORDER_ID_MAX
)
"""Letters and digits only, and fresh per submission: Nagad refuses one that it has seen on the same day (§10, 083)."""

SESSION_LIFE: Final = timedelta(hours=24)
"""How long a page is taken to be payable. Nagad publishes no end (§18); §15 asks for looks over 24 hours."""
POLLING: Final = Polling(
    # Looks at 15 s, 1, 3, 10 and 30 min, 2, 6 and 24 h: the differences between them.
    session_s=(15, 45, 120, 420, 1200, 5400, 14_400, 64_800),
    open_s=(15, 60, 300, 1800, 7200, 21_600),
    end_margin_s=300,
    at_once=8,
)
"""§15: payers may be kept from returning by Nagad's own firewall, so looks are the only sure source."""

REGISTERING: Final = Registering(
    webhook="Nagad sends no notifications: there is nothing to register, and this door refuses whatever arrives.",
    returns="Ask Nagad to white-list this exact address together with your server's address and your domain: their "
    "firewall stops payers on the way back to an address it does not know. It must have no query.",
)
"""§6, §9, §11."""

_AMOUNT_MAX: Final = "9" * (models.AMOUNT_MAX_CHARACTERS - 3) + ".99"

CAPABILITIES: Final = Capabilities(
    gateway=NAME,
    currencies=frozenset({models.CURRENCY}),
    min_amount=None,
    max_amount=Money(_AMOUNT_MAX, models.CURRENCY),
    completion=Completion.PAYER_COMPLETES,
    # No source says how long Nagad may still be at work on what a look-up does not show.
    absence=Absence.NEVER,
    hard_limit_s=60,
    absence_margin_s=60,
    # A verify shows the last refund's own id at most, and nothing of ours with it.
    refund_correlation=RefundCorrelation.NONE,
    idempotency=IdempotencyScope.NONE,
    order_id=ORDER_ID,
    session_life=SESSION_LIFE,
    # No REFUND_STATUS: a verify tells neither how many refunds there are nor of what amount (§7).
    features=frozenset({Feature.REFUND, Feature.PARTIAL_REFUND}),
    max_refunds=None,
    polling=POLLING,
)
