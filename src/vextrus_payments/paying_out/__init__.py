"""Plan functions for money that leaves: payouts, and transfers between the merchant's own accounts.

A gateway that knows no idempotency key and cannot be asked about a payout leaves no way back from a lost answer. So:

- the intent is durable before a byte leaves, and only one claim at a time may send, until its `send_by`;
- a claim makes a checkpoint before the money call: a claim that is over without one is proof that nothing left, and
  with one it is unknown, whoever asks and however long ago it was;
- unknown is left by the gateway's own word or by an operator's answer, which the gateway's outranks. What a balance
  shows is no proof: others pay out too, and money comes in. Time proves nothing either. Nothing is sent again.
"""

from vextrus_payments.paying_out.outcomes import payout_outcome_of, transfer_outcome_of
from vextrus_payments.paying_out.resolutions import (
    on_operators_word,
    plan_resolve_payout,
    plan_withdraw_payout,
)
from vextrus_payments.paying_out.reviewing import (
    disputed_with,
    plan_payout_disputed,
    plan_payout_elsewhere,
)
from vextrus_payments.paying_out.submitting import (
    NoPayoutClaim,
    PayoutClaim,
    plan_claim_payout,
    plan_payout,
    plan_payout_abandoned,
    plan_payout_checkpoint,
    plan_payout_declined,
    plan_payout_doubted,
    plan_payout_lost,
    plan_payout_seen,
    plan_payout_unsent,
)

__all__ = [
    "NoPayoutClaim",
    "PayoutClaim",
    "disputed_with",
    "on_operators_word",
    "payout_outcome_of",
    "plan_claim_payout",
    "plan_payout",
    "plan_payout_abandoned",
    "plan_payout_checkpoint",
    "plan_payout_declined",
    "plan_payout_disputed",
    "plan_payout_doubted",
    "plan_payout_elsewhere",
    "plan_payout_lost",
    "plan_payout_seen",
    "plan_payout_unsent",
    "plan_resolve_payout",
    "plan_withdraw_payout",
    "transfer_outcome_of",
]
