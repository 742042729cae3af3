"""What the simulator asks of a gateway's world, and the plain facts that its books and its wire show.

A world is injected: the SDK brings none. The sandbox's bKash is one (`vextrus_payments_sandbox.simulated`); a world
for another gateway is one class with the members below. It lives on the gateway's side: it is called when a request
has arrived, on the gateway's own time line, whether or not its caller still lives.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Protocol, runtime_checkable

from vextrus_payments.clock import Clock
from vextrus_payments.config import GatewayConfig
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.payment import RefundCall


@dataclass(frozen=True, slots=True)
class HttpAsk:
    """One request as it arrived. Header names are lower case."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    query: str = field(default="", repr=False)
    """What stood behind the question mark, as it was sent."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One line of a gateway's books: money came in from a payer (`capture`), or went back to him (`refund`).

    A hold moves nothing to us: it becomes a line when it is captured.
    """

    kind: str
    gateway: str
    mode: str
    tenant: str
    """Whose merchant account it was."""
    reference: str
    """The gateway's handle of the payment."""
    order_id: str
    """What we called it there."""
    amount_minor: int
    transaction_id: str
    original_transaction_id: str | None = None
    correlation: str | None = None
    """Of a refund: our own id of it, where the gateway keeps one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disbursement:
    """One line of a gateway's books: money left a merchant's account there for somebody else's wallet (`payout`), or
    went between two accounts of his own (`to_disbursement`, `to_collection`)."""

    kind: str
    gateway: str
    mode: str
    tenant: str
    order_id: str
    """What we called it there; empty where the gateway takes no name of ours."""
    amount_minor: int
    transaction_id: str
    fee_minor: int = 0
    """What the gateway took for it, on top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One payer's agreement in a gateway's books."""

    tenant: str
    reference: str
    """The gateway's handle of the session in which he gave it."""
    agreement_id: str = field(repr=False)
    ended: bool
    given_at: datetime | None = None
    """When it began to hold, by the gateway's clock; None where the world does not tell."""
    ended_at: datetime | None = None
    """When it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One webhook that a gateway has to send, signed, to be delivered as often as it takes."""

    tenant: str
    event_id: str
    """The sender's own id of it."""
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    transaction_id: str
    is_stray: bool = False
    """Money that names no order of ours."""
    door: str = ""
    """The gateway at whose door it is delivered, where that is not its sender's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFact:
    """What one exchange proves to a bystander who reads the gateway's own answer, before any fault spoils it.

    `kind`: `created`, `executed`, `captured`, `refunded`: it was done by this exchange. `execute_asked`,
    `refund_asked`: it was asked for, whatever came of it. `granted`: a token was given out. `refund_listed`: a refund
    was shown, whoever made it. `consent_created`, `consented`, `consent_ended`: of an agreement. `payout_asked`,
    `paid_out`: the same of money that leaves, by our order id. `transfer_asked`, `transferred`: of money that goes
    between two accounts of one merchant; `reference` is then which way (as `Disbursement.kind`).
    """

    kind: str
    tenant: str
    mode: str
    reference: str = ""
    order_id: str = ""
    amount_minor: int = 0
    transaction_id: str = ""
    agreement_id: str = field(default="", repr=False)


class World(Protocol):
    """A gateway's world: its API, its books, its payers."""

    @property
    def gateway(self) -> str:
        """The name under which payments are opened here."""
        ...

    @property
    def mode(self) -> str:
        """sandbox or live."""
        ...

    @property
    def sites(self) -> Sequence[tuple[str, int]]:
        """The hosts and ports at which it answers."""
        ...

    @property
    def adapter(self) -> Adapter | None:
        """The adapter, where it is not an installed one."""
        ...

    @property
    def effect_limit_s(self) -> float:
        """How long after a request left at most it takes effect, in seconds: the adapter's hard limit and margin."""
        ...

    @property
    def grants_an_hour(self) -> int | None:
        """How many tokens a merchant may ask for in an hour; None: as many as he likes."""
        ...

    @property
    def payer_completes(self) -> bool:
        """Whether the payer's approval already moves the money."""
        ...

    @property
    def refunds_by_own_id(self) -> bool:
        """Whether refunds are told apart by our own ids, so that several may be under way at once."""
        ...

    def config(self, tenant: str) -> GatewayConfig:
        """The configuration with which that tenant reaches it."""
        ...

    async def answer(self, ask: HttpAsk) -> HttpAnswer:
        """Do what is asked. Runs on the gateway's own time line; nobody can cancel it."""
        ...

    def token_rejected(self) -> HttpAnswer | None:
        """The front door's answer to a token that is over; None where there are no tokens."""
        ...

    def approve(self, reference: str, how: str) -> bool:
        """The payer acts on the gateway's page: `success`, `poor`, `cancel`, `failure`. False: too late."""
        ...

    def change_amount(self, reference: str, amount_minor: int) -> bool:
        """From now on the gateway believes that this is the payment's amount. False: it cannot any more."""
        ...

    def give_back(self, reference: str, amount_minor: int) -> bool:
        """The merchant refunds in the gateway's own portal, behind the SDK's back. False: it is not to be had."""
        ...

    def take_stray(self, tenant: str, amount_minor: int) -> None:
        """Somebody pays that merchant without any order of ours. It is told as a webhook, if any are."""
        ...

    def sign(self, body: bytes, key: bytes) -> Mapping[str, str]:
        """The headers of a webhook with that body, signed with that key."""
        ...

    def consents(self) -> Sequence[Consent] | None:
        """The agreements in its books; None where payers can give none."""
        ...

    def return_params(self, reference: str, verdict: str) -> Mapping[str, str]:
        """The query with which it sends the browser back: `success`, `failure`, `cancel`."""
        ...

    def movements(self) -> Sequence[Movement]:
        """Its books, in order."""
        ...

    def facts(self, ask: HttpAsk, answer: HttpAnswer) -> Sequence[WireFact]:
        """What this exchange shows. Reads the exchange alone, never the books."""
        ...

    def audit(self) -> Sequence[str]:
        """Where its own books contradict themselves: a fault of the world, not of the SDK."""
        ...


@runtime_checkable
class SignsBodies(Protocol):
    """A world whose signatures stand in the body: headers alone forge nothing there."""

    def forge(self, notice: Notice, how: str, rng: Random) -> bytes:
        """The body after a stranger had it: `altered`, signed by himself (`foreign_key`), or `unsigned`."""
        ...


@runtime_checkable
class PostsReturns(Protocol):
    """A world that lets the browser post its return; `return_params` is then what stands in the address."""

    def return_form(self, reference: str, verdict: str) -> Mapping[str, str]:
        """What the browser posts: `success`, `failure`, `cancel`."""
        ...


@runtime_checkable
class NamesRefunds(Protocol):
    """A world that calls our refunds by a name of its own making."""

    def correlation_of(self, call: RefundCall) -> str:
        """What `Movement.correlation` says of this refund of ours; of the call, all that makes the refund is given."""
        ...


@runtime_checkable
class KeepsFees(Protocol):
    """A world that keeps a fee of what comes in, and tells it with the payment; its books move the gross amount."""

    def fees_minor(self) -> int:
        """All that it has kept."""
        ...


@runtime_checkable
class PaysOut(Protocol):
    """A world from which money can leave: payouts, and transfers between a merchant's own accounts."""

    def paid_out(self) -> Sequence[Disbursement]:
        """What left, in order."""
        ...


@runtime_checkable
class CollectsByItself(Protocol):
    """A world that collects by itself under what payers have agreed to, on days that have passed after four minutes."""

    def terms(self, rng: Random) -> Any:
        """What a payer is asked to agree to: the `params` of a ConsentRequest."""
        ...

    def collect(self) -> None:
        """What has fallen due by now is collected, whether or not anybody asks."""
        ...

    def leave(self, reference: str) -> bool:
        """The payer ends what he agreed to, at the gateway. False: there is nothing to end."""
        ...


@runtime_checkable
class SignsWhenSent(Protocol):
    """A world whose messages carry the time at which they are sent: each try to deliver one is another message."""

    def sent_now(self, notice: Notice) -> Notice:
        """The same news, dated and signed anew."""
        ...


def finds_refunds(world: World) -> bool:
    """Whether a refund whose answer was lost is ever found again by asking: not where a world says so by an attribute
    `refunds_are_found` (absent: it is). Then a person reads the gateway's panel in the end."""
    return bool(getattr(world, "refunds_are_found", True))


def can_hold(world: World) -> bool:
    """Whether money can be held there and captured later: not where the payer completes, nor where a world says so by
    an attribute `holds_money` (absent: it can)."""
    return not world.payer_completes and bool(getattr(world, "holds_money", True))


def opens_payments(world: World) -> bool:
    """Whether a shop can ask for a payment there: not where a world says so by an attribute `opens_payments` (absent:
    it can)."""
    return bool(getattr(world, "opens_payments", True))


@dataclass(frozen=True, slots=True)
class WorldPorts:
    """What a world is made with."""

    clock: Clock
    """The gateway's own clock: nobody steps it."""
    seed: str
    tenants: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    tell: Callable[[Any, Notice], None] = lambda world, notice: None
    """Takes each webhook that the world (the first argument) has to send, when it has it to send."""


WorldMaker = Callable[[WorldPorts], World]
Ledgering = Callable[[Any], Awaitable[None]]
