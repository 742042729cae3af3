"""What a product of bKash is to its wire: paths, who carries each call out, and how a refusal is worded.

The products share payments, wallets, tokens and books. They part in paths, spelling and envelopes alone (dossier §1.1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.responses import Response

from vextrus_payments_sandbox.bkash.records import Refusal
from vextrus_payments_sandbox.bkash.tokens import Merchant
from vextrus_payments_sandbox.exchange import Done
from vextrus_payments_sandbox.faults import Fault


@dataclass(frozen=True, slots=True)
class Ask:
    """One call as its handler sees it: the body's fields, and those that stood in the path."""

    merchant: Merchant
    fields: Mapping[str, str]
    base_url: str
    fault: Fault | None

    @property
    def stale(self) -> bool:
        """Whether to answer as if the latest change had not arrived yet."""
        return self.fault is not None and self.fault.name == "stale"

    @property
    def is_heard(self) -> bool:
        """Whether the caller gets to see the true answer."""
        return self.fault is None or not self.fault.hides_the_answer

    def needed(self, name: str) -> str:
        """A field that has to be there; 2065 where it is not."""
        value = self.fields.get(name, "")
        if not value:
            raise Refusal("2065")
        return value


Handler = Callable[[Ask], Done]


@dataclass(frozen=True, slots=True)
class Call:
    """One path: what it is called in the dial and in the record, and who carries it out."""

    operation: str
    handler: Handler | None = None
    """None: the front door itself, for ``grant`` and ``refresh``."""
    without_amount: "Call | None" = None
    """What the same path means where no amount is given: v1's refund URL asks for the status then (§4.10)."""

    def meant(self, fields: Mapping[str, str] | None) -> "Call":
        """What is asked for by these fields."""
        if self.without_amount is None or fields is None or fields.get("amount"):
            return self
        return self.without_amount


Calls = Mapping[tuple[str, str], Call]
"""(method, path) -> call; a path may have ``{paymentID}`` in it, which becomes a field."""


class Product(Protocol):
    """One of bKash's products."""

    is_checkout: bool
    """Whether it is the legacy checkout, whose payments the others do not know, nor it theirs."""
    is_coded: bool
    """Whether a token is granted with a statusCode, and refused with a code."""

    @property
    def calls(self) -> Calls:
        """Every path."""
        ...

    def coded(self, code: str) -> Response:
        """A refusal with this code."""
        ...

    def unreadable(self) -> Response:
        """What becomes of a body that is no flat JSON object."""
        ...


GRANT: Final = Call("grant")
REFRESH: Final = Call("refresh")
