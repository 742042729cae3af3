"""What SSLCommerz's documents ask of merchants (``manners.py``), and what of it no sandbox can see."""

from typing import Final

from vextrus_payments_sandbox.gateway_facts import Rule, Unseen

RULES: Final = (
    Rule(
        "unvalidated",
        "sslcommerz",
        "no validation or query within 10 minutes of a payment",
        "What a browser or an IPN says may be forged: the validation API is the only truth, and an IPN that got lost "
        "is no reason to lose a payment.",
        "Validate the val_id of each IPN and each return; query the tran_id of what was never heard of.",
        "sslcommerz §1.6, §1.7",
    ),
    Rule(
        "refund_unchecked",
        "sslcommerz",
        "no refund query within 10 minutes of a refund",
        "An accepted refund is not a made one: it can still be cancelled.",
        "Ask for the refund by its refund_ref_id until it is refunded or cancelled.",
        "sslcommerz §1.8",
    ),
    Rule(
        "refund_unnamed",
        "sslcommerz",
        "a refund without refund_trans_id",
        "It is mandatory since February 2025, and without one nothing tells a second refund from a repeated call.",
        "Send a refund_trans_id of your own with each refund, and the same one when you ask again.",
        "sslcommerz §1.8",
    ),
    Rule(
        "tran_id_reused",
        "sslcommerz",
        "tran_id used for an earlier session",
        "Its look-up then shows several transactions, and two of them may have been paid.",
        "Make a new tran_id for each session.",
        "sslcommerz §1.2, §1.7",
    ),
    Rule(
        "long_tran_id",
        "sslcommerz",
        "a tran_id of {length} characters: 30 are documented",
        "What becomes of longer ones no document says.",
        "Make a tran_id of at most 30 characters.",
        "sslcommerz §1.2",
    ),
    Rule(
        "missing_field",
        "sslcommerz",
        "no {field}, which the documents call mandatory",
        "The sandbox takes the session all the same; SSLCommerz may not.",
        "Send every mandatory field.",
        "sslcommerz §1.2",
    ),
    Rule(
        "long_field",
        "sslcommerz",
        "{field} is longer than the documented {limit} characters",
        "What becomes of longer ones no document says.",
        "Cut it yourself, where it may be cut.",
        "sslcommerz §1.2",
    ),
    Rule(
        "unknown_word",
        "sslcommerz",
        "{field} says {word}, which no document knows",
        "The sandbox passes over it; SSLCommerz may not.",
        "Use the documented words.",
        "sslcommerz §1.2",
    ),
    Rule(
        "signed_characters",
        "sslcommerz",
        "& or = in {field}",
        "The signature joins fields by these signs and escapes nothing: a text that holds them can be cut up again "
        "into other fields under the same signature.",
        "Keep & and = out of tran_id and value_a to value_d.",
        "sslcommerz §1.5",
    ),
    Rule(
        "no_ipn",
        "sslcommerz",
        "a session that names no ipn_url",
        "A browser may never come back: without an IPN nobody tells you that you were paid.",
        "Send ipn_url with each session, or set it in the merchant panel.",
        "sslcommerz §1.2, §1.4",
    ),
    Rule(
        "foreign_ipn",
        "sslcommerz",
        "an ipn_url that is not on this machine: the sandbox sends nothing there",
        "SSLCommerz would post to it; the sandbox posts to this machine alone.",
        "Name an address of this machine, such as http://127.0.0.1:8000/payments/sslcommerz/webhook.",
        "sslcommerz §1.11",
    ),
    Rule(
        "multipart",
        "sslcommerz",
        "a session sent as multipart/form-data",
        "It is documented as application/x-www-form-urlencoded, and multipart was seen to be refused.",
        "Send the fields as application/x-www-form-urlencoded.",
        "sslcommerz §1.2",
    ),
    Rule(
        "from_browser",
        "sslcommerz",
        "{operation} was called from a web page ({page})",
        "Whoever has the store's password can act as the merchant.",
        "Call SSLCommerz from your server alone.",
        "sslcommerz §1.1",
    ),
)
UNSEEN: Final = (
    Unseen(
        "sslcommerz",
        "whether tran_id, amount, currency and store of a validation are compared with the order",
        "Compare all of them before you ship, to the paisa.",
    ),
    Unseen(
        "sslcommerz",
        "whether goods of a payment with risk_level 1 are held",
        "Pay once with the button for a risky payment, or 4003.15 taka, and look at what your shop does.",
    ),
    Unseen(
        "sslcommerz",
        "whether the password stays out of logs",
        "Most calls carry it in their address: look for store_passwd in your logs.",
    ),
)
