"""The memory store's payouts and transfers, and whose their operation ids are."""

from dataclasses import dataclass, field

from vextrus_payments.documents import from_json
from vextrus_payments.plans import PayoutPlan
from vextrus_payments.records import Operation, Payout
from vextrus_payments.stores.columns import Position, is_out, is_settled, to_micros
from vextrus_payments.stores.memory.watches import Watched

_Id = tuple[str, str]
"""(tenant, id)"""


@dataclass(slots=True, kw_only=True)
class PayoutRow(Watched):
    """A payout with its columns."""

    payout_id: str
    created_us: int
    is_out: bool
    is_settled: bool

    @property
    def position(self) -> Position:
        """Its place in a listing."""
        return Position(self.created_us, self.number)

    def record(self) -> Payout:
        """The payout itself."""
        return from_json(Payout, self.document)


@dataclass(slots=True)
class MemoryPayouts:
    """All payouts."""

    rows: dict[_Id, PayoutRow] = field(default_factory=dict)
    _owners: dict[_Id, str] = field(default_factory=dict)

    def put(self, plan: PayoutPlan, document: str) -> None:
        """Upsert the payout, and say of its operation's id whose it is."""
        payout = plan.payout
        me = (payout.tenant, payout.payout_id)
        row = self.rows.get(me)
        if row is None:
            row = self.rows[me] = PayoutRow(
                number=len(self.rows) + 1,
                tenant=payout.tenant,
                version=0,
                document="",
                payout_id=payout.payout_id,
                created_us=to_micros(payout.created_at),
                is_out=False,
                is_settled=False,
            )
        row.changed(payout.version, document, plan.watch_at)
        row.is_out, row.is_settled = is_out(payout), is_settled(payout)
        self._owners[payout.tenant, payout.operation_id] = payout.payout_id

    def get(self, tenant: str, payout_id: str) -> Payout | None:
        """See PaymentStore.get_payout."""
        row = self.rows.get((tenant, payout_id))
        return None if row is None else row.record()

    def find(self, tenant: str, operation_id: str) -> Payout | None:
        """See PaymentStore.find_payout."""
        owner = self._owners.get((tenant, operation_id))
        return None if owner is None else self.get(tenant, owner)

    def version(self, tenant: str, payout_id: str) -> int:
        """The payout's version; 0 when there is none."""
        row = self.rows.get((tenant, payout_id))
        return 0 if row is None else row.version

    def operation(self, tenant: str, operation_id: str) -> Operation | None:
        """The operation of this id that is a payout's."""
        payout = self.find(tenant, operation_id)
        return None if payout is None else payout.operation
