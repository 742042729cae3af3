"""What the answers of bKash are made of: fields with more than one spelling, and the envelopes (dossier §10)."""

from typing import Any, Self

from pydantic import AliasChoices, Field

from vextrus_payments.gateways.bodies import Lenient, Text, read_json


def either(*names: str, serialize: str | None = None, repr: bool = True) -> Any:
    """A field that arrives under one of several spellings and leaves under the first (or ``serialize``)."""
    return Field(
        default=None,
        validation_alias=AliasChoices(*names),
        serialization_alias=serialize or names[0],
        repr=repr,
    )


def named(name: str, *, repr: bool = True) -> Any:
    """A field under its wire name."""
    return Field(default=None, alias=name, repr=repr)


class Answer(Lenient):
    """Any answer, with the fields of all envelopes of §10: v1, iframe, v2, API gateway, failed grant.

    Every field may be ``None``. Which envelope it is, and what it means, is not decided here.
    """

    status_code: Text = named("statusCode")
    status_message: Text = named("statusMessage")
    error_code: Text = named("errorCode")
    error_message: Text = named("errorMessage")
    internal_code: Text = named("internalCode")
    external_code: Text = named("externalCode")
    error_message_en: Text = named("errorMessageEn")
    error_message_bn: Text = named("errorMessageBn")
    message: Text = None
    status: Text = None
    msg: Text = None

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read an answer from its bytes; raises :class:`UnreadableBodyError` as :func:`read_json` does."""
        return cls.model_validate(read_json(raw))

    def to_wire(self) -> dict[str, Any]:
        """The answer under its wire names, without the absent fields (what a sandbox sends)."""
        return self.model_dump(by_alias=True, exclude_none=True)
