"""What a gateway brings to the sandbox, and who its merchants are."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from starlette.routing import BaseRoute

from vextrus_payments_sandbox.listing import BookRow
from vextrus_payments_sandbox.problems import SandboxError

MERCHANTS_MAX: Final = 100
_MERCHANT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{1,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class MerchantFacts:
    """A merchant of a gateway, for whoever wants to be its client."""

    name: str
    account: str
    """Where its money lies in the books."""
    facts: Mapping[str, str]
    """As :meth:`SandboxGateway.describe`."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Other accounts of its: what each is called -> its name in the books."""


def checked_merchant(name: str, known: Collection[str]) -> str:
    """A name that one more merchant can have; raises :class:`SandboxError`."""
    if not _MERCHANT_NAME.fullmatch(name):
        raise SandboxError("a merchant's name is 2 to 32 letters and digits, a letter first")
    if name in known:
        raise SandboxError(f"there is a merchant of the name {name} already", 409)
    if len(known) >= MERCHANTS_MAX:
        raise SandboxError(f"there are {MERCHANTS_MAX} merchants already", 409)
    return name


class SandboxGateway(Protocol):
    """What a gateway brings to the sandbox; everything else about it is its own business."""

    name: str
    operations: Sequence[str]
    is_one_of_its_kind: bool
    """Whether `describe` says something that only this sandbox knows, such as where its keys are."""

    def routes(self) -> Sequence[BaseRoute]:
        """Its API and its pages."""
        ...

    def rows(self) -> Iterable[BookRow]:
        """Its payments, oldest first."""
        ...

    def row(self, handle: str) -> BookRow | None:
        """The payment that a reference or a transaction id of its own names; None for what names no payment."""
        ...

    def approve(self, reference: str, outcome: str, wallet: str | None) -> Mapping[str, Any]:
        """Do what a payer would do on the hosted page; raises :class:`SandboxError`."""
        ...

    def portal(self, reference: str, action: str, amount: str | None) -> Mapping[str, Any]:
        """Do what a merchant would do in the gateway's portal, without its API; raises :class:`SandboxError`."""
        ...

    def walk_in(
        self, amount: str, channel: str, wallet: str, reference: str, merchant: str = ""
    ) -> Mapping[str, Any]:
        """Let a payer pay without the merchant's API: a QR code, a short number; raises :class:`SandboxError`.

        `merchant`: the name of one, empty for the first.
        """
        ...

    def page_url(self, reference: str, url: str) -> str | None:
        """Where the payer pays at the sandbox at `url`; None where this payment's page is over or unknown."""
        ...

    def describe(self, url: str) -> Mapping[str, str]:
        """Base URL and credentials for a client of the sandbox at `url`."""
        ...

    def admit(self, name: str) -> None:
        """Take one more merchant in, with credentials of its own; raises :class:`SandboxError`."""
        ...

    def merchants_at(self, url: str) -> Sequence[MerchantFacts]:
        """Every merchant, the first one first, and what a client of its at the sandbox at `url` needs."""
        ...

    def notes(self) -> Mapping[str, Any]:
        """Its grant log and the manners it missed."""
        ...

    def reset(self) -> None:
        """Forget every payment; tokens stay valid."""
        ...
