"""Refunds that a restored store has forgotten, at a gateway where nothing shows them.

Most gateways show in a list, or in the payment itself, that something was refunded since the backup. One that looks a
refund up by the id in its own answer alone shows nothing: what the backup does not know is lost, and asking again would
give the money back twice. So there a person compares with the gateway's statement first, as he does for payouts.
"""

from vextrus_payments.capabilities import Capabilities, Feature, IdempotencyScope, RefundCorrelation
from vextrus_payments.engine.context import Context
from vextrus_payments.engine.payout_desk import waits_for_comparison
from vextrus_payments.errors import ReconciliationRequiredError
from vextrus_payments.recording import plan_refunds_forgotten
from vextrus_payments.records import PaymentFacts


def can_be_lost(capabilities: Capabilities) -> bool:
    """Whether a refund that is not in our records can be found by nothing.

    Where they cannot be told apart by an id of ours, each one leaves after a look at what went back before.
    """
    return (
        capabilities.can(Feature.REFUND)
        and not capabilities.can(Feature.REFUND_STATUS)
        and capabilities.refund_correlation is RefundCorrelation.OWN_ID
        and capabilities.idempotency is IdempotencyScope.NONE
    )


async def guard_refund(context: Context, tenant: str, capabilities: Capabilities) -> None:
    """Before a refund leaves.

    Raises:
        ReconciliationRequiredError: the store was restored, and was not reconciled since; or it was, and nobody has
            said that the refunds made meanwhile are accounted for, where the gateway cannot be asked for them.
    """
    await context.guard(tenant)
    if context.epochs is None or not can_be_lost(capabilities):
        return
    if await waits_for_comparison(context, tenant):
        raise ReconciliationRequiredError(
            "The store was restored from a backup, and refunds made since the backup are in no record here: "
            f"{capabilities.gateway} cannot be asked for them, so a repeated call could pay twice. Nothing was sent.",
            next_step="Compare with the gateway's panel, resolve what is unknown, then run "
            "`vextrus-pay payout clear-restored`, which lets such refunds leave as well.",
        )


async def may_be_made_already(context: Context, capabilities: Capabilities) -> bool:
    """Whether a refund that the machine makes by a rule may have been made before the store was restored.

    It would be under the same rule, and nothing here or there shows it: so none is made by a rule any more, and what it
    was for waits for a person.
    """
    if context.epochs is None or not can_be_lost(capabilities):
        return False
    return await context.epochs.restored_lineage() is not None


async def doubt_reserved(
    context: Context, facts: PaymentFacts, capabilities: Capabilities, *, restored: bool
) -> PaymentFacts:
    """Over a restored store: what it has as reserved may have been sent since, and must not be carried on."""
    if not restored or not can_be_lost(capabilities):
        return facts
    epochs = context.epochs
    # Where nothing outside the store can tell, whoever asks this way says so.
    if epochs is not None and not await epochs.may_be_restored(facts.payment.tenant):
        return facts
    return await context.recorder.record(
        facts.payment.tenant,
        facts.payment.payment_id,
        lambda now_facts, _: plan_refunds_forgotten(now_facts, context.store.now()),
    )
