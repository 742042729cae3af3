"""A subscription's pages other than the one it goes by: whoever consents on one of them is found.

Theory of operation. An answer that names a page may get lost; another page is asked for, under another id, and the
gateway has two on which the payer's click makes a subscription hold. No page can be taken away, so all of them are
asked about until they are over: whenever somebody asks for the agreement, and once more when the last page's life has
ended. The first consent that is found is the agreement's own, on whichever page. Another one is written beside it, as
an agreement that is listed, announced (agreement.duplicate), read and ended like any other; ending the first ends what
stands beside it, too.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from vextrus_payments.consent_pages import (
    agreement_key_of,
    asking,
    beside_key_of,
    every_page,
    last_page_over_at,
    other_pages,
)
from vextrus_payments.engine.agreement_desk import AgreementDesk, payer_completes
from vextrus_payments.engine.context import Context
from vextrus_payments.errors import DeclinedError, GatewayError
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.plans import Committed
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.records import Agreement
from vextrus_payments.snapshots import AgreementSnapshot, AgreementState
from vextrus_payments.subscribing import plan_consent_beside, plan_consent_elsewhere, plan_pages_over

#: So many pages that a restored backup may have forgotten are looked for.
FORGOTTEN_PAGES: Final = 5


#: Reads what was collected under a subscription, writes what the records lack; False: no answer came.
ReadsCollections = Callable[[Agreement], Awaitable[bool]]


class Pages:
    """Finds consents on pages whose addresses never reached us."""

    def __init__(self, context: Context, desk: AgreementDesk, read: ReadsCollections | None = None) -> None:
        """`read`: writes what was collected under a page that held and is over, and says whether an answer came."""
        self._context = context
        self._desk = desk
        self._read = read

    async def look(
        self, agreement: Agreement, gateway: PaymentGateway, *, restored: bool = False
    ) -> tuple[Agreement, bool]:
        """Ask about every page that still has to be asked about; the agreement as it is then, and whether all answered.

        Args:
            restored: the records come from a backup: pages may have been asked for that they do not know.
        """
        pages = other_pages(agreement, ahead=FORGOTTEN_PAGES if restored else 0)
        if not pages:
            return agreement, True
        context, asked = self._context, asking(agreement)
        assert asked is not None, "where there are pages, they were asked for"
        asked_at, went_by = context.store.now(), agreement.gateway_reference
        for page in pages:
            try:
                shown = await gateway.look_up_agreement(page)
            except GatewayError as error:
                if _says_there_is_none(error):
                    continue
                context.unanswered(error, gateway=agreement.gateway)
                return agreement, False
            if shown.state is AgreementState.UNRECOGNIZED:
                return agreement, False
            agreement = await self.seen(agreement, shown)
            if shown.state is AgreementState.CANCELLED and shown.agreement_id and self._read is not None:
                # He may have consented there before he took it back: what was collected until then is read.
                held = replace(agreement, gateway_reference=page, agreement_id=shown.agreement_id)
                if not await self._read(held):
                    return agreement, False
        if agreement.gateway_reference != went_by:
            # It goes by another page from now on. The one that it went by may hold as well, or have collected: it is
            # asked about at once, so that whoever ends the agreement ends what holds by it, too.
            if went_by is None:
                return agreement, True
            return await self.look(agreement, gateway, restored=restored)
        ends = last_page_over_at(agreement, gateway.capabilities.session_life)
        if asked_at >= ends + timedelta(seconds=gateway.capabilities.polling.end_margin_s):
            agreement = await self._desk.record(
                agreement, lambda now: plan_pages_over(now, asked.fence, context.store.now())
            )
        return agreement, True

    async def seen(self, agreement: Agreement, shown: AgreementSnapshot) -> Agreement:
        """Write down what one of its other pages shows. The agreement itself, as it is then."""
        context, page = self._context, shown.gateway_reference
        if page is None or agreement_key_of(page) != agreement.agreement_key:
            return agreement
        agreement = await self._desk.record(
            agreement, lambda now: plan_consent_elsewhere(now, shown, context.store.now())
        )
        plan = plan_consent_beside(agreement, shown, context.store.now())
        if plan is None:
            return agreement
        known = await context.store.get_agreement(agreement.tenant, plan.agreement.agreement_key)
        # Stale: somebody else has found it at the same moment, and wrote the same.
        if known is None and isinstance(await context.store.commit_agreement(plan), Committed):
            context.recorder.on_commit()
        return agreement

    async def beside(self, agreement: Agreement) -> list[Agreement]:
        """The agreements that hold, or held, by other pages of this one."""
        if not payer_completes(agreement) or agreement.beside is not None:
            return []
        found = []
        for page in every_page(agreement):
            key = beside_key_of(page)
            one = None if key is None else await self._context.store.get_agreement(agreement.tenant, key)
            if one is not None:
                found.append(one)
        return found


def _says_there_is_none(error: GatewayError) -> bool:
    """The gateway does not know such a page: it was never made, as when nothing was sent for its claim."""
    return isinstance(error, DeclinedError) and error.reason.code is ReasonCode.INVALID_AGREEMENT
