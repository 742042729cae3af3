"""The shop's pages."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_POST

from shop.models import Order
from shop.payments import payments
from vextrus_payments import (
    AlreadyPaidError,
    Authorized,
    Declined,
    Money,
    Paid,
    PaymentRequest,
    PaymentsError,
)

PRICE = Money("1250.50", "BDT")


@require_GET
def front(request: HttpRequest) -> HttpResponse:
    return page("One fine product", f"{PRICE}.", button(request, "/orders", "Order"))


@require_POST
def order(request: HttpRequest) -> HttpResponse:
    return redirect(f"/orders/{Order.objects.create().pk}")


@require_POST
def pay(request: HttpRequest, number: int, attempt: int) -> HttpResponse:
    invoice = get_object_or_404(Order, pk=number).invoice
    try:
        session = payments.initialize(
            PaymentRequest(
                operation_id=f"{invoice}/pay-{attempt}",  # a second click is the same attempt: the same session
                gateway="bkash",
                amount=PRICE,
                merchant_reference=invoice,  # the shop's own price and invoice, never the browser's
                return_url=f"{settings.SHOP_URL}/orders/{number}",
            )
        )
    except AlreadyPaidError:  # in another tab, or it may have been: its page tells
        return redirect(f"/orders/{number}")
    except PaymentsError as error:  # what a verb raises, no money has moved by: it says so itself
        return page("Something is in the way", error.what, status=503)
    return redirect(session.checkout_url or f"/orders/{number}")


@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    """Where the payer ends up. The address proves nothing, so nothing in it is believed: the payment is looked up."""
    invoice = get_object_or_404(Order, pk=number).invoice
    found = payments.find(merchant_reference=invoice)
    again = button(request, f"/orders/{number}/pay/{len(found) + 1}", "Pay")
    if not found:
        return page("Your order", f"{PRICE} to pay.", again)
    match payments.status(found[-1].payment.payment_id):
        case Paid(transaction_id=transaction_id):
            return page("Paid", f"Thank you. bKash transaction {transaction_id}.")
        case Authorized():
            return page("Approved", "Thank you. We take the money when we ship.")
        case Declined(reason=reason):
            return page("Not paid", reason.text("en"), again)
        case _:  # nobody can tell yet: nothing is asked of the payer but patience
            return page(
                "We are looking into it", "If you have not finished paying, you can begin again.", again
            )


def button(request: HttpRequest, action: str, name: str) -> str:
    form = (
        '<form method="post" action="{}"><input type="hidden" name="csrfmiddlewaretoken" value="{}">{}</form>'
    )
    return format_html(form, action, get_token(request), format_html("<button>{}</button>", name))


def page(title: str, text: str, more: str = "", status: int = 200) -> HttpResponse:
    html = "<!doctype html><title>{}</title><h1>{}</h1><p>{}</p>{}"
    return HttpResponse(format_html(html, title, title, text, more), status=status)
