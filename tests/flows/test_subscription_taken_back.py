"""A payer consents, pays, and takes it back before anybody has asked: it is over, and what was collected is booked."""

from pathlib import Path

from tests.flows.shop import LONG_S
from tests.flows.test_subscriptions import Club, club_open
from vextrus_payments.consent_pages import execute_id
from vextrus_payments.consenting import plan_claim_agreed, plan_reserve_agreed
from vextrus_payments.payment import digest_of
from vextrus_payments.plans import ClaimTerms, Committed
from vextrus_payments.records import Agreement, AgreementLife
from vextrus_payments.states import OPEN_STATES


async def taken_back(club: Club) -> Agreement:
    """Consented to, collected once, and ended in bKash's app."""
    asked = await club.asked()
    club.approve(asked)
    rules = club.platform.rules
    assert asked.gateway_reference is not None
    rules.cancel(rules.subscriptions[asked.gateway_reference], by="PAYER")
    return asked


async def test_its_execute_closes_it_and_what_was_collected_is_read(tmp_path: Path) -> None:
    async with club_open(tmp_path) as club:
        asked = await taken_back(club)
        closed = await club.payments.execute_agreement(asked.agreement_key)
        assert closed.state is AgreementLife.CLOSED and closed.agreement_id is not None
        club.shop.clock.advance(7 * 3600)  # nobody asks: the list is read by the reconciler
        await club.payments.reconcile_due()
        assert len(await club.paid()) == 1
        await club.shop.check_books()


async def test_what_a_dead_process_left_in_its_look_is_over_too(tmp_path: Path) -> None:
    async with club_open(tmp_path) as club:
        asked = await taken_back(club)
        store, name = club.payments.store, execute_id(asked.agreement_key)
        plan = plan_reserve_agreed(asked, name, digest_of(name), store.now())
        assert isinstance(await store.commit_agreement(plan), Committed)
        claim, _ = plan_claim_agreed(
            plan.agreement,
            name,
            ClaimTerms(send_window_s=30, settle_s=120, one_refund_at_a_time=True),
            store.now(),
        )
        assert claim is not None and isinstance(await store.commit_agreement(claim), Committed)
        # Its process is gone, and another one looks: first at once, then when the claim is over.
        closed = await club.payments.agreement_status(asked.agreement_key)
        assert closed.state is AgreementLife.CLOSED
        club.shop.clock.advance(LONG_S)
        await club.payments.reconcile_due()
        after = await club.payments.agreement_status(asked.agreement_key)
        assert not [one for one in after.operations if one.state in OPEN_STATES]
        assert len(await club.paid()) == 1
