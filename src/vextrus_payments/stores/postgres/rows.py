"""The SQL of the flow: one transaction's row operations on a PostgreSQL connection. Implements transactions.Rows.

Each question that a transaction asks of a database across a network is a round trip while others wait for its lock. So
a transaction begins with one look ahead for all it is about to ask, and its rows answer from what that has seen; what
it has not seen is asked for as usual. Others cannot change it meanwhile: they wait for the lock, or the write, which
compares versions and counts what it inserts, finds it changed and the transaction begins again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vextrus_payments.documents import from_json
from vextrus_payments.mode import Mode
from vextrus_payments.plans import (
    AgreementPlan,
    PayoutPlan,
    Plan,
    ReserveOperation,
    ReservePayment,
    SettlementPlan,
    siblings_decide,
)
from vextrus_payments.records import (
    Agreement,
    Operation,
    OperationKind,
    Payment,
    PaymentFacts,
    Payout,
    Receipt,
    ReceiptKey,
    Submission,
)
from vextrus_payments.stores.postgres import writing
from vextrus_payments.stores.postgres.driver import Row
from vextrus_payments.stores.postgres.session import CLOCK, Session
from vextrus_payments.stores.transactions import Booked

# Every look answers with rows of one shape: part, place, number, key, text. These are the parts.
_PAYMENT, _SUBMISSION, _OPERATION, _RECEIPT, _REFERENCE = 0, 1, 2, 3, 4
_OWNER, _COUNT, _VERSION, _ORDER, _BOOKED, _AGREED, _PAID_OUT = 5, 6, 7, 8, 9, 10, 11

_CLOCK: Final = (
    f"SELECT -1 AS part, {CLOCK} AS place, 0::bigint AS number, NULL::text AS key, NULL::text AS text"
)
_PARTS: Final = """
UNION ALL SELECT 0, 0, version, payment_id, document FROM {schema}.payments
    WHERE tenant = $1 AND payment_id = ANY($2::text[])
UNION ALL SELECT 1, 0, submission_no, payment_id, document FROM {schema}.submissions
    WHERE tenant = $1 AND payment_id = ANY($2::text[])
UNION ALL SELECT 2, 0, id, payment_id, document FROM {schema}.operations
    WHERE tenant = $1 AND payment_id = ANY($2::text[])
UNION ALL SELECT 3, 0, id, payment_id, document FROM {schema}.receipts
    WHERE tenant = $1 AND payment_id = ANY($2::text[]) AND payment_id IS NOT NULL"""
_OF_REFERENCE: Final = """
UNION ALL SELECT 4, created_at, id, payment_id, NULL FROM {schema}.payments
    WHERE tenant = $1 AND merchant_reference = $3::text"""
_OWNERS: Final = """
UNION ALL SELECT 5, 0, 0, payment_id, operation_id FROM {schema}.operations
    WHERE tenant = $1 AND operation_id = ANY($4::text[])
UNION ALL SELECT 10, 0, 0, operation_id, document FROM {schema}.agreement_operations
    JOIN {schema}.agreements USING (tenant, agreement_key) WHERE tenant = $1 AND operation_id = ANY($4::text[])
UNION ALL SELECT 11, 0, 0, operation_id, document FROM {schema}.payouts
    WHERE tenant = $1 AND operation_id = ANY($4::text[])"""
_VERSIONS: Final = """
UNION ALL SELECT 7, 0, version, payment_id, NULL FROM {schema}.payments
    WHERE tenant = $1 AND payment_id = ANY($2::text[])"""
_SUBMITTED: Final = """
UNION ALL SELECT 6, 0, count(*), NULL, NULL FROM {schema}.payments JOIN {schema}.submissions
    USING (tenant, payment_id) WHERE tenant = $1 AND merchant_reference = $5::text
    AND payments.gateway = $6::text AND payments.mode = $7::text"""
_ORDER_IDS: Final = """
UNION ALL SELECT 8, wanted.place, submission_no, payment_id, NULL
    FROM unnest($5::text[], $6::text[], $7::text[]) WITH ORDINALITY AS wanted (order_id, gateway, mode, place)
    JOIN {schema}.submissions ON tenant = $1 AND gateway_order_id = wanted.order_id
    AND submissions.gateway = wanted.gateway AND submissions.mode = wanted.mode"""
_RECEIPTS: Final = """
UNION ALL SELECT 9, wanted.place, 0, payment_id, NULL
    FROM unnest($8::text[], $9::text[], $10::text[], $11::text[]) WITH ORDINALITY
    AS wanted (transaction_id, gateway, mode, kind, place)
    JOIN {schema}.receipts ON tenant = $1 AND receipts.transaction_id = wanted.transaction_id
    AND receipts.gateway = wanted.gateway AND receipts.mode = wanted.mode AND receipts.kind = wanted.kind"""

_LOOK_FACTS: Final = _CLOCK + _PARTS
_LOOK_RESERVE_PAYMENT: Final = _CLOCK + _VERSIONS + _OF_REFERENCE + _OWNERS + _SUBMITTED
_LOOK_OPERATION: Final = _CLOCK + _PARTS + _OF_REFERENCE + _OWNERS
_LOOK_COMMIT: Final = _CLOCK + _VERSIONS + _OF_REFERENCE + _OWNERS + _ORDER_IDS + _RECEIPTS

_LOCK_GUARDED: Final = (
    "SELECT payment_id FROM {schema}.payments WHERE tenant = $1 AND payment_id = ANY($2::text[])"
    " ORDER BY id FOR NO KEY UPDATE"
)
_VERSION_OF: Final = "SELECT version FROM {schema}.payments WHERE tenant = $1 AND payment_id = $2"
_OWNER_OF: Final = "SELECT payment_id FROM {schema}.operations WHERE tenant = $1 AND operation_id = $2"
_IDS_OF_REFERENCE: Final = (
    "SELECT payment_id FROM {schema}.payments WHERE tenant = $1 AND merchant_reference = $2"
    " ORDER BY created_at, id"
)
_COUNT_SUBMISSIONS: Final = (
    "SELECT count(*) FROM {schema}.payments JOIN {schema}.submissions USING (tenant, payment_id)"
    " WHERE tenant = $1 AND merchant_reference = $2 AND payments.gateway = $3 AND payments.mode = $4"
)
_ORDER_ID_OWNER: Final = (
    "SELECT payment_id, submission_no FROM {schema}.submissions"
    " WHERE tenant = $1 AND gateway_order_id = $2 AND gateway = $3 AND mode = $4"
)
_RECEIPT_OWNER: Final = (
    "SELECT payment_id FROM {schema}.receipts"
    " WHERE tenant = $1 AND transaction_id = $2 AND gateway = $3 AND mode = $4 AND kind = $5"
)
_AGREEMENT_OF: Final = (
    "SELECT document FROM {schema}.agreement_operations JOIN {schema}.agreements USING (tenant, agreement_key)"
    " WHERE tenant = $1 AND operation_id = $2"
)
_AGREEMENT_VERSION_OF: Final = (
    "SELECT version FROM {schema}.agreements WHERE tenant = $1 AND agreement_key = $2"
)
_AGREEMENT_VERSION: Final = "SELECT version FROM {schema}.agreements WHERE tenant = $1 AND agreement_key = $2"
_PAYOUT_OF: Final = "SELECT document FROM {schema}.payouts WHERE tenant = $1 AND operation_id = $2"
_PAYOUT_VERSION: Final = "SELECT version FROM {schema}.payouts WHERE tenant = $1 AND payout_id = $2"
_SETTLEMENT_VERSIONS: Final = """
SELECT wanted.place, coalesce(settlements.version, 0)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
    AS wanted (tenant, transaction_id, gateway, mode, kind, place)
JOIN {schema}.receipts USING (tenant, transaction_id, gateway, mode, kind)
LEFT JOIN {schema}.settlements USING (tenant, transaction_id, gateway, mode, kind)
"""


class PostgresRows:
    """Row operations on one connection, whose transaction is somebody else's to begin and end.

    Args:
        trusts_order_ids: take a gateway order id that was not looked for to be free. If it is not, the unique key
            refuses it, and the transaction is begun again by somebody who does not trust.
    """

    def __init__(self, session: Session, *, trusts_order_ids: bool = False) -> None:
        self._session = session
        self._trusts_order_ids = trusts_order_ids
        self._facts: dict[tuple[str, str], PaymentFacts | None] = {}
        self._versions: dict[tuple[str, str], int] = {}
        self._owners: dict[tuple[str, str], str | None] = {}
        self._agreed: dict[tuple[str, str], Operation | None] = {}
        self._paid_out: dict[tuple[str, str], Operation | None] = {}
        self._references: dict[tuple[str, str], tuple[str, ...]] = {}
        self._counts: dict[tuple[str, str, Mode, str], int] = {}
        self._order_ids: dict[tuple[str, str, Mode, str], tuple[str, int] | None] = {}
        self._booked: dict[ReceiptKey, Booked | None] = {}

    # --- looking ahead ----------------------------------------------------------------------------------------

    async def look_for_payment(self, wanted: ReservePayment) -> None:
        """What reserve() will ask about a new payment."""
        tenant, request = wanted.tenant, wanted.request
        reference = request.merchant_reference
        decide = siblings_decide(OperationKind.INITIALIZE, allow_repeat=request.allow_repeat)
        rows = await self._session.timed(
            _LOOK_RESERVE_PAYMENT,
            tenant,
            [wanted.payment_id],
            reference if decide else None,
            [wanted.operation_id],
            reference,
            request.gateway,
            wanted.mode.value,
        )
        self._keep_versions(tenant, [wanted.payment_id], rows)
        self._keep_owners(tenant, [wanted.operation_id], rows)
        if decide:
            self._keep_reference(tenant, reference, rows)
        (count,) = (row[2] for row in rows if row[0] == _COUNT)
        self._counts[tenant, request.gateway, wanted.mode, reference] = count

    async def look_for_operation(self, wanted: ReserveOperation, *, is_there: bool) -> None:
        """What reserve() will ask about an operation on a payment.

        Args:
            is_there: whether the payment was there when its lock was to be taken; where it was not, none is held, and
                for this transaction it is not there.
        """
        tenant, payment_ids = wanted.tenant, [wanted.payment_id] if is_there else []
        rows = await self._session.timed(_LOOK_OPERATION, tenant, payment_ids, None, [wanted.operation_id])
        self._facts[tenant, wanted.payment_id] = None
        self._keep_facts(tenant, payment_ids, rows)
        self._keep_owners(tenant, [wanted.operation_id], rows)

    async def look_for_claim(
        self, tenant: str, operation_id: str, payment_id: str | None, reference: str | None
    ) -> None:
        """What claim() will ask.

        Args:
            payment_id: whose operation it is; None: there was none of this id, and for this transaction there is none.
            reference: given where other payments of it can decide.
        """
        if payment_id is None:
            self._owners[tenant, operation_id] = None
            return
        rows = await self._session.timed(_LOOK_OPERATION, tenant, [payment_id], reference, [operation_id])
        self._keep_facts(tenant, [payment_id], rows)
        self._keep_owners(tenant, [operation_id], rows)
        if reference is not None:
            self._keep_reference(tenant, reference, rows)

    async def look_for_commit(self, plan: Plan) -> None:
        """What commit() will ask."""
        payment = plan.payment
        tenant, reference = payment.tenant, payment.merchant_reference
        payments = [payment.payment_id, *(payment_id for payment_id, _ in plan.guards)]
        if plan.guards:
            # A guarded payment of another reference is under another lock: hold its row, so that it cannot change
            # between our look at its version and our commit; and our own with it, all in one order, so that two that
            # guard each other do not wait in a circle.
            await self._session.all(_LOCK_GUARDED, tenant, payments)
        operations = [operation.operation_id for operation in plan.operations]
        submissions, keys = plan.submissions, [receipt.key for receipt in plan.receipts]
        rows = await self._session.timed(
            _LOOK_COMMIT,
            tenant,
            payments,
            reference if plan.whole_reference else None,
            operations,
            [s.gateway_order_id for s in submissions],
            [s.gateway for s in submissions],
            [s.mode.value for s in submissions],
            [key.transaction_id for key in keys],
            [key.gateway for key in keys],
            [key.mode.value for key in keys],
            [key.label for key in keys],
        )
        self._keep_versions(tenant, payments, rows)
        self._keep_owners(tenant, operations, rows)
        if plan.whole_reference:
            self._keep_reference(tenant, reference, rows)
        order_ids = {row[1]: (row[3], row[2]) for row in rows if row[0] == _ORDER}
        for place, s in enumerate(submissions, 1):
            self._order_ids[s.tenant, s.gateway, s.mode, s.gateway_order_id] = order_ids.get(place)
        booked = {row[1]: Booked(row[3]) for row in rows if row[0] == _BOOKED}
        self._booked.update((key, booked.get(place)) for place, key in enumerate(keys, 1))

    def _keep_facts(self, tenant: str, payment_ids: Sequence[str], rows: Sequence[Row]) -> None:
        parts: dict[str, list[Row]] = {payment_id: [] for payment_id in payment_ids}
        for row in sorted((row for row in rows if row[0] <= _RECEIPT), key=_in_order):
            parts[row[3]].append(row)
        for payment_id, mine in parts.items():
            self._facts[tenant, payment_id] = _facts(mine)

    def _keep_versions(self, tenant: str, payment_ids: Sequence[str], rows: Sequence[Row]) -> None:
        found = {row[3]: row[2] for row in rows if row[0] == _VERSION}
        self._versions.update(((tenant, i), found.get(i, 0)) for i in payment_ids)

    def _keep_owners(self, tenant: str, operation_ids: Sequence[str], rows: Sequence[Row]) -> None:
        owners = {row[4]: row[3] for row in rows if row[0] == _OWNER}
        agreed = {row[3]: row[4] for row in rows if row[0] == _AGREED}
        paid_out = {row[3]: from_json(Payout, row[4]).operation for row in rows if row[0] == _PAID_OUT}
        for operation_id in operation_ids:
            self._owners[tenant, operation_id] = owners.get(operation_id)
            self._agreed[tenant, operation_id] = _operation(agreed.get(operation_id), operation_id)
            self._paid_out[tenant, operation_id] = paid_out.get(operation_id)

    def _keep_reference(self, tenant: str, reference: str, rows: Sequence[Row]) -> None:
        found = sorted((row for row in rows if row[0] == _REFERENCE), key=lambda row: (row[1], row[2]))
        self._references[tenant, reference] = tuple(row[3] for row in found)

    # --- transactions.Rows ------------------------------------------------------------------------------------

    async def facts(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        if (tenant, payment_id) not in self._facts:
            self._keep_facts(
                tenant, [payment_id], await self._session.timed(_LOOK_FACTS, tenant, [payment_id])
            )
        return self._facts[tenant, payment_id]

    async def facts_of(self, tenant: str, payment_ids: Sequence[str]) -> tuple[PaymentFacts, ...]:
        missing = [i for i in dict.fromkeys(payment_ids) if (tenant, i) not in self._facts]
        if missing:
            self._keep_facts(tenant, missing, await self._session.timed(_LOOK_FACTS, tenant, missing))
        found = (self._facts[tenant, payment_id] for payment_id in payment_ids)
        return tuple(facts for facts in found if facts is not None)

    async def version(self, tenant: str, payment_id: str) -> int:
        if (tenant, payment_id) in self._versions:
            return self._versions[tenant, payment_id]
        row = await self._session.one(_VERSION_OF, tenant, payment_id)
        return 0 if row is None else int(row[0])

    async def payment_of_operation(self, tenant: str, operation_id: str) -> str | None:
        if (tenant, operation_id) in self._owners:
            return self._owners[tenant, operation_id]
        row = await self._session.one(_OWNER_OF, tenant, operation_id)
        return None if row is None else str(row[0])

    async def payments_of_reference(self, tenant: str, merchant_reference: str) -> tuple[str, ...]:
        if (tenant, merchant_reference) in self._references:
            return self._references[tenant, merchant_reference]
        rows = await self._session.all(_IDS_OF_REFERENCE, tenant, merchant_reference)
        return tuple(row[0] for row in rows)

    async def count_submissions(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        key = (tenant, gateway, mode, merchant_reference)
        if key in self._counts:
            return self._counts[key]
        row = await self._session.one(_COUNT_SUBMISSIONS, tenant, merchant_reference, gateway, mode.value)
        return 0 if row is None else int(row[0])

    async def order_id_owner(
        self, tenant: str, gateway: str, mode: Mode, gateway_order_id: str
    ) -> tuple[str, int] | None:
        key = (tenant, gateway, mode, gateway_order_id)
        if key in self._order_ids or self._trusts_order_ids:
            return self._order_ids.get(key)
        row = await self._session.one(_ORDER_ID_OWNER, tenant, gateway_order_id, gateway, mode.value)
        return None if row is None else (str(row[0]), int(row[1]))

    async def receipt_owner(self, key: ReceiptKey) -> Booked | None:
        if key not in self._booked:
            row = await self._session.one(
                _RECEIPT_OWNER, key.tenant, key.transaction_id, key.gateway, key.mode.value, key.label
            )
            self._booked[key] = None if row is None else Booked(row[0])
        return self._booked[key]

    async def agreement_operation(self, tenant: str, operation_id: str) -> Operation | None:
        if (tenant, operation_id) in self._agreed:
            return self._agreed[tenant, operation_id]
        row = await self._session.one(_AGREEMENT_OF, tenant, operation_id)
        return None if row is None else _operation(row[0], operation_id)

    async def agreement_version(self, tenant: str, agreement_key: str) -> int:
        row = await self._session.one(_AGREEMENT_VERSION, tenant, agreement_key)
        return 0 if row is None else int(row[0])

    async def payout_operation(self, tenant: str, operation_id: str) -> Operation | None:
        if (tenant, operation_id) in self._paid_out:
            return self._paid_out[tenant, operation_id]
        row = await self._session.one(_PAYOUT_OF, tenant, operation_id)
        return None if row is None else from_json(Payout, row[0]).operation

    async def payout_version(self, tenant: str, payout_id: str) -> int:
        row = await self._session.one(_PAYOUT_VERSION, tenant, payout_id)
        return 0 if row is None else int(row[0])

    async def settlement_versions(self, keys: Sequence[ReceiptKey]) -> Mapping[ReceiptKey, int]:
        rows = await self._session.all(_SETTLEMENT_VERSIONS, *writing.key_columns(keys))
        return {keys[place - 1]: version for place, version in rows}

    # --- writing ----------------------------------------------------------------------------------------------

    async def write(self, plan: Plan) -> None:
        fresh = {key for key in (r.key for r in plan.receipts) if await self.receipt_owner(key) is None}
        await writing.write_plan(self._session, plan, fresh)

    async def write_agreement(self, plan: AgreementPlan) -> None:
        await writing.write_agreement(self._session, plan)

    async def write_payout(self, plan: PayoutPlan) -> None:
        await writing.write_payout(self._session, plan)

    async def write_settlements(self, plans: Sequence[SettlementPlan]) -> None:
        await writing.write_settlements(self._session, plans)


def _in_order(row: Row) -> Any:
    return row[0], row[2]


def _facts(rows: Sequence[Row]) -> PaymentFacts | None:
    """The facts that rows of one payment make, which are in their order."""
    payments = [row[4] for row in rows if row[0] == _PAYMENT]
    if not payments:
        return None
    return PaymentFacts(
        from_json(Payment, payments[0]),
        tuple(from_json(Submission, row[4]) for row in rows if row[0] == _SUBMISSION),
        tuple(from_json(Operation, row[4]) for row in rows if row[0] == _OPERATION),
        tuple(from_json(Receipt, row[4]) for row in rows if row[0] == _RECEIPT),
    )


def _operation(agreement: str | None, operation_id: str) -> Operation | None:
    return None if agreement is None else from_json(Agreement, agreement).operation(operation_id)
