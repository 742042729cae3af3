"""Where a payout is asked for and asked about: what was typed, else where it was asked for first, else what the
environment says.

A payout remembers the running sandbox that it was asked for in, as a payment does. Its name, though, is its caller's,
and the same name may be meant for real money the next time. So it belongs to one place: it is never asked for in a
second one, and where a name could mean two payouts nothing is done until somebody says which.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vextrus_payments.cli.application import app_name, is_in_charge
from vextrus_payments.cli.home import Home
from vextrus_payments.cli.target import (
    Target,
    environment_target,
    is_configured,
    named_target,
    remembered_sandbox,
    required,
    sandbox_target,
)
from vextrus_payments.errors import ConflictError
from vextrus_payments.mode import Mode
from vextrus_payments.records import Payout

if TYPE_CHECKING:
    from vextrus_payments.app import Payments, TenantPayments


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was typed about where to work."""

    gateway: str
    tenant: str
    app: str | None
    sandbox: str | None
    store: str | None
    live: bool | None = None
    """Whether real money was asked for; None: the command moves none, and does not ask."""


def sandbox_of(payout: Payout) -> str | None:
    """The address of the sandbox that it was asked for in; None where it was asked for elsewhere."""
    # Real money is no sandbox's, whatever is written beside it.
    return remembered_sandbox(payout.metadata) if payout.mode is Mode.SANDBOX else None


def named_place(wish: Wish) -> Target | None:
    """Where a command works that is about no one payout; None: at the application's gateways.

    Raises:
        ConfigurationError, CredentialsMissingError, InvalidRequestError: see their messages.
    """
    if is_in_charge(wish.app, store=wish.store, sandbox=wish.sandbox):
        return None
    target = named_target(wish.gateway, sandbox=wish.sandbox, live=wish.live)
    return required(target, wish.gateway, or_app=True)


async def place_of(wish: Wish, operation_id: str, *, writes: bool = False) -> Target | None:
    """Where a command works that is about the payout of this name; None: at the application's gateways.

    Args:
        writes: it says something of the payout for ever, and moves nothing.

    Raises:
        ConflictError: the name is a sandbox's, and something else is meant, or may be.
        ConfigurationError, CredentialsMissingError, InvalidRequestError, StorageError: see their messages.
    """
    if is_in_charge(wish.app, store=wish.store, sandbox=wish.sandbox):
        return None
    home = Home.find(wish.store)
    moves = wish.live is not None
    if wish.sandbox is not None or wish.live:
        target = required(named_target(wish.gateway, sandbox=wish.sandbox, live=wish.live), wish.gateway)
        if moves and not (wish.live and await _in_mode(home, Mode.LIVE, wish.tenant, operation_id)):
            _check_its_own(await _in_mode(home, Mode.SANDBOX, wish.tenant, operation_id), target)
        return target
    known = await _in_mode(home, Mode.SANDBOX, wish.tenant, operation_id)
    url = None if known is None else sandbox_of(known)
    if known is None or url is None:
        return named_place(wish)
    real = await _in_mode(home, Mode.LIVE, wish.tenant, operation_id)
    if is_configured(wish.gateway) and environment_target(wish.gateway, live=None).config.mode is Mode.LIVE:
        if real is not None:
            return named_place(wish)
        if moves or writes:
            raise _which(known, url, "the environment names the live gateway")
    elif real is not None:
        raise _which(known, url, "a payout of real money has the same one")
    return sandbox_target(known.gateway, url)


async def check_first_here(wish: Wish, verbs: "Payments | TenantPayments", operation_id: str) -> None:
    """Refuse to have an application send what was asked for in a sandbox. Whoever types its name has said where.

    Args:
        verbs: the application's, open.

    Raises:
        ConflictError: the name is a sandbox's, the application does not know it, and only the environment names it.
        StorageError: a store cannot be read.
    """
    if wish.app is not None or await verbs.find_payout(operation_id) is not None:
        return
    known = await _in_mode(Home.as_it_is(), Mode.SANDBOX, wish.tenant, operation_id)
    url = None if known is None else sandbox_of(known)
    if known is None or url is None:
        return
    app = str(app_name(None))
    raise ConflictError(
        f"{known.operation_id} was asked for in the sandbox at {url}, and {app} does not know it: nothing was sent.",
        code="asked_for_elsewhere",
        next_step=f"To go on with that one: --sandbox {url}. What {app} is to send takes an --operation-id of its own, "
        f"or --app {app}.",
        operation_id=known.operation_id,
    )


async def _in_mode(home: Home, mode: Mode, tenant: str, operation_id: str) -> Payout | None:
    """The payout of that name and mode; the home folder gets no store by this."""
    store = home.existing_store(mode)
    if store is None:
        return None
    await store.open()
    try:
        found = await store.find_payout(tenant, operation_id)
    finally:
        await store.close()
    # A store that was named is for both modes.
    return found if found is not None and found.mode is mode else None


def _check_its_own(known: Payout | None, target: Target) -> None:
    """Refuse to ask for it in a second place: whoever did so would hear of the first, or send it twice."""
    url = None if known is None else sandbox_of(known)
    if known is None or url is None or url == target.sandbox_url:
        return
    elsewhere = f"the sandbox at {target.sandbox_url}" if target.sandbox_url else "the live gateway"
    raise ConflictError(
        f"{known.operation_id} was asked for in the sandbox at {url}, and belongs there: nothing was sent to "
        f"{elsewhere}.",
        code="asked_for_elsewhere",
        next_step=f"What is to be sent elsewhere takes an --operation-id of its own; to go on with that one: "
        f"--sandbox {url}",
        operation_id=known.operation_id,
    )


def _which(known: Payout, url: str, but: str) -> ConflictError:
    return ConflictError(
        f"{known.operation_id} was asked for in the sandbox at {url}, but {but}: nothing was done.",
        code="asked_for_elsewhere",
        next_step=f"For that one add --sandbox {url}. A real one needs the live credentials in the environment, and "
        "to be sent --live and an --operation-id of its own.",
        operation_id=known.operation_id,
    )
