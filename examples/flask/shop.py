"""A shop on Flask: one product, one button, and payments that stay right.

Run it with ``flask --app shop run`` or ``gunicorn shop:app``; the README of this folder's parent says what has to be
set. The facade opens itself in each process, at its first use.
"""

import os
import sqlite3
from contextlib import closing
from html import escape
from typing import Any

from flask import Flask, abort, redirect, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

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
    PaymentsError,
)
from vextrus_payments.sync import Payments

SHOP_URL = os.environ.get("SHOP_URL", "http://127.0.0.1:5000")
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


def announce(
    event: PaymentEvent,
) -> None:  # whoever settled it: the browser's return, a webhook, the reconciler
    if event.kind is EventKind.PAID and event.merchant_reference is not None:
        books.mark_paid(event.merchant_reference)


payments = Payments(
    store=os.environ.get("PAYMENTS_STORE", "sqlite:///payments.db"),
    ledger=books.post,  # at least once; idempotent on entry.id
    on_event=announce,
    public_url=f"{SHOP_URL}/payments",
)

app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/payments": payments.wsgi()})  # type: ignore[method-assign]


@app.errorhandler(PaymentsError)
def no_payment(error: PaymentsError) -> tuple[str, int]:
    """What a verb raises, no money has moved by: it says so itself."""
    return page("Something is in the way", escape(error.what)), 503


@app.get("/")
def front() -> str:
    return page(
        "One fine product", f'{PRICE}. <form method="post" action="/orders"><button>Order</button></form>'
    )


@app.post("/orders")
def order() -> Any:
    return redirect(f"/orders/{books.new_order()}", code=303)


@app.post("/orders/<invoice>/pay")
def pay(invoice: str) -> Any:
    if not books.has(invoice):
        abort(404)
    attempt = request.args.get("attempt", 1, type=int)
    try:
        session = payments.initialize(
            PaymentRequest(
                operation_id=f"{invoice}/pay-{attempt}",  # a second click is the same attempt: the same session
                gateway="bkash",
                amount=PRICE,
                merchant_reference=invoice,  # the shop's own price and invoice, never the browser's
                return_url=f"{SHOP_URL}/orders/{invoice}",
            )
        )
    except AlreadyPaidError:  # in another tab, or it may have been: its page tells
        return redirect(f"/orders/{invoice}", code=303)
    return redirect(session.checkout_url or f"/orders/{invoice}", code=303)


@app.get("/orders/<invoice>")
def show(invoice: str) -> str:
    """Where the payer ends up. The address proves nothing, so nothing in it is believed: the payment is looked up."""
    if not books.has(invoice):
        abort(404)
    found = payments.find(merchant_reference=invoice)
    again = f'<form method="post" action="/orders/{invoice}/pay?attempt={len(found) + 1}"><button>Pay</button></form>'
    if not found:
        return page("Your order", f"{PRICE} to pay. {again}")
    match payments.status(found[-1].payment.payment_id):
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


def page(title: str, text: str) -> str:
    return f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{text}</p>"
