"""Whose payouts a command works on: the application's, or those of the home folder at a gateway that is named."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from vextrus_payments.cli.application import opened, required_app
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.home import Home
from vextrus_payments.cli.look import line
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.payout_places import Wish, sandbox_of
from vextrus_payments.cli.target import Target, check_meant
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.money import Money
from vextrus_payments.printable import one_line
from vextrus_payments.records import PAYOUT_CONTRADICTED, PAYOUT_REVIEWED, Flag, Payout, ResolutionVerdict
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.secret import mask_account
from vextrus_payments.states import OPEN_STATES

if TYPE_CHECKING:
    from vextrus_payments.app import Payments, TenantPayments


@asynccontextmanager
async def payouts_of(wish: Wish, target: Target | None) -> "AsyncIterator[Payments | TenantPayments]":
    """The verbs, open: the application's, or those of the target with the named store or that of the home folder.

    A store that is typed counts for more than an application that the environment names, as for every other command:
    whoever repeats a payout with the store that knows it must not have it paid out by another one that does not.

    Args:
        wish: what was typed.
        target: what `named_place` or `place_of` made of it; None: the application is asked.

    Raises:
        ConfigurationError, CredentialsMissingError, InvalidRequestError: see their messages.
    """
    tenant = wish.tenant
    if target is None:
        payments = required_app(wish.app, "payout")
        async with opened(payments):
            plain = tenant == DEFAULT_TENANT and not payments.setup.has_tenants
            verbs = payments if plain else payments.for_tenant(tenant)
            if wish.live is not None:
                mode = (await payments.gateway_of(tenant, wish.gateway)).mode
                check_meant(mode, wish.gateway, live=wish.live)
            yield verbs
        return
    from vextrus_payments.app import Payments

    home = Home.find(wish.store)
    payments = Payments(
        store=home.store(target.config.mode),
        gateways={target.gateway: target.config},
        tokens=home.tokens(),
        workers=False,
    )
    async with payments:
        # Of a tenant whose credentials are not here nothing is sent, and nobody else's payouts are shown as his.
        yield payments if tenant == DEFAULT_TENANT else payments.for_tenant(tenant)


def payout_document(payout: Payout) -> dict[str, Any]:
    """A payout or transfer as JSON: money as text, times in ISO 8601, the receiver masked."""
    operation = payout.operation
    return {
        "payout_id": payout.payout_id,
        "operation_id": operation.operation_id,
        "gateway": payout.gateway,
        "mode": payout.mode.value,
        "sandbox": sandbox_of(payout),
        "kind": payout.kind.value,
        "direction": None if payout.direction is None else payout.direction.value,
        "amount": payout.amount.amount,
        "currency": payout.amount.currency,
        "receiver": mask_account(payout.receiver),
        "reference": payout.reference,
        "state": payout.state.value,
        "in_review": payout.in_review,
        "transaction_id": operation.transaction_id,
        "reason": None if operation.reason is None else operation.reason.code.value,
        "created_at": payout.created_at.isoformat(),
        "updated_at": operation.updated_at.isoformat(),
        "version": payout.version,
        "balances": [
            {"step": one.step, "accounts": one.data.get("accounts")}
            for one in operation.evidence
            if "accounts" in one.data
        ],
        "said": [
            {"actor": r.actor, "verdict": r.verdict.value, "reason": r.reason, "at": r.at.isoformat()}
            for r in payout.resolutions
        ],
    }


def hints(payout: Payout) -> list[str]:
    """What the balances before and after say, in sentences: a hint for whoever has to find out."""
    told = []
    for one in payout.operation.evidence:
        accounts = one.data.get("accounts")
        if not isinstance(accounts, list) or not accounts:
            continue
        when = "Before it was sent" if one.step.endswith("baseline") else "After it"
        named = [
            f"{row[1]} {Money.from_minor(row[2], payout.amount.currency)}"
            for row in accounts
            if isinstance(row, list) and len(row) == 3 and isinstance(row[2], int)
        ]
        if named:
            told.append(f"{when}: {', '.join(named)}")
    return told


#: Who says so, why, on what evidence, and which version was looked at.
Said = tuple[str | None, str | None, tuple[str, ...], int | None]


def verdict_of(
    *, made: str | None, not_made: bool, cleared: bool, taken_back: bool = False
) -> ResolutionVerdict | None:
    """What is said by the options; None: nothing yet.

    Raises:
        click.UsageError: more than one thing.
    """
    given = [
        verdict
        for verdict, is_given in (
            (ResolutionVerdict.MADE, made is not None),
            (ResolutionVerdict.NOT_MADE, not_made),
            (ResolutionVerdict.CLEARED, cleared),
            (ResolutionVerdict.TAKEN_BACK, taken_back),
        )
        if is_given
    ]
    if len(given) > 1:
        raise click.UsageError("Give one of --made, --not-made, --cleared and --taken-back.")
    return given[0] if given else None


def answer_of(
    payout: Payout, verdict: ResolutionVerdict, *, made: str | None, amount: Money | None, said: Said
) -> ResolveRequest:
    """A person's answer; `made` is the gateway's transaction id, of what was made.

    Raises:
        click.BadParameter: it names the options that are missing.
    """
    actor, reason, evidence, reviewed = said
    if actor is None or reason is None or not evidence or reviewed is None:
        options = ("--actor", "--reason", "--evidence", "--reviewed")
        missing = ", ".join(name for name, given in zip(options, said, strict=True) if not given)
        raise click.BadParameter("is missing: the answer is kept with it.", param_hint=missing)
    return ResolveRequest(
        payment_id=payout.payout_id,
        verdict=verdict,
        actor=actor,
        reason=reason,
        evidence=evidence,
        reviewed_version=reviewed,
        operation_id=None if verdict is ResolutionVerdict.CLEARED else payout.operation_id,
        # "-" is what `resolve` takes where a void has none; here a transaction of that name would be booked.
        transaction_id=None if made == "-" else made,
        amount=amount,
    )


def said_of(payout: Payout) -> str:
    """How it stands, in a word or two."""
    return f"{payout.state.value}, under review" if payout.in_review else payout.state.value


def told_otherwise(payout: Payout) -> list[str]:
    """What the gateway tells otherwise than the books, in sentences, for whoever has to compare the two."""
    if not payout.in_review:
        return []
    booked = [
        f"Booked: {r.amount} under {one_line(r.transaction_id)}"
        + (", on a person's word" if Flag.BY_OPERATOR in r.flags else "")
        + (", after it was called not made: did somebody pay again?" if Flag.LATE in r.flags else "")
        for r in payout.standing
    ]
    told: list[str] = []
    for one in payout.operation.evidence:
        if one.step == PAYOUT_REVIEWED:
            told = []  # answered before
        elif one.step == PAYOUT_CONTRADICTED:
            minor, other = one.data.get("amount_minor"), one.data.get("payout")
            amount = str(Money.from_minor(minor, payout.amount.currency)) if isinstance(minor, int) else "it"
            too = f"; {one_line(other)} is in question by it too" if isinstance(other, str) else ""
            told.append(
                f"The gateway says: {amount} under {one_line(str(one.data.get('transaction_id')))}{too}"
            )
    return booked + told


def show_known(payout: Payout, *, as_json: bool) -> int:
    """What is known, for somebody who is about to say how it ended."""
    is_open = payout.state in OPEN_STATES
    if as_json:
        emit_json({"payout": payout_document(payout), "version": payout.version, "exit_code": int(Exit.DONE)})
        return Exit.DONE
    out = console()
    line(out, f"{payout.kind.value} of {payout.amount}, {one_line(payout.reference)}: {said_of(payout)}")
    sandbox = sandbox_of(payout)
    if sandbox is not None:
        line(out, f"It was asked for in the sandbox at {one_line(sandbox)}: no real money.")
    for sentence in (*told_otherwise(payout), *hints(payout)):
        line(out, sentence)
    if is_open and hints(payout):
        line(out, "What the balances say is a hint: others pay out too, and money comes in.")
    line(out, f"The gateway knows it as {payout.payout_id}.")
    line(out, f"This is version {payout.version}: pass --reviewed {payout.version}")
    return Exit.DONE


def show_resolved(payout: Payout, *, as_json: bool) -> int:
    """A person's answer was recorded."""
    if as_json:
        emit_json({"payout": payout_document(payout), "recorded": True, "exit_code": 0})
    else:
        say(f"Recorded: {said_of(payout)}.")
    return Exit.DONE
