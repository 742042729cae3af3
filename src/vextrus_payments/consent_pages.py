"""What an agreement's own operations are called, and the pages on which its payer may consent.

An answer that names a page can get lost, so that another page is asked for. Where we make an agreement hold, only the
last page counts. A subscription holds by its payer's last click, on whichever page: each was asked for under an id of
ours, made from the agreement's key and the claim's fence, and can be asked about by it until all are over.
"""

import re
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.records import Agreement, Operation

#: Evidence of the operation that asks: every page up to the fence in it was asked about once it was over.
PAGES_OVER: Final = "agreement.pages_over"
#: How many pages of one agreement are asked about, the youngest: a limit on everything. Of an older one that somebody
#: consents on all the same, the gateway's messages tell.
MAX_PAGES: Final = 20

_REQUEST_ID: Final = re.compile(r"([a-z]{1,10})-([0-9a-z]{26})-([0-9]{1,6})", re.ASCII)


def execute_id(agreement_key: str) -> str:
    """The id of an agreement's one execute operation."""
    return f"agreement/{agreement_key}/execute"


def cancel_id(agreement_key: str) -> str:
    """The id of the operation that ends it."""
    return f"agreement/{agreement_key}/cancel"


def found_id(agreement_key: str) -> str:
    """The id of the operation of one that was found beside another, in place of the one that asks."""
    return f"agreement/{agreement_key}/found"


def request_id_of(agreement_key: str, fence: int) -> str:
    """What a gateway that takes an id of ours knows one asking by: letters, digits and -, another one for each claim,
    since such a gateway never takes one twice."""
    return f"{agreement_key.replace('_', '-')}-{fence}"


def agreement_key_of(request_id: str) -> str | None:
    """Back from `request_id_of`: whose asking it was, though its answer never reached us. None: nobody's here."""
    found = _REQUEST_ID.fullmatch(request_id)
    return None if found is None else f"{found[1]}_{found[2]}"


def beside_key_of(request_id: str) -> str | None:
    """The key of the agreement that holds by this page beside the one it was asked for: the same from whoever finds it.
    None: the page is nobody's here."""
    found = _REQUEST_ID.fullmatch(request_id)
    return None if found is None else f"{found[1]}_{found[2]}-{int(found[3])}"


def asking(agreement: Agreement) -> Operation | None:
    """The operation that asks for the page; None where the agreement was found beside another."""
    key = agreement.agreement_key
    own = (execute_id(key), cancel_id(key), found_id(key))
    return next((o for o in agreement.operations if o.operation_id not in own), None)


def other_pages(agreement: Agreement, *, ahead: int = 0) -> tuple[str, ...]:
    """The ids of a subscription's pages other than the one it goes by, as long as they have to be asked about.

    Args:
        ahead: so many more, which a restored backup may have forgotten.
    """
    asked = asking(agreement)
    if asked is None or agreement.terms is None:
        return ()
    last = asked.fence + ahead
    numbers = range(max(pages_over(asked), last - MAX_PAGES) + 1, last + 1)
    pages = (request_id_of(agreement.agreement_key, number) for number in numbers)
    return tuple(page for page in pages if page != agreement.gateway_reference)


def every_page(agreement: Agreement) -> tuple[str, ...]:
    """The ids of all pages that were ever asked for, whether or not they are over; at most MAX_PAGES."""
    asked = asking(agreement)
    fence = 0 if asked is None or agreement.terms is None else asked.fence
    return tuple(
        request_id_of(agreement.agreement_key, number)
        for number in range(max(0, fence - MAX_PAGES) + 1, fence + 1)
    )


def last_page_over_at(agreement: Agreement, life: timedelta) -> datetime:
    """When the last page that was asked for is over, where one lives for so long."""
    asked = asking(agreement)
    if agreement.terms is None or asked is None or asked.send_by is None or not other_pages(agreement):
        return agreement.expires_at or agreement.created_at + life
    ends = asked.send_by + life
    return ends if agreement.expires_at is None else max(ends, agreement.expires_at)


def pages_over(asked: Operation) -> int:
    """Up to which claim of the operation that asks its pages need no further question."""
    found = (e.data.get("fence") for e in asked.evidence if e.step == PAGES_OVER)
    return max((fence for fence in found if isinstance(fence, int)), default=0)
