"""What a person reads in a gateway's own portal: which line of its books an operation of ours made."""

from vextrus_payments.app import Payments
from vextrus_payments.errors import ConflictError
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent, RefundCall
from vextrus_payments.payouts import PayoutKind
from vextrus_payments.records import Operation, OperationKind, PaymentFacts, Payout, ResolutionVerdict
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.testing.simulation.world import Disbursement, Movement, NamesRefunds, PaysOut, World


async def answer_by_books(
    payments: Payments, facts: PaymentFacts, operation: Operation, world: World
) -> None:
    """Answer an unknown as the gateway's books have it.

    Raises: as `Payments.resolve`.
    """
    made = movement_of(facts, operation, world)
    request = ResolveRequest(
        payment_id=operation.payment_id,
        verdict=ResolutionVerdict.MADE if made is not None else ResolutionVerdict.NOT_MADE,
        actor="operator@shop.test",
        reason="It is so in the gateway's portal.",
        evidence=("the portal's list of today",),
        reviewed_version=facts.payment.version,
        operation_id=operation.operation_id,
        transaction_id=None if made is None else made.transaction_id,
        amount=None if made is None else Money.from_minor(made.amount_minor, "BDT"),
    )
    await payments.for_tenant(operation.tenant).resolve(request)


async def answer_payout_by_books(payments: Payments, payout: Payout, world: PaysOut) -> None:
    """Answer an unknown payout or transfer as the gateway's statement has it. A line that is another's is passed over:
    one looks further down, as for transfers, which carry no name of ours.

    Raises: as `Payments.resolve_payout`.
    """
    for line in (*_lines_of(payout, world), None):
        request = ResolveRequest(
            payment_id=payout.payout_id,
            verdict=ResolutionVerdict.NOT_MADE if line is None else ResolutionVerdict.MADE,
            actor="accountant@shop.test",
            reason="It is so in the gateway's statement.",
            evidence=("the statement of today",),
            reviewed_version=payout.version,
            operation_id=payout.operation_id,
            transaction_id=None if line is None else line.transaction_id,
            amount=None if line is None else Money.from_minor(line.amount_minor, "BDT"),
        )
        try:
            await payments.for_tenant(payout.tenant).resolve_payout(request)
        except ConflictError as error:
            if error.code != "receipt_elsewhere":
                raise
            continue
        return


def _lines_of(payout: Payout, world: PaysOut) -> list[Disbursement]:
    """The lines that it may have made, as far as the statement lets a person tell."""
    mine = [line for line in world.paid_out() if line.tenant == payout.tenant]
    if payout.kind is not PayoutKind.TRANSFER:
        return [line for line in mine if line.order_id == payout.payout_id]
    amount_minor, way = payout.amount.amount_minor, payout.direction
    return [line for line in mine if (line.kind, line.amount_minor) == (way, amount_minor)]


def is_shown_in_books(facts: PaymentFacts, operation: Operation) -> bool:
    """A hold is no line of the books, nor is what lets it go; everything else is."""
    sale = facts.payment.intent is Intent.SALE
    return operation.kind in (OperationKind.CAPTURE, OperationKind.REFUND) or (
        operation.kind is OperationKind.EXECUTE and sale
    )


def movement_of(facts: PaymentFacts, operation: Operation, world: World) -> Movement | None:
    """The line that the operation made, as far as the portal lets a person tell."""
    order_id = facts.submission_numbered(operation.submission_no).gateway_order_id
    kind = "refund" if operation.kind is OperationKind.REFUND else "capture"
    booked = {receipt.transaction_id for receipt in facts.receipts if receipt.operation_id}
    lines = [
        one
        for one in world.movements()
        if (one.kind, one.order_id, one.tenant) == (kind, order_id, facts.payment.tenant)
    ]
    if kind == "capture":
        return lines[0] if lines else None
    if world.refunds_by_own_id:
        own = operation.operation_id
        name = world.correlation_of(_call_of(facts, operation)) if isinstance(world, NamesRefunds) else own
        return next((one for one in lines if one.correlation == name), None)
    amount = operation.amount.amount_minor if operation.amount is not None else 0
    fitting = (one for one in lines if one.amount_minor == amount and one.transaction_id not in booked)
    return next(fitting, None)


def _call_of(facts: PaymentFacts, operation: Operation) -> RefundCall:
    """The refund as the adapter was asked for it."""
    original = operation.original_transaction_id or ""
    receipt = next((r for r in facts.receipts if r.transaction_id == original), None)
    number = operation.submission_no if receipt is None else receipt.submission_no or operation.submission_no
    assert operation.amount is not None, "a refund names its amount"
    return RefundCall(
        operation_id=operation.operation_id,
        gateway_reference=facts.submission_numbered(number).gateway_reference or "",
        transaction_id=original,
        amount=operation.amount,
        reason=operation.note or "",
        sku=operation.sku or "",
    )
