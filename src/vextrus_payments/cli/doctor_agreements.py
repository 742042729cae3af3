"""What `doctor` looks at among agreements: payers who are charged twice by one subscription."""

from typing import TYPE_CHECKING, Final

from vextrus_payments.cli.findings import Finding, ok, warn
from vextrus_payments.printable import one_line
from vextrus_payments.records import Agreement, AgreementLife
from vextrus_payments.store import PaymentStore

if TYPE_CHECKING:
    from vextrus_payments.app import Payments

_PAGE: Final = 500
#: So many pages are read: a doctor is not to keep a store busy for minutes.
_PAGES: Final = 40
_CHECK: Final = "agreements"


async def agreement_findings(store: PaymentStore, payments: "Payments | None") -> list[Finding]:
    """Subscriptions that hold beside another one of the same payer's consent, which holds too."""
    twice: list[Agreement] = []
    read, cursor = 0, None
    for _ in range(_PAGES):
        page = await store.list_agreements(None, cursor=cursor, limit=_PAGE)
        read += len(page.rows)
        twice += [one for one in page.rows if one.beside and await _both_hold(store, one)]
        cursor = page.cursor
        if cursor is None:
            break
    seen = "" if cursor is None else f" Only the oldest {read} agreements were looked at."
    if not twice:
        return [ok(_CHECK, f"Nobody is charged twice by one subscription.{seen}")]
    first = twice[0]
    return [
        warn(
            _CHECK,
            f"{len(twice)} payers consented to one subscription on two of its pages, and both collect: "
            f"{one_line(first.agreement_key)} beside {one_line(first.beside or '')}.{seen}",
            f"Ask which one is wanted, then end the other: vextrus-pay agreement cancel {first.agreement_key}",
        )
    ]


async def _both_hold(store: PaymentStore, one: Agreement) -> bool:
    if one.state is not AgreementLife.ACTIVE or one.beside is None:
        return False
    first = await store.get_agreement(one.tenant, one.beside)
    return first is not None and first.state is AgreementLife.ACTIVE
