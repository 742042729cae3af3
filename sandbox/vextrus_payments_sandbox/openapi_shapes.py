"""The shapes of the admin API, as JSON Schema: what each route takes, and what it answers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vextrus_payments_sandbox.fault_kinds import KINDS, PAGE, WEBHOOK, Kind, operations_struck
from vextrus_payments_sandbox.faults import ALWAYS, PLANS_MAX, SEED_MAX, TIMES_MAX
from vextrus_payments_sandbox.gateways import DEFAULT, FACTS, PLAYED
from vextrus_payments_sandbox.record import KINDS as ENTRY_KINDS
from vextrus_payments_sandbox.seeding import scenario
from vextrus_payments_sandbox.world import ADVANCE_MAX_S, CUSTOMER, WALLETS

Json = dict[str, Any]

AMOUNT_PATTERN: Final = r"^(0|[1-9][0-9]{0,9})\.[0-9]{2}$"
_ADDRESS: Final = r"^https?://(127\.0\.0\.1|localhost|\[::1\])(:[1-9][0-9]{0,3})?(/[A-Za-z0-9_\-.~/]{0,200})?(\?[A-Za-z0-9_\-.~=&]{0,200})?$"
_SECONDS: Final = r"(;seconds=((1[01][0-9]|[0-9]{1,2})(\.[0-9]{1,6})?|120))?"
_SKEW: Final = r"(;seconds=-?[0-9]{1,4}(\.[0-9]{1,6})?)?"
_OPTIONS: Final = r"(;code=([0-9]{3,4}|[0-9]{2}_[0-9]{4}_[0-9]{3}))?(;status=5[0-9]{2})?$"


def ref(name: str) -> Json:
    """A reference to the schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(required: Mapping[str, Json], optional: Mapping[str, Json] | None = None, **more: Any) -> Json:
    """An object of these members and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def list_of(items: Json) -> Json:
    """An array."""
    return {"type": "array", "items": items}


def or_null(schema: Json) -> Json:
    """The same, or null."""
    return {**schema, "type": [schema["type"], "null"]}


TEXT: Final[Json] = {"type": "string"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
YES_OR_NO: Final[Json] = {"type": "boolean"}
AMOUNT: Final[Json] = {"type": "string", "pattern": AMOUNT_PATTERN, "description": "taka with two decimals"}
MOMENT: Final[Json] = {
    "type": "string",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
    "description": "ISO 8601 in UTC with milliseconds, of the sandbox's time",
}
_TEXTS: Final[Json] = {"type": "object", "additionalProperties": TEXT}
_CURRENCY: Final[Json] = {"type": "string", "const": "BDT"}

SHORT: Final[Json] = {"type": "string", "maxLength": 256}
LIMIT_OR_NONE: Final[Json] = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 500}, {"type": "string", "const": ""}]
}
NUMBER_OR_NONE: Final[Json] = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 10**15}, {"type": "string", "const": ""}]
}
GATEWAY_OR_NONE: Final[Json] = {"type": "string", "enum": ["", *PLAYED]}
_WALKED_INTO: Final = [facts.name for facts in FACTS.values() if facts.takes_walk_ins]
ENTRY_KIND_OR_NONE: Final[Json] = {"type": "string", "enum": ["", *ENTRY_KINDS]}

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
        "currency": _CURRENCY,
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
        "currency": _CURRENCY,
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
        "currency": _CURRENCY,
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
        "outcomes": list_of(obj({"amount": AMOUNT, "wallet": TEXT, "name": TEXT, "about": _TEXTS})),
    }
)

_ANSWERS: Final[Mapping[str, Json]] = {
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
                        "currency": _CURRENCY,
                        "client": _TEXTS,
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
    "Gateways": obj({"gateways": {"type": "object", "additionalProperties": _TEXTS}}),
    "Wire": obj({"calls": list_of(_CALL)}),
    "Books": obj(
        {
            "payments": list_of(_IN_BOOKS),
            "payouts": list_of(_PAID_OUT),
            "wallets": list_of(obj({"wallet": TEXT, "balance": AMOUNT, "currency": _CURRENCY})),
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
            "currency": _CURRENCY,
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
                    "currency": _CURRENCY,
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
            "topic_arn": TEXT,
            "cert_url": or_null(TEXT),
            "held": COUNT,
            "deliveries": list_of(_TRY),
        }
    ),
}


def components(gateways: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    """Every schema by its name, for a sandbox with these `gateways` (name -> operations)."""
    return {**_ANSWERS, **_orders(gateways)}


def _orders(gateways: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    gateway: Json = {"type": "string", "enum": list(gateways), "default": DEFAULT}
    wallet: Json = {"type": "string", "enum": [one.number for one in WALLETS], "default": CUSTOMER["wallet"]}
    amount: Json = {"type": "string", "pattern": r"^[1-9][0-9]{0,3}(\.[0-9]{1,2})?$", "description": "taka"}
    reference: Json = {"type": "string", "description": "the payment's reference at its gateway"}
    return {
        "FaultOrder": {
            "oneOf": fault_orders(gateways),
            "description": f"at most {PLANS_MAX} orders wait at a time",
        },
        "Scenario": _scenario(gateways),
        "ClockOrder": obj(
            {"advance_s": {"type": "number", "minimum": 0, "maximum": ADVANCE_MAX_S}},
            description="time never runs back, and at most ten years ahead in all",
        ),
        "Approval": obj(
            {"reference": reference},
            {
                "gateway": gateway,
                "outcome": {"type": "string", "enum": ["success", "cancel", "failure"], "default": "success"},
                "wallet": or_null({"type": "string", "enum": [*wallet["enum"], None]}),
            },
        ),
        "PortalOrder": obj(
            {"reference": reference, "action": {"type": "string", "enum": ["refund", "capture", "void"]}},
            {
                "gateway": gateway,
                "amount": or_null({**amount, "description": "of a refund; all that is left unless told"}),
            },
        ),
        "Balance": obj(
            {"balance": {"type": "string", "pattern": r"^[0-9]{1,7}(\.[0-9]{1,2})?$", "description": "taka"}}
        ),
        "WalkIn": obj(
            {"amount": amount},
            {
                "gateway": {"type": "string", "enum": _WALKED_INTO, "default": DEFAULT},
                "channel": {"type": "string", "enum": ["qr", "ussd"], "default": "qr"},
                "wallet": wallet,
                "reference": TEXT,
                "merchant": {
                    "type": "string",
                    "description": "its name; empty: the first one",
                    "default": "",
                },
            },
        ),
        "Subscription": obj(
            {"url": {"type": "string", "pattern": _ADDRESS, "description": "an address of this machine"}},
            {"signature_version": {"type": "string", "enum": ["1", "2"], "default": "1"}},
        ),
    }


def fault_orders(gateways: Mapping[str, Sequence[str]]) -> list[Json]:
    """What may be ordered: of each gateway, the kinds that strike the same operations together."""
    found: list[Json] = []
    for gateway, operations in gateways.items():
        groups: dict[tuple[tuple[str, ...], bool], list[Kind]] = {}
        for kind in KINDS.values():
            struck = operations_struck(kind, gateway, operations)
            if struck:
                groups.setdefault((struck, kind.skews), []).append(kind)
        found += [_fault_order(gateway, struck, kinds) for (struck, _), kinds in groups.items()]
    return found


def _fault_order(gateway: str, struck: Sequence[str], kinds: Sequence[Kind]) -> Json:
    names = "|".join(re.escape(kind.name) for kind in kinds)
    pattern = f"^({names}){_SKEW if kinds[0].skews else _SECONDS}{_OPTIONS}"
    required: dict[str, Json] = {"fault": {"type": "string", "pattern": pattern}}
    own: dict[str, Json] = {"gateway": {"type": "string", "const": gateway}}
    if gateway != DEFAULT:  # what an order means that names no gateway
        required, own = {**required, **own}, {}
    return obj(
        required,
        {
            **own,
            "operation": {"type": "string", "enum": ["*", *struck], "default": "*"},
            "times": {
                "oneOf": [
                    {"type": "integer", "minimum": 1, "maximum": TIMES_MAX},
                    {"type": "string", "const": ALWAYS},
                ],
                "default": 1,
            },
            "chance": {"type": "number", "minimum": 0.0001, "maximum": 1, "default": 1},
            "seed": or_null({"type": "integer", "minimum": 0, "maximum": SEED_MAX}),
        },
        title=f"{gateway}: {', '.join(kind.name for kind in kinds[:3])}{', ...' if len(kinds) > 3 else ''}",
    )


def _scenario(gateways: Mapping[str, Sequence[str]]) -> Json:
    def text(pattern: str) -> Json:
        return {"type": "string", "pattern": f"^{pattern}$"}

    gateway: Json = {"type": "string", "enum": list(gateways)}
    webhooks = [scenario.QUIET, *(kind.name for kind in KINDS.values() if kind.phase == WEBHOOK)]
    most = {"maxItems": scenario.LIST_MAX}
    payment = obj(
        {"amount": text(scenario.AMOUNT)},
        {
            "gateway": {**gateway, "default": DEFAULT},
            "merchant": text(scenario.NAME),
            "reference": text(scenario.REFERENCE),
            "wallet": {**text(scenario.NUMBER), "default": CUSTOMER["wallet"]},
            "outcome": {"type": "string", "enum": list(scenario.OUTCOMES), "default": "paid"},
            "step": {"type": "string", "enum": list(scenario.STEPS)},
            "refunds": {**list_of(text(scenario.REFUND)), "maxItems": scenario.REFUNDS_MAX},
            "webhook": {"type": "string", "enum": webhooks},
            "callback_url": text(scenario.URL),
        },
    )
    wallet = obj(
        {"number": text(scenario.NUMBER)},
        {
            "balance": text(scenario.BALANCE),
            "pin": text(scenario.CODE),
            "otp": text(scenario.CODE),
            "blocked": YES_OR_NO,
            "note": text(scenario.NOTE),
        },
    )
    return obj(
        {},
        {
            "merchants": {**list_of(obj({"name": text(scenario.NAME)}, {"gateway": gateway})), **most},
            "wallets": {**list_of(wallet), **most},
            "payments": {**list_of(payment), **most},
            "faults": {**list_of(ref("FaultOrder")), **most},
        },
    )
