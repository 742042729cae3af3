"""Whose agreement a command works on, and how an agreement is shown: never by what one could charge with."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vextrus_payments.cli.application import is_in_charge, opened, required_app
from vextrus_payments.cli.explaining import moment
from vextrus_payments.cli.home import Home
from vextrus_payments.cli.output import one_line
from vextrus_payments.cli.records import places
from vextrus_payments.cli.target import named_target, required
from vextrus_payments.errors import ConfigurationError, InvalidRequestError
from vextrus_payments.events import collected_order_id
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.recording import collected_payment_id
from vextrus_payments.records import Agreement, PaymentFacts
from vextrus_payments.secret import mask_account
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

if TYPE_CHECKING:
    from vextrus_payments.app import Payments, TenantPayments


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Whose agreements a command works on."""

    tenant: str
    app: str | None
    store: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """An agreement, and the verbs with which its gateway can be asked about it."""

    agreement: Agreement
    verbs: "TenantPayments"
    gateway: PaymentGateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One collection under a subscription: as the gateway lists it, and what the records have of it."""

    shown: PaymentSnapshot
    facts: PaymentFacts | None

    @property
    def missing(self) -> bool:
        """Whether the gateway has the money, and the records have nothing of it."""
        return self.facts is None and self.shown.state is SnapshotState.PAID


def no_such(agreement_key: str) -> InvalidRequestError:
    """There is no agreement of that key."""
    return InvalidRequestError(
        f"There is no agreement {one_line(agreement_key)[:80]} here.",
        field="AGREEMENT_KEY",
        rule="a key that `vextrus-pay agreement list` shows, with its --tenant",
    )


async def recorded(where: Where, agreement_key: str) -> Agreement:
    """The agreement as the records have it; nobody is asked.

    Raises:
        InvalidRequestError: there is none of that key.
        ConfigurationError, StorageError: see cli.records.
    """
    async with aclosing(places(where.app, where.store)) as every_place:
        async for place in every_place:
            found = await place.store.get_agreement(where.tenant, agreement_key)
            if found is not None:
                return found
    raise no_such(agreement_key)


@asynccontextmanager
async def asking(
    where: Where, agreement_key: str, *, sandbox: str | None, live: bool | None = None
) -> AsyncIterator[Asking]:
    """The agreement with its gateway: the application's, else the one that `sandbox` or the environment names.

    Args:
        live: whether it was said that a live gateway is meant; None: a command that only looks does not ask.

    Raises:
        InvalidRequestError: there is no agreement of that key.
        ConfigurationError, CredentialsMissingError: see their messages.
    """
    async with AsyncExitStack() as stack:
        if is_in_charge(where.app, store=where.store, sandbox=sandbox):
            payments = await stack.enter_async_context(opened(required_app(where.app, "agreement")))
            agreement = await payments.for_tenant(where.tenant).get_agreement(agreement_key)
            if agreement is None:
                raise no_such(agreement_key)
        else:
            agreement = await recorded(where, agreement_key)
            payments = await stack.enter_async_context(
                own_payments(where, agreement.gateway, sandbox=sandbox)
            )
        _check_meant(agreement, live=live)
        yield Asking(
            agreement=agreement,
            verbs=payments.for_tenant(where.tenant),
            gateway=await payments.gateway_of(where.tenant, agreement.gateway),
        )


def own_payments(where: Where, gateway: str, *, sandbox: str | None) -> "Payments":
    """A `Payments` for one gateway, over the store that was named, else the one of the home folder; not opened yet.

    Raises:
        ConfigurationError, CredentialsMissingError: see their messages.
    """
    from vextrus_payments.app import Payments

    target = required(named_target(gateway, sandbox=sandbox, live=None), gateway)
    home = Home.find(where.store)
    return Payments(
        store=home.store(target.config.mode),
        gateways={target.gateway: target.config},
        tokens=home.tokens(),
        workers=False,
    )


def _check_meant(agreement: Agreement, *, live: bool | None) -> None:
    """Refuse to end a real consent that nobody said is a real one, and to take a test's for real."""
    if live is False and agreement.mode is Mode.LIVE:
        raise ConfigurationError(
            "A real payer gave this agreement, and --live was not given: nothing was ended.",
            code="live_not_meant",
            next_step="Add --live if you mean it.",
            gateway=agreement.gateway,
        )
    if live and agreement.mode is not Mode.LIVE:
        raise ConfigurationError(
            f"--live was given, but the agreement is one of the {agreement.mode.value}'s: nothing was ended.",
            code="live_not_configured",
            next_step="Leave --live out.",
            gateway=agreement.gateway,
        )


async def collected(one: Asking) -> list[Taken]:
    """What the gateway lists as collected under a subscription, or as to come, and what the records have of it.

    Raises:
        InvalidRequestError: it is no subscription.
        GatewayError: no answer came.
    """
    agreement = one.agreement
    if agreement.terms is None:
        raise InvalidRequestError(
            "It is no subscription: nothing is collected under it unless a payment names it.",
            field="AGREEMENT_KEY",
            rule="of a subscription",
        )
    if agreement.agreement_id is None or agreement.gateway_reference is None:
        return []
    found = []
    for shown in await one.gateway.list_collections(agreement.agreement_id):
        order_id = collected_order_id(agreement.gateway_reference, shown.gateway_reference)
        facts = await one.verbs.get(collected_payment_id(agreement, order_id))
        found.append(Taken(shown=shown, facts=facts))
    return found


def agreement_document(agreement: Agreement) -> dict[str, Any]:
    """An agreement as JSON: accounts masked; nothing in it that one could charge by."""
    return {
        "agreement_key": agreement.agreement_key,
        "tenant": agreement.tenant,
        "gateway": agreement.gateway,
        "mode": agreement.mode.value,
        "state": agreement.state.value,
        "subscription": agreement.terms is not None,
        "beside": agreement.beside,
        "merchant_reference": agreement.merchant_reference if agreement.terms is not None else None,
        "payer_account": mask_account(agreement.payer_account),
        "terms": None if agreement.terms is None else dict(agreement.terms),
        "created_at": agreement.created_at.isoformat(),
        "updated_at": agreement.updated_at.isoformat(),
        "expires_at": None if agreement.expires_at is None else agreement.expires_at.isoformat(),
        "operations": [
            {
                "operation_id": o.operation_id,
                "state": o.state.value,
                "reason": None if o.reason is None else o.reason.code.value,
                "updated_at": o.updated_at.isoformat(),
            }
            for o in agreement.operations
        ],
        "version": agreement.version,
    }


def taken_document(one: Taken) -> dict[str, Any]:
    """A collection as JSON."""
    shown = one.shown
    return {
        "gateway_reference": shown.gateway_reference,
        "state": shown.state.value,
        "gateway_state": shown.raw_state,
        "amount": None if shown.amount is None else shown.amount.amount,
        "currency": None if shown.amount is None else shown.amount.currency,
        "transaction_id": shown.transaction_id,
        "occurred_at": None if shown.occurred_at is None else shown.occurred_at.isoformat(),
        "payment_id": None if one.facts is None else one.facts.payment.payment_id,
        "payment_state": None if one.facts is None else one.facts.payment.state.value,
        "missing": one.missing,
    }


def told(agreement: Agreement) -> Iterable[tuple[str, object]]:
    """An agreement as labels and values."""
    what = "subscription" if agreement.terms is not None else "agreement"
    yield "Agreement", agreement.agreement_key
    yield "What", f"{what} at {agreement.gateway} ({agreement.mode.value})"
    if agreement.terms is not None:
        yield "Booked under", agreement.merchant_reference
    if agreement.beside is not None:
        yield "Beside", f"{agreement.beside}: its payer consented on two of its pages, and both collect"
    yield "Payer", mask_account(agreement.payer_account) or "not known yet"
    yield "Since", moment(agreement.created_at)
    if agreement.expires_at is not None and agreement.state.value == "awaiting_payer":
        yield "Page until", moment(agreement.expires_at)
    for name, value in sorted((agreement.terms or {}).items()):
        if value is not None:
            yield _term(name, value)
    for operation in agreement.operations:
        yield "Operation", f"{operation.operation_id}: {operation.state.value}"


def _term(name: str, value: object) -> tuple[str, str]:
    """A term in words: `amount_minor` 15000 is "amount" 150.00 BDT, CALENDAR_MONTH is "calendar month"."""
    if name.endswith("_minor") and type(value) is int:
        name, value = name.removesuffix("_minor"), Money.from_minor(value, "BDT")
    elif type(value) is bool:
        value = "yes" if value else "no"
    elif isinstance(value, str) and value.isupper():
        value = value.replace("_", " ").lower()
    return f"Term: {name.replace('_', ' ')}", str(value)
