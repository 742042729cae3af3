"""What the shapes of the admin API are made of, as JSON Schema: an amount, a moment, an object of these members."""

from collections.abc import Mapping
from typing import Any, Final

from vextrus_payments_sandbox.gateways import PLAYED
from vextrus_payments_sandbox.record import KINDS as ENTRY_KINDS

Json = dict[str, Any]

AMOUNT_PATTERN: Final = r"^(0|[1-9][0-9]{0,9})\.[0-9]{2}$"


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
TEXTS: Final[Json] = {"type": "object", "additionalProperties": TEXT}
CURRENCY: Final[Json] = {"type": "string", "const": "BDT"}

SHORT: Final[Json] = {"type": "string", "maxLength": 256}
LIMIT_OR_NONE: Final[Json] = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 500}, {"type": "string", "const": ""}]
}
NUMBER_OR_NONE: Final[Json] = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 10**15}, {"type": "string", "const": ""}]
}
GATEWAY_OR_NONE: Final[Json] = {"type": "string", "enum": ["", *PLAYED]}
ENTRY_KIND_OR_NONE: Final[Json] = {"type": "string", "enum": ["", *ENTRY_KINDS]}
