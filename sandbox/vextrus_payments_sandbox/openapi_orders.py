"""The shapes of what the admin API takes, as JSON Schema: they name the gateways that there are."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from vextrus_payments_sandbox.fault_kinds import KINDS, WEBHOOK, Kind, operations_struck
from vextrus_payments_sandbox.faults import ALWAYS, PLANS_MAX, SEED_MAX, TIMES_MAX
from vextrus_payments_sandbox.gateways import DEFAULT, FACTS
from vextrus_payments_sandbox.openapi_shapes import TEXT, YES_OR_NO, Json, list_of, obj, or_null, ref
from vextrus_payments_sandbox.seeding import scenario
from vextrus_payments_sandbox.world import ADVANCE_MAX_S, CUSTOMER, WALLETS

_ADDRESS: Final = r"^https?://(127\.0\.0\.1|localhost|\[::1\])(:[1-9][0-9]{0,3})?(/[A-Za-z0-9_\-.~/]{0,200})?(\?[A-Za-z0-9_\-.~=&]{0,200})?$"
_SECONDS: Final = r"(;seconds=((1[01][0-9]|[0-9]{1,2})(\.[0-9]{1,6})?|120))?"
_SKEW: Final = r"(;seconds=-?[0-9]{1,4}(\.[0-9]{1,6})?)?"
_OPTIONS: Final = r"(;code=([0-9]{3,4}|[0-9]{2}_[0-9]{4}_[0-9]{3}))?(;status=5[0-9]{2})?$"
_APPROVALS: Final = list(dict.fromkeys(outcome for facts in FACTS.values() for outcome in facts.approvals))
_WALKED_INTO: Final = [facts.name for facts in FACTS.values() if facts.takes_walk_ins]


def orders(gateways: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    """Every body by its name, for a sandbox with these `gateways` (name -> operations)."""
    gateway: Json = {"type": "string", "enum": list(gateways), "default": DEFAULT}
    wallet: Json = {"type": "string", "enum": [one.number for one in WALLETS], "default": CUSTOMER["wallet"]}
    amount: Json = {"type": "string", "pattern": r"^[1-9][0-9]{0,3}(\.[0-9]{1,2})?$", "description": "taka"}
    reference: Json = {"type": "string", "description": "the payment's reference at its gateway"}
    return {
        "FaultOrder": {
            "oneOf": _fault_orders(gateways),
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
                "outcome": {
                    "type": "string",
                    "enum": _APPROVALS,
                    "default": "success",
                    "description": "; ".join(
                        f"{one.name}: {', '.join(one.approvals)}" for one in FACTS.values()
                    ),
                },
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


def _fault_orders(gateways: Mapping[str, Sequence[str]]) -> list[Json]:
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
