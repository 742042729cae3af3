"""What check_gateway() works with: the gateway under test, its books, the breakable line, and what was found."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from vextrus_payments.capabilities import Completion
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.payment import (
    Evidence,
    ExecuteCall,
    Intent,
    PaymentRequest,
    PaymentSession,
    RefundCall,
    StatusCall,
)
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.testing.canary import SecretCanary
from vextrus_payments.testing.faulty import Fault, FaultyTransport
from vextrus_payments.transport import Transport
from vextrus_payments.wire import WireRequest, WireResponse


class Verb(StrEnum):
    """The verbs that are tried under faults."""

    INITIALIZE = "initialize"
    EXECUTE = "execute"
    STATUS = "status"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class GatewayWorld(Protocol):
    """A gateway to test against: fresh and empty, with a payer who always has enough money."""

    @property
    def transport(self) -> Transport:
        """How it is reached. Not closed by the kit."""
        ...

    @property
    def secrets(self) -> Sequence[str]:
        """What no error may show: credentials, and the tokens given out so far. Each 8 characters or more."""
        ...

    def request(self, merchant_reference: str, *, intent: Intent = Intent.SALE) -> PaymentRequest:
        """A payment that this gateway takes."""
        ...

    async def effects(self) -> int:
        """How often money moved, by its own books: each execute, capture, void and refund that was done counts 1."""
        ...

    async def approve(self, gateway_reference: str) -> None:
        """The payer approves on the gateway's page (where the payer completes, he pays)."""
        ...

    def token_rejected(self) -> WireResponse | None:
        """The front door's answer to an expired token; None where there are no tokens."""
        ...

    def is_token_request(self, request: WireRequest) -> bool:
        """Whether this is a request for a token."""
        ...

    async def inject(self, verb: Verb, fault: Fault) -> bool:
        """Do this to the next main request of the verb, on the gateway's side; False: it cannot.

        Asked only with `native=True`.
        """
        ...

    async def mend(self) -> None:
        """Commit no faults any more."""
        ...


W = TypeVar("W", bound=GatewayWorld)

#: Makes the adapter under test: with these fakes of time, no token yet, and nothing of an earlier one.
MakeGateway = Callable[[W, Transport], PaymentGateway]
MakeWorld = Callable[[], AbstractAsyncContextManager[W]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule."""

    scenario: str
    problem: str

    def __str__(self) -> str:
        return f"[{self.scenario}] {self.problem}"


class GatewayCheckError(AssertionError):
    """The adapter broke a rule.

    Attributes:
        findings: every one.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings: tuple[Finding, ...] = tuple(findings)
        lines = "\n  ".join(str(finding) for finding in self.findings[:40])
        super().__init__(f"{len(self.findings)} rule(s) broken:\n  {lines}")


@dataclass(slots=True)
class Stage(Generic[W]):
    """One scenario's world, line and adapter, and what it has reached so far."""

    world: W
    line: FaultyTransport
    gateway: PaymentGateway
    session: PaymentSession | None = None
    refund: RefundCall | None = None
    evidence: list[Evidence] = field(default_factory=list)
    """Of refunds."""
    begun: list[Evidence] = field(default_factory=list)
    """Of sessions that take several calls."""

    @classmethod
    def over(cls, world: W, make_gateway: MakeGateway[W]) -> "Stage[W]":
        """A fresh line and a fresh adapter over this world."""
        line = FaultyTransport(
            world.transport, token_rejected=world.token_rejected(), is_token_request=world.is_token_request
        )
        return cls(world, line, make_gateway(world, line))

    @property
    def payer_completes(self) -> bool:
        """Whether the money moves before we execute."""
        return self.gateway.capabilities.completion is Completion.PAYER_COMPLETES

    async def mend(self) -> None:
        """Line and world work again; the line's passages are forgotten."""
        self.line.mend()
        await self.world.mend()

    async def open(
        self, reference: str, *, intent: Intent = Intent.SALE, approve: bool = True
    ) -> PaymentSession:
        """A session, approved unless told otherwise."""
        request = self.world.request(reference, intent=intent)
        self.session = await self.initialize(request)
        if approve:
            await self.world.approve(self.session.gateway_reference)
        return self.session

    async def initialize(
        self, request: PaymentRequest, *, gateway_order_id: str | None = None
    ) -> PaymentSession:
        """Open a session; whoever opens it in several calls gets his checkpoints taken."""

        async def take(evidence: Evidence) -> None:
            self.begun.append(evidence)

        return await self.gateway.initialize_payment(
            request, gateway_order_id=gateway_order_id, on_checkpoint=take
        )

    def call(self, intent: Intent = Intent.SALE) -> ExecuteCall:
        """The session's execute call."""
        assert self.session is not None
        return ExecuteCall(
            gateway_reference=self.session.gateway_reference,
            gateway_order_id=self.session.gateway_order_id,
            amount=self.session.amount,
            intent=intent,
        )

    async def look(self, intent: Intent = Intent.SALE) -> PaymentSnapshot:
        """Look the session's payment up."""
        call = self.call(intent)
        return await self.gateway.get_payment_status(
            StatusCall(
                gateway_reference=call.gateway_reference,
                gateway_order_id=call.gateway_order_id,
                amount=call.amount,
                intent=intent,
            )
        )

    async def paid(self, reference: str) -> RefundCall:
        """A paid payment, and the call that refunds it whole."""
        session = await self.open(reference)
        snapshot = await self.gateway.execute_payment(self.call())
        assert snapshot.transaction_id, "a plain payment did not succeed, so nothing else can be checked"
        self.refund = RefundCall(
            operation_id=f"{reference}/refund",
            gateway_reference=session.gateway_reference,
            transaction_id=snapshot.transaction_id,
            amount=session.amount,
            reason="check",
            sku=reference,
        )
        return self.refund

    async def save(self, evidence: Evidence) -> None:
        """A checkpoint taker."""
        self.evidence.append(evidence)

    def leaks(self, thing: object) -> list[str]:
        """Where a secret is to be seen in an error (with all that hangs on it) or in what an object shows."""
        canary = SecretCanary()
        for number, secret in enumerate(self.world.secrets):
            canary.plant(f"secret {number}", secret)
        hits = canary.in_exception(thing) if isinstance(thing, BaseException) else canary.in_object(thing)
        return [f"a secret is to be seen: {hit}" for hit in hits]
