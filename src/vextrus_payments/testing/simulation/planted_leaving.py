"""Bugs on purpose in what leaves, and in what is collected by itself. See planted.py."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

from vextrus_payments import consenting, paying_out
from vextrus_payments.consent_pages import cancel_id, other_pages
from vextrus_payments.engine import payout_desk
from vextrus_payments.engine.collecting import Collecting
from vextrus_payments.engine.pages import Pages
from vextrus_payments.errors import DeclinedError
from vextrus_payments.gateways.bkash import payouts as bkash_payouts
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import AgreementSnapshot, AgreementState
from vextrus_payments.testing.simulation.planting import PlantedBug, everywhere, member


def _payout_freed_on_unknown() -> AbstractContextManager[None]:
    unsent = paying_out.plan_payout_unsent
    # Another function than the one that takes its place here: that one has places of its own to come back to.
    return everywhere(paying_out.plan_payout_lost, lambda *given: unsent(*given))


def _payout_checkpoint_ignored() -> AbstractContextManager[None]:
    original = paying_out.plan_payout_abandoned

    def plan_payout_abandoned(payout: Any, settle_s: int, now: Any) -> Any:
        bare = replace(payout, operation=replace(payout.operation, evidence=()))
        return original(bare, settle_s, now)

    return everywhere(original, plan_payout_abandoned)


def _payout_absence_trusted() -> AbstractContextManager[None]:
    original = bkash_payouts._after

    def after(api: Any, call: Any, payout_id: str) -> Any:
        seen = yield from original(api, call, payout_id)
        if seen is None:
            reason = Reason(code=ReasonCode.UNKNOWN_ERROR)
            raise DeclinedError("It does not show as made.", reason=reason, final=True)
        return seen

    return everywhere(original, after)


def _payouts_not_compared() -> AbstractContextManager[None]:
    async def waits_for_comparison(context: Any, tenant: str) -> bool:
        return False

    return everywhere(payout_desk.waits_for_comparison, waits_for_comparison)


def _payout_not_doubted() -> AbstractContextManager[None]:
    return everywhere(paying_out.plan_payout_doubted, lambda payout, now: None)


def _list_unread() -> AbstractContextManager[None]:
    async def sweep(self: Collecting, agreement: Any) -> Any:
        return agreement

    return member(Collecting, "sweep", sweep)


def _end_assumed() -> AbstractContextManager[None]:
    original = consenting.plan_agreed_lost

    def plan_agreed_lost(agreement: Any, operation_id: str, fence: int, now: Any) -> Any:
        if operation_id != cancel_id(agreement.agreement_key):
            return original(agreement, operation_id, fence, now)
        over = AgreementSnapshot(
            state=AgreementState.CANCELLED,
            raw_state="",
            agreement_id=agreement.agreement_id,
            gateway_reference=agreement.gateway_reference,
        )
        return consenting.plan_agreed_seen(agreement, over, now, 0, now, absence_is_proof=False)

    return everywhere(original, plan_agreed_lost)


def _pages_unasked() -> AbstractContextManager[None]:
    return everywhere(other_pages, lambda agreement, *, ahead=0: ())


def _second_left() -> AbstractContextManager[None]:
    async def beside(self: Pages, agreement: Any) -> list[Any]:
        return []

    return member(Pages, "beside", beside)


LEAVING: Final = (
    PlantedBug(
        "payout_freed_on_unknown",
        "A payout whose answer got lost is sent again when it is asked for again",
        _payout_freed_on_unknown,
    ),
    PlantedBug(
        "payout_checkpoint_ignored",
        "A payout whose process left it counts as not sent, whatever it wrote down before",
        _payout_checkpoint_ignored,
    ),
    PlantedBug(
        "payout_absence_trusted",
        "A payout that the gateway does not show as made counts as declined",
        _payout_absence_trusted,
    ),
    PlantedBug(
        "payouts_not_compared",
        "A restored store that has been reconciled lets payouts leave that it may have forgotten",
        _payouts_not_compared,
    ),
    PlantedBug(
        "payout_not_doubted",
        "What a restored store calls not sent is believed to be so",
        _payout_not_doubted,
    ),
    PlantedBug("list_unread", "What was collected is believed to be told, and never read", _list_unread),
    PlantedBug("end_assumed", "A subscription whose end got no answer counts as ended", _end_assumed),
    PlantedBug(
        "pages_unasked",
        "Nobody asks about a page whose address got lost on its way to the shop",
        _pages_unasked,
    ),
    PlantedBug(
        "second_left",
        "Ending a subscription leaves what its payer consented to on another page of it",
        _second_left,
    ),
)
