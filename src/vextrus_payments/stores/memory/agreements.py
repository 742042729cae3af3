"""The memory store's agreements, and whose an operation id is that is no payment's."""

from dataclasses import dataclass, field

from vextrus_payments.documents import from_json
from vextrus_payments.plans import AgreementPlan
from vextrus_payments.records import Agreement, Operation
from vextrus_payments.stores.columns import FIND_LIMIT, FindKey, Position, is_open, to_micros
from vextrus_payments.stores.memory.watches import Watched

_Id = tuple[str, str]
"""(tenant, id)"""


@dataclass(slots=True, kw_only=True)
class AgreementRow(Watched):
    """An agreement with its columns."""

    agreement_key: str
    created_us: int
    is_open: bool

    @property
    def position(self) -> Position:
        """Its place in a listing."""
        return Position(self.created_us, self.number)

    def record(self) -> Agreement:
        """The agreement itself."""
        return from_json(Agreement, self.document)


@dataclass(slots=True)
class MemoryAgreements:
    """All agreements."""

    rows: dict[_Id, AgreementRow] = field(default_factory=dict)
    _owners: dict[_Id, str] = field(default_factory=dict)

    def put(self, plan: AgreementPlan, document: str) -> None:
        """Upsert the agreement, and say of its operations' ids whose they are."""
        agreement = plan.agreement
        me = (agreement.tenant, agreement.agreement_key)
        row = self.rows.get(me)
        if row is None:
            row = self.rows[me] = AgreementRow(
                number=len(self.rows) + 1,
                tenant=agreement.tenant,
                version=0,
                document="",
                agreement_key=agreement.agreement_key,
                created_us=to_micros(agreement.created_at),
                is_open=False,
            )
        row.changed(agreement.version, document, plan.watch_at)
        row.is_open = is_open(agreement)
        for operation in agreement.operations:
            self._owners.setdefault((agreement.tenant, operation.operation_id), agreement.agreement_key)

    def get(self, tenant: str, agreement_key: str) -> Agreement | None:
        """See PaymentStore.get_agreement."""
        row = self.rows.get((tenant, agreement_key))
        return None if row is None else row.record()

    def version(self, tenant: str, agreement_key: str) -> int:
        """The agreement's version; 0 when there is none."""
        row = self.rows.get((tenant, agreement_key))
        return 0 if row is None else row.version

    def operation(self, tenant: str, operation_id: str) -> Operation | None:
        """The operation of this id that stands among an agreement's."""
        owner = self._owners.get((tenant, operation_id))
        agreement = None if owner is None else self.get(tenant, owner)
        return None if agreement is None else agreement.operation(operation_id)

    def find(self, tenant: str, key: FindKey) -> tuple[Agreement, ...]:
        """See PaymentStore.find_agreements."""
        mine = (row for (of_tenant, _), row in self.rows.items() if of_tenant == tenant)
        found = []
        for row in sorted(mine, key=lambda each: each.position):
            agreement = row.record()
            if key.name == "operation_id":
                fits = self._owners.get((tenant, key.value)) == row.agreement_key
            elif key.name == "gateway_reference":
                fits = agreement.gateway_reference == key.value
            else:
                fits = agreement.agreement_id == key.value
            if fits:
                found.append(agreement)
        return tuple(found[:FIND_LIMIT])
