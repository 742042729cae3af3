"""Values that must never be seen: they hide in repr, str, format, JSON and pickles of a traceback."""

import hmac
from typing import Any, final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MASK = "********"


@final
class Secret:
    """A secret text. Only `reveal()` gives it; everything that prints shows a mask."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a secret is text, not {type(value).__name__}")
        self._value = value

    def reveal(self) -> str:
        """The text itself. Call it where the bytes are written to the wire and nowhere else."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> "Secret":
        """Itself, as for any immutable value: copying a configuration makes no second secret."""
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled; hand the credential source to the other process instead")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Reads text or a Secret; always serializes as the mask."""
        return core_schema.no_info_plain_validator_function(
            _to_secret,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )


def _to_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str):
        return Secret(value)
    raise ValueError("a secret is text")


def mask_account(account: str | None) -> str | None:
    """A payer's wallet or card number with its middle hidden: "01770618575" -> "017****8575"."""
    if account is None:
        return None
    if len(account) < 9:
        return "*" * len(account)
    return f"{account[:3]}****{account[-4:]}"
