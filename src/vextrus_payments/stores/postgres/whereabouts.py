"""Which payment an operation belongs to, and which reference a payment: what names the lock, before it is taken."""

from dataclasses import dataclass
from typing import Final

from vextrus_payments.records import PaymentFacts
from vextrus_payments.stores.postgres.database import Database

_LIMIT: Final = 20_000
"""How many are remembered; then all are forgotten, and asked for again."""
_REPEATS: Final = "strpos(payments.document, '\"allow_repeat\":true') > 0"
_OF_PAYMENT: Final = (
    f"SELECT payment_id, merchant_reference, {_REPEATS} FROM {{schema}}.payments"
    " WHERE tenant = $1 AND payment_id = $2"
)
_OF_OPERATION: Final = (
    f"SELECT payments.payment_id, merchant_reference, {_REPEATS}"
    " FROM {schema}.operations JOIN {schema}.payments USING (tenant, payment_id)"
    " WHERE tenant = $1 AND operation_id = $2"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What never changes of a payment: enough to take its lock and to know what to look for under it."""

    payment_id: str
    merchant_reference: str
    allow_repeat: bool


class Whereabouts:
    """Where payments and operations belong. It never changes, so it is asked for once and without a lock."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Place] = {}

    async def of_payment(self, database: Database, tenant: str, payment_id: str) -> Place | None:
        """Where a payment belongs; None if there is none."""
        return await self._find(database, _OF_PAYMENT, tenant, payment_id)

    async def of_operation(self, database: Database, tenant: str, operation_id: str) -> Place | None:
        """Where the operation of a payment belongs; None if there is none."""
        return await self._find(database, _OF_OPERATION, tenant, operation_id)

    def remember(self, facts: PaymentFacts) -> None:
        """Take what was just seen, so that it need not be asked for."""
        payment = facts.payment
        place = Place(payment.payment_id, payment.merchant_reference, payment.allow_repeat)
        self._keep((_OF_PAYMENT, payment.tenant, payment.payment_id), place)
        for operation in facts.operations:
            self._keep((_OF_OPERATION, payment.tenant, operation.operation_id), place)

    async def _find(self, database: Database, statement: str, tenant: str, identity: str) -> Place | None:
        key = (statement, tenant, identity)
        place = self._known.get(key)
        if place is None:
            row = await database.read(lambda session: session.one(statement, tenant, identity))
            if row is not None:
                place = Place(*row)
                self._keep(key, place)
        return place

    def _keep(self, key: tuple[str, str, str], place: Place) -> None:
        if len(self._known) >= _LIMIT:
            self._known.clear()
        self._known[key] = place
