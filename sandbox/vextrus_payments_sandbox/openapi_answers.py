"""The shapes of what the admin API answers, as JSON Schema."""

from collections.abc import Mapping
from typing import Final

from vextrus_payments_sandbox.fault_kinds import PAGE, WEBHOOK
from vextrus_payments_sandbox.faults import ALWAYS
from vextrus_payments_sandbox.openapi_shapes import (
    AMOUNT,
    COUNT,
    CURRENCY,
    MOMENT,
    TEXT,
    TEXTS,
    YES_OR_NO,
    Json,
    list_of,
    obj,
    or_null,
)
from vextrus_payments_sandbox.record import KINDS as ENTRY_KINDS

_PLAN: Final = obj(
    {
        "id": {"type": "integer", "minimum": 1},
        "gateway": TEXT,
        "operation": TEXT,
        "fault": TEXT,
        "times": {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "const": ALWAYS}]},
        "chance": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "seed": or_null(COUNT),
        "met": COUNT,
        "struck": COUNT,
    }
)
_CALL: Final = obj(
    {
        "seq": {"type": "integer", "minimum": 1},
        "at": MOMENT,
        "gateway": TEXT,
        "operation": TEXT,
        "method": TEXT,
        "path": TEXT,
        "status": or_null({"type": "integer"}),
        "reference": or_null(TEXT),
        "moved_money": YES_OR_NO,
        "fault": or_null(TEXT),
    },
    description="status is null while the call is open, and where nothing was answered",
)
_BOOKED: Final = obj(
    {
        "gateway": TEXT,
        "reference": TEXT,
        "transaction_id": or_null(TEXT),
        "invoice": TEXT,
        "state": TEXT,
        "amount": AMOUNT,
        "captured": AMOUNT,
        "refunded": AMOUNT,
        "currency": CURRENCY,
    }
)
_LISTED: Final = obj({**_BOOKED["properties"], "created_at": MOMENT})
_IN_BOOKS: Final = obj({**_BOOKED["properties"], "fee": AMOUNT, "alias": or_null(TEXT)})
_PAID_OUT: Final = obj(
    {
        "gateway": TEXT,
        "transaction_id": TEXT,
        "invoice": TEXT,
        "amount": AMOUNT,
        "fee": AMOUNT,
        "currency": CURRENCY,
    }
)
_MOVEMENT: Final = obj(
    {
        "seq": {"type": "integer", "minimum": 1},
        "at": MOMENT,
        "kind": TEXT,
        "source": TEXT,
        "target": TEXT,
        "amount": AMOUNT,
        "transaction_id": TEXT,
    }
)
_ENTRY: Final = obj(
    {
        "seq": {"type": "integer", "minimum": 1},
        "at": MOMENT,
        "kind": {"type": "string", "enum": list(ENTRY_KINDS)},
        "gateway": TEXT,
        "reference": TEXT,
        "title": TEXT,
        "detail": {"type": "object"},
    },
    description="something that happened; detail depends on its kind, and holds no secret",
)
_WALLET: Final = obj(
    {
        "wallet": TEXT,
        "balance": AMOUNT,
        "opening": AMOUNT,
        "currency": CURRENCY,
        "blocked": YES_OR_NO,
        "note": TEXT,
    }
)
_GRANT: Final = obj(
    {
        "at": MOMENT,
        "gateway": TEXT,
        "kind": {"type": "string", "enum": ["grant", "refresh"]},
        "username": TEXT,
        "over_budget": YES_OR_NO,
        "refused": YES_OR_NO,
    }
)
_TRY: Final = obj(
    {
        "seq": {"type": "integer", "minimum": 1},
        "at": MOMENT,
        "type": TEXT,
        "message_id": TEXT,
        "topic_arn": TEXT,
        "reference": or_null(TEXT),
        "transaction_id": or_null(TEXT),
        "fault": or_null(TEXT),
        "number": COUNT,
        "status": or_null({"type": "integer"}),
        "error": or_null(TEXT),
    }
)
_KIND: Final = obj(
    {
        "number": {"type": "integer", "minimum": 1, "maximum": 99},
        "name": TEXT,
        "phase": {"type": "string", "enum": ["before", "after", WEBHOOK, PAGE]},
        "about": TEXT,
        "seconds": {"type": "number"},
        "skews": YES_OR_NO,
        "strikes": {"type": "object", "additionalProperties": list_of(TEXT)},
    }
)
_MANNER: Final[Mapping[str, Json]] = dict.fromkeys(
    ("gateway", "code", "rule", "reference", "why", "todo"), TEXT
)
_MAGIC: Final = obj(
    {
        "amount": TEXT,
        "wallet": TEXT,
        "stages": list_of(
            obj(
                {
                    "stage": {"type": "integer"},
                    "about": TEXT,
                    "operations": {"type": "object", "additionalProperties": list_of(TEXT)},
                }
            )
        ),
        "outcomes": list_of(obj({"amount": AMOUNT, "wallet": TEXT, "name": TEXT, "about": TEXTS})),
    }
)

ANSWERS: Final[Mapping[str, Json]] = {
    "Refusal": obj({"error": TEXT}, description="what was wrong, and that nothing was done"),
    "Merchants": obj(
        {
            "merchants": list_of(
                obj(
                    {
                        "gateway": TEXT,
                        "name": TEXT,
                        "account": TEXT,
                        "balance": AMOUNT,
                        "more": {
                            "type": "object",
                            "additionalProperties": AMOUNT,
                            "description": "balances of its other accounts, by what they are called",
                        },
                        "currency": CURRENCY,
                        "client": TEXTS,
                    }
                )
            )
        }
    ),
    "Seeded": obj(
        {
            "merchants": COUNT,
            "wallets": COUNT,
            "faults": COUNT,
            "payments": list_of(
                obj(
                    {
                        "gateway": TEXT,
                        "reference": TEXT,
                        "transaction_id": or_null(TEXT),
                        "invoice": TEXT,
                        "state": TEXT,
                        "page": or_null(TEXT),
                    }
                )
            ),
        },
        description="page is where the payer pays; null where there is nothing left to do",
    ),
    "Health": obj({"status": {"type": "string", "const": "ok"}, "now": MOMENT, "gateways": list_of(TEXT)}),
    "Gateways": obj({"gateways": {"type": "object", "additionalProperties": TEXTS}}),
    "Wire": obj({"calls": list_of(_CALL)}),
    "Books": obj(
        {
            "payments": list_of(_IN_BOOKS),
            "payouts": list_of(_PAID_OUT),
            "wallets": list_of(obj({"wallet": TEXT, "balance": AMOUNT, "currency": CURRENCY})),
            "problems": list_of(TEXT),
        }
    ),
    "Grants": obj(
        {
            "grants": list_of(_GRANT),
            "manners": list_of(obj({"at": MOMENT, **_MANNER})),
            "owed": list_of(obj({"since": MOMENT, "due_at": MOMENT, **_MANNER})),
        }
    ),
    "Payments": obj(
        {
            "payments": list_of(obj({"number": {"type": "integer", "minimum": 1}, **_LISTED["properties"]})),
            "before": or_null(COUNT),
            "total": COUNT,
            "captured": AMOUNT,
            "refunded": AMOUNT,
            "currency": CURRENCY,
        },
        description="total, captured and refunded are of all payments, whatever is listed",
    ),
    "Payment": obj(
        {
            "payment": {"oneOf": [_LISTED, {"type": "null"}]},
            "money": obj(
                {
                    "captured": AMOUNT,
                    "refunded": AMOUNT,
                    "held": AMOUNT,
                    "currency": CURRENCY,
                    "movements": list_of(_MOVEMENT),
                }
            ),
            "timeline": list_of(_ENTRY),
            "whole": YES_OR_NO,
        },
        description="whole: nothing of it has been forgotten",
    ),
    "Record": obj(
        {
            "entries": list_of(_ENTRY),
            "before": or_null(COUNT),
            "told": COUNT,
            "kept": COUNT,
            "forgotten": COUNT,
        }
    ),
    "Stream": {"type": "string"},
    "Wallets": obj({"wallets": list_of(_WALLET)}),
    "Wallet": _WALLET,
    "Faults": obj({"faults": list_of(_PLAN)}),
    "FaultKinds": obj({"kinds": list_of(_KIND), "magic": _MAGIC}),
    "OpenApi": {"type": "object", "required": ["openapi", "info", "paths"]},
    "Clock": obj({"now": MOMENT, "ahead_s": {"type": "number", "minimum": 0}}),
    "Approved": obj(
        {"reference": TEXT, "state": TEXT, "redirect": or_null(TEXT)},
        {"verified": YES_OR_NO, "form": {"type": "object", "additionalProperties": TEXT}},
        description="redirect is where the payer's browser goes, to post `form` there if it is given; null: it stays",
    ),
    "Done": {"type": "object", "description": "what came of it; transaction ids, amounts, the new state"},
    "Webhooks": obj(
        {
            "gateway": TEXT,
            "url": or_null(TEXT),
            "confirmed": YES_OR_NO,
            "subscription_arn": or_null(TEXT),
            "signature_version": or_null(TEXT),
            "topic_arn": or_null(TEXT),
            "cert_url": or_null(TEXT),
            "held": COUNT,
            "deliveries": list_of(_TRY),
        }
    ),
}
