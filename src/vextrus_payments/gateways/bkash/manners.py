"""What bKash can do and what it demands of callers, as data (dossier §1, §4, §11, §13)."""

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
from vextrus_payments.gateways.bkash import models
from vextrus_payments.gateways.bkash.dialect import ApiVersion
from vextrus_payments.gateways.bkash.dialects import DIALECTS
from vextrus_payments.gateways.bkash.steps import RefundApi
from vextrus_payments.money import Money
from vextrus_payments.token_budget import GrantBudget

NAME: Final = "bkash"
GRANT_BUDGET: Final = GrantBudget(limit=2, window_s=3600)
"""bKash's manners (dossier §1.4): two grants in any hour, refreshes included, or it blocks for an hour."""
ORDER_ID: Final = OrderIdRule(characters=r"!-%'-;=?-~", min_length=1, max_length=models.TEXT_MAX)
"""Visible ASCII without < > & (§4.2, §11). No blanks: nobody knows whether they come back as they went."""

POLLING: Final = Polling(open_s=(10, 30, 120, 600, 3600), session_s=(), end_margin_s=60, at_once=8)
"""When bKash may be asked (§13: after a lost answer 10 s, 30 s, 2 min, 10 min, 1 h; §1.3 and §11: query only where
execute gave no answer, so an open session is not asked about, however long the payer takes)."""

REGISTERING: Final = Registering(
    webhook="Send it to your contact at bKash and ask for payment notifications (IPN): they subscribe it to your "
    "merchant's Amazon SNS topic. Set BKASH_SNS_TOPIC_ARN to that topic, which they tell you, before they do: then the "
    "subscription is confirmed by itself, and without it nothing that arrives is believed.",
    returns="It goes along with every payment; there is nothing to register, unless bKash asks which address payers "
    "come back to.",
)
"""§8.1: no self-service; a person at bKash subscribes the address."""

_FEATURES: Final = frozenset(
    {
        Feature.REFUND,
        Feature.PARTIAL_REFUND,
        Feature.REFUND_STATUS,
        Feature.SEARCH,
        Feature.AGREEMENTS,
    }
)
_HOLDS: Final = frozenset({Feature.CAPTURE, Feature.VOID})
"""Not on v2: no source of rank says how money that is held there is taken or let go (§13, §17), so none is held."""

_HARD_LIMIT_S: Final = 30
_ABSENCE_MARGIN_S: Final = 30


def capabilities_of(refund_api: RefundApi, version: ApiVersion = ApiVersion.V1) -> Capabilities:
    """The capabilities of a merchant who was given this version and refunds through this interface."""
    return Capabilities(
        gateway=NAME,
        currencies=frozenset({models.CURRENCY}),
        min_amount=Money("1.00", models.CURRENCY),
        max_amount=None,
        completion=Completion.MERCHANT_EXECUTES,
        absence=Absence.AUTHORITATIVE_AFTER_LIMIT,
        hard_limit_s=_HARD_LIMIT_S,
        absence_margin_s=_ABSENCE_MARGIN_S,
        refund_correlation=RefundCorrelation.NONE,
        idempotency=IdempotencyScope.NONE,
        order_id=ORDER_ID,
        session_life=models.PAYMENT_LIFE,
        features=_FEATURES | (_HOLDS if DIALECTS[version].holds_money else frozenset()),
        max_refunds=models.REFUNDS_MAX if refund_api is RefundApi.V2 else None,
        polling=POLLING,
    )
