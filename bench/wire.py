"""What goes over the wire in every measurement: one fixed question, one fixed answer of 901 bytes."""

import json
from typing import Final

AMOUNT: Final = "1250.50"
INVOICE: Final = "INV-8812"
PAYER: Final = "01770618575"
CALLBACK: Final = "https://shop.example/payments/bkash/return"
API_ROOT: Final = "/v1.2.0-beta"
CREATE_PATH: Final = API_ROOT + "/tokenized/checkout/create"

BEARER: Final = "example-token-" + "x" * 886
"""A token of 900 bytes, as long as bKash's real ones."""
APP_KEY: Final = "example-app-key"

#: The 7 fields of a create (dossier §4.2): what bare clients post and what the SDK's own body comes to.
QUESTION: Final = {
    "mode": "0011",
    "payerReference": PAYER,
    "callbackURL": CALLBACK,
    "amount": AMOUNT,
    "currency": "BDT",
    "intent": "sale",
    "merchantInvoiceNumber": INVOICE,
}

ANSWER_BYTES: Final = 901


def _answer() -> bytes:
    reference = "TR0011exampleBench001"
    fields = {
        "statusCode": "0000",
        "statusMessage": "Successful",
        "paymentID": reference,
        "bkashURL": f"https://pay.example/?paymentId={reference}&mode=0011&apiVersion=v1.2.0-beta&hash=",
        "callbackURL": CALLBACK,
        "successCallbackURL": f"{CALLBACK}?paymentID={reference}&status=success",
        "failureCallbackURL": f"{CALLBACK}?paymentID={reference}&status=failure",
        "cancelledCallbackURL": f"{CALLBACK}?paymentID={reference}&status=cancel",
        "amount": AMOUNT,
        "intent": "sale",
        "currency": "BDT",
        "paymentCreateTime": "2026-01-15T12:00:00:000 GMT+0600",
        "transactionStatus": "Initiated",
        "merchantInvoiceNumber": INVOICE,
    }
    short = json.dumps(fields, separators=(",", ":"))
    fields["bkashURL"] += "h" * (ANSWER_BYTES - len(short))  # a real page's address carries a long hash
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


ANSWER: Final = _answer()

TOKEN_ANSWER: Final = json.dumps(
    {
        "statusCode": "0000",
        "statusMessage": "Successful",
        "id_token": BEARER,
        "token_type": "Bearer",
        "expires_in": 3600,
        "refresh_token": "example-refresh-" + "y" * 884,
    }
).encode("ascii")
