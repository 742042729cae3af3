"""The shop's payments: one object for the whole project, opened by itself in each process that uses it."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from django.conf import settings
from django.db import close_old_connections

from vextrus_payments import EventKind, LedgerEntry, PaymentEvent
from vextrus_payments.sync import Payments

P = ParamSpec("P")


def outside_of_requests(function: Callable[P, None]) -> Callable[P, None]:
    """Callbacks run in threads of their own, where nobody else looks after Django's connections."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        close_old_connections()
        try:
            function(*args, **kwargs)
        finally:
            close_old_connections()

    return wrapped


@outside_of_requests
def post_to_ledger(entry: LedgerEntry) -> None:  # at least once; idempotent on entry.id
    from shop.models import JournalLine

    JournalLine.objects.bulk_create(
        [
            JournalLine(entry_id=entry.id, account=p.account, side=p.side, amount=p.amount.amount)
            for p in entry.postings
        ],
        ignore_conflicts=True,
    )


@outside_of_requests
def announce(
    event: PaymentEvent,
) -> None:  # whoever settled it: the browser's return, a webhook, the reconciler
    from shop.models import Order

    if event.kind is EventKind.PAID and event.merchant_reference is not None:
        Order.objects.filter(pk=event.merchant_reference.removeprefix("INV-")).update(paid=True)


payments = Payments(
    store=settings.PAYMENTS_STORE,
    ledger=post_to_ledger,
    on_event=announce,
    public_url=f"{settings.SHOP_URL}/payments",
    workers=False,  # the web processes only answer; the Celery worker does the rest (tasks.py)
)
