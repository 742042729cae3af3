"""What the sandbox's shared parts have to know of bKash."""

from typing import Final

from vextrus_payments_sandbox.bkash.objections import RULES, UNSEEN
from vextrus_payments_sandbox.gateway_facts import WEBHOOK, GatewayFacts, Kind

FACTS: Final = GatewayFacts(
    name="bkash",
    title="bKash",
    variables={"base_url": "API_URL", "v2_base_url": "", "recurring_base_url": ""},
    more_variables={
        "PAYOUT_API_URL": "{base_url}/checkout",
        "PAYOUT_APP_KEY": "{app_key}",
        "PAYOUT_APP_SECRET": "{app_secret}",
        "PAYOUT_USERNAME": "{username}",
        "PAYOUT_PASSWORD": "{password}",
    },
    calls="/tokenized/checkout",
    states={
        "Initiated": "wait",
        "Authorized": "held",
        "Completed": "good",
        "Cancelled": "off",
        "Failed": "bad",
        "Declined": "bad",
        "Expired": "off",
    },
    topic="arn:aws:sns:ap-southeast-1:000000000000:bpt_sandbox",
    stages={
        4001: ("create",),
        4002: ("execute",),
        4004: ("query",),
        4005: ("refund",),
        4006: ("refund_status",),
        4007: ("capture", "void"),
        4008: (WEBHOOK,),
        4009: ("payout",),
    },
    look_ups=("query", "refund_status", "search", "balance", "payout_query"),
    moves=("execute", "capture", "void", "refund", "payout", "transfer"),
    faults=frozenset(
        {
            "expired_token",
            "grant_budget",
            "webhook_never",
            "webhook_delayed",
            "webhook_early",
            "webhook_out_of_order",
            "webhook_duplicate",
            "webhook_repeated",
            "webhook_other_amount",
            "webhook_bad_signature",
            "webhook_forged",
            "webhook_foreign_topic",
            "webhook_foreign_cert_host",
            "webhook_clock_skew",
        }
    ),
    kinds=(
        Kind(
            35,
            "unconfirmed",
            "before",
            "create of the legacy checkout leaves it to the payer to confirm: approve him, or let him leave",
            operations=("create",),
        ),
    ),
    outcomes={
        "late_success": "execute answers 504 and a query says Initiated; seconds later it is paid",
        "insufficient_balance": "execute refuses with 2023",
        "account_blocked": "execute refuses with 2037",
        "duplicate": "execute refuses with 2029, as for a payment made twice",
        "system_error": "execute refuses with 9999; the money is not taken",
    },
    takes_walk_ins=True,
    rules=RULES,
    unseen=UNSEEN,
    seeds=frozenset({"open", "approved", "paid", "authorized", "voided", "cancelled", "failed"}),
)
