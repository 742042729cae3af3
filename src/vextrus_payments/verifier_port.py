"""The verifier port: who checks that a webhook was sent by whom it says, and what a checked one holds.

A gateway asks its verifier, injected per gateway and tenant; it never trusts a header or a field that the verifier did
not prove. Verifiers may fetch (a signing certificate), so they are asynchronous; they keep nothing of a delivery.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from vextrus_payments.events import Confirm, Delivery


class VerifiedKind(StrEnum):
    """What a proven delivery is."""

    MESSAGE = "message"
    CONFIRMATION = "confirmation"
    """The sender asks whether it may send here: answer by `confirm`."""
    FAREWELL = "farewell"
    """The sender says that it will not send here any more. Nothing is fetched for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A delivery whose sender is proven."""

    kind: VerifiedKind
    message_id: str
    """The sender's id of it: the same on every repeat."""
    message: bytes = field(repr=False)
    """What was said: the proven bytes, and nothing that stood beside them."""
    scheme: str
    """By which rules it was proven: "sns/2", "standard/v1", "relay"."""
    signed_at: datetime | None = None
    content: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """`message` as the JSON object that it is (`strict_json.read_object`), where the verifier has read it anyway; None:
    not read yet."""
    kept: bytes | None = field(default=None, repr=False)
    """The delivery without what nobody signed: to be kept in its place where that holds a right. It verifies alike."""
    confirm: Confirm | None = None
    """Of a CONFIRMATION: the address to fetch, already held to the sender's host and region."""


class WebhookVerifier(Protocol):
    """Checks deliveries of one kind of sender."""

    async def verify(self, delivery: Delivery) -> Verified:
        """Prove the sender over the raw bytes.

        Raises:
            MalformedWebhookError: it has not the shape of a signed message; whatever is wrong with it.
            SignatureError: it has, and does not prove its sender.
            TimestampOutsideWindowError: it is proven, and not of now.
            GatewayError: it cannot be decided now (a certificate cannot be fetched); the sender tries again.
        """
        ...

    async def confirm(self, confirm: Confirm) -> None:
        """Fetch the address of a proven confirmation, without following redirects.

        Raises:
            GatewayError: it did not answer 200; the sender asks again.
        """
        ...
