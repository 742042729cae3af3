"""Plan functions for evidence: what an answer, a look-up or a lost answer changes, with the entries it books.

Every function returns a Plan, or None when the evidence changes nothing (it was known, or it comes from a fence
that no longer counts). Rules of money 3, 7, 8 and 9 live here.
"""

from vextrus_payments.recording.answers import plan_lost, plan_quarantine, plan_refused, plan_unsent
from vextrus_payments.recording.collections import (
    collected_facts,
    collected_payment_id,
    plan_collected,
    plan_collected_in_doubt,
)
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.recording.pictures import plan_snapshot
from vextrus_payments.recording.refunds import (
    plan_refund_doubted,
    plan_refund_seen,
    plan_refunds_forgotten,
    plan_refunds_listed,
)
from vextrus_payments.recording.resolutions import plan_resolve, plan_withdraw
from vextrus_payments.recording.seen import Seen
from vextrus_payments.recording.sessions import (
    plan_initialize_abandoned,
    plan_initialize_lost,
    plan_session_opened,
    plan_session_over,
)

__all__ = [
    "Draft",
    "Seen",
    "collected_facts",
    "collected_payment_id",
    "plan_collected",
    "plan_collected_in_doubt",
    "plan_initialize_abandoned",
    "plan_initialize_lost",
    "plan_lost",
    "plan_quarantine",
    "plan_refund_doubted",
    "plan_refund_seen",
    "plan_refunds_forgotten",
    "plan_refunds_listed",
    "plan_refused",
    "plan_resolve",
    "plan_session_opened",
    "plan_session_over",
    "plan_snapshot",
    "plan_unsent",
    "plan_withdraw",
]
