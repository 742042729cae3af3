"""A shop on FastAPI: one product, one button, and payments that stay right.

Run it with ``uvicorn shop:app``; the README of this folder's parent says what has to be set. Everything of payments is
in the lines from ``payments = Payments(...)`` on: the doors are one mount, opening and closing is the lifespan's.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from html import escape
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from vextrus_payments import (
    AlreadyPaidError,
    Authorized,
    Declined,
    EventKind,
    LedgerEntry,
    Money,
    Paid,
    PaymentEvent,
    PaymentRequest,
    Payments,
    PaymentsError,
)

SHOP_URL = os.environ.get("SHOP_URL", "http://127.0.0.1:8000")
PRICE = Money("1250.50", "BDT")


class Books:
    """The shop's own database: its orders, and the journal that payments are booked to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._run(
            "CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY, paid INTEGER NOT NULL DEFAULT 0)"
        )
        self._run("CREATE TABLE IF NOT EXISTS journal (entry_id TEXT PRIMARY KEY, postings TEXT NOT NULL)")

    def new_order(self) -> str:
        ((number,),) = self._run("INSERT INTO orders DEFAULT VALUES RETURNING number")
        return f"INV-{number}"

    def has(self, invoice: str) -> bool:
        return bool(self._run("SELECT 1 FROM orders WHERE 'INV-' || number = ?", invoice))

    def mark_paid(self, invoice: str) -> None:
        self._run("UPDATE orders SET paid = 1 WHERE 'INV-' || number = ?", invoice)

    def post(self, entry: LedgerEntry) -> None:
        lines = "; ".join(f"{p.side} {p.account} {p.amount}" for p in entry.postings)
        self._run(
            "INSERT INTO journal VALUES (?, ?) ON CONFLICT DO NOTHING", entry.id, lines
        )  # it may come twice

    def _run(self, statement: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self._path, timeout=10)) as db, db:
            return db.execute(statement, values).fetchall()


books = Books(os.environ.get("SHOP_DATABASE", "shop.db"))


async def post_to_ledger(entry: LedgerEntry) -> None:  # at least once; idempotent on entry.id
    await asyncio.to_thread(books.post, entry)


async def announce(
    event: PaymentEvent,
) -> None:  # whoever settled it: the browser's return, a webhook, the reconciler
    if event.kind is EventKind.PAID and event.merchant_reference is not None:
        await asyncio.to_thread(books.mark_paid, event.merchant_reference)


payments = Payments(
    store=os.environ.get("PAYMENTS_STORE", "sqlite:///payments.db"),
    ledger=post_to_ledger,
    on_event=announce,
    public_url=f"{SHOP_URL}/payments",
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with payments:  # opens the store and starts the workers; leaving lets what was begun be recorded
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/payments", payments.asgi())  # webhooks, the payer's return, health


def get_payments() -> Payments:
    """A dependency, so that tests can put another one in its place."""
    return payments


Pay = Annotated[Payments, Depends(get_payments)]


@app.exception_handler(PaymentsError)
async def no_payment(request: Request, error: PaymentsError) -> HTMLResponse:
    """What a verb raises, no money has moved by: it says so itself."""
    return page("Something is in the way", escape(error.what), status=503)


@app.get("/")
async def front() -> HTMLResponse:
    return page(
        "One fine product", f'{PRICE}. <form method="post" action="/orders"><button>Order</button></form>'
    )


@app.post("/orders")
async def order() -> RedirectResponse:
    invoice = await asyncio.to_thread(books.new_order)
    return RedirectResponse(f"/orders/{invoice}", status_code=303)


@app.post("/orders/{invoice}/pay")
async def pay(invoice: str, attempt: int, payments: Pay) -> RedirectResponse:
    await must_exist(invoice)
    try:
        session = await payments.initialize(
            PaymentRequest(
                operation_id=f"{invoice}/pay-{attempt}",  # a second click is the same attempt: the same session
                gateway="bkash",
                amount=PRICE,
                merchant_reference=invoice,  # the shop's own price and invoice, never the browser's
                return_url=f"{SHOP_URL}/orders/{invoice}",
            )
        )
    except AlreadyPaidError:  # in another tab, or it may have been: its page tells
        return RedirectResponse(f"/orders/{invoice}", status_code=303)
    return RedirectResponse(session.checkout_url or f"/orders/{invoice}", status_code=303)


@app.get("/orders/{invoice}")
async def show(invoice: str, payments: Pay) -> HTMLResponse:
    """Where the payer ends up. The address proves nothing, so nothing in it is believed: the payment is looked up."""
    await must_exist(invoice)
    found = await payments.find(merchant_reference=invoice)
    again = f'<form method="post" action="/orders/{invoice}/pay?attempt={len(found) + 1}"><button>Pay</button></form>'
    if not found:
        return page("Your order", f"{PRICE} to pay. {again}")
    match await payments.status(found[-1].payment.payment_id):
        case Paid(transaction_id=transaction_id):
            return page("Paid", f"Thank you. bKash transaction {escape(transaction_id)}.")
        case Authorized():
            return page("Approved", "Thank you. We take the money when we ship.")
        case Declined(reason=reason):
            return page("Not paid", f"{escape(reason.text('en'))} {again}")
        case _:  # nobody can tell yet: nothing is asked of the payer but patience
            return page(
                "We are looking into it", f"If you have not finished paying, you can begin again. {again}"
            )


async def must_exist(invoice: str) -> None:
    if not await asyncio.to_thread(books.has, invoice):
        raise HTTPException(404)


def page(title: str, text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{text}</p>", status_code=status
    )
