"""What the payer did on a hosted page, as the record tells it: which step, and whether it was right.

What was typed is never kept: not a code, not a PIN, and of a wallet number only one that is a test wallet's.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urlsplit

from vextrus_payments_sandbox.notation import iso
from vextrus_payments_sandbox.redacting import url_shown
from vextrus_payments_sandbox.world import World

_P = ParamSpec("_P")
_Rules = TypeVar("_Rules", bound=Any)
_Payment = TypeVar("_Payment", bound=Any)
_Done = TypeVar("_Done", bound=bool | None)

_TITLES: Final[dict[str, tuple[str, str]]] = {
    "opened": ("The payer opened the page", ""),
    "wallet": ("Wallet number: {wallet}", "Wallet number: no test wallet"),
    "otp": ("Code: right", "Code: wrong"),
    "pin": ("PIN: right", "PIN: wrong"),
    "cancel": ("The payer left by Cancel", ""),
    "resend": ("The code was sent again", "The code was asked for too often"),
}
"""Step -> how it is told when right, and when wrong."""
_LATE: Final[dict[str, str]] = {
    "otp": "The time for the code ran out",
    "pin": "The time for the PIN ran out",
}


def noted(
    gateway: str, step: str, reference_of: Callable[[_Payment], str]
) -> Callable[
    [Callable[Concatenate[_Rules, _Payment, _P], _Done]], Callable[Concatenate[_Rules, _Payment, _P], _Done]
]:
    """Tell the record of a step whose method has a payment and answers whether it was right (or nothing at all).

    The opening of a page is told once for each payment, however often it is loaded again.
    """
    right_title, wrong_title = _TITLES[step]

    def decorate(
        act: Callable[Concatenate[_Rules, _Payment, _P], _Done],
    ) -> Callable[Concatenate[_Rules, _Payment, _P], _Done]:
        @wraps(act)
        def acted(self: _Rules, payment: _Payment, /, *given: _P.args, **more: _P.kwargs) -> _Done:
            world: World = self.world
            reference = reference_of(payment)
            if step == "opened" and _was_opened(world, gateway, reference):
                return act(self, payment, *given, **more)
            entry = world.record.add("page", gateway, reference, step, step=step, right=None, state="")
            done = act(self, payment, *given, **more)  # the money that it moves comes behind it
            right = done is not False
            number = payment.wallet.number if payment.wallet is not None else ""
            row = world.gateways[gateway].row(reference) if gateway in world.gateways else None
            world.record.change(
                entry,
                title=(right_title if right else wrong_title).format(wallet=number),
                right=right,
                state=row.state if row is not None else "",
            )
            return done

        return acted

    return decorate


def sent_back(world: World, gateway: str, reference: str, url: str) -> str:
    """The browser is led back to the shop; returns the address, so that it can be told on the way there."""
    status = next((value for name, value in parse_qsl(urlsplit(url).query) if name == "status"), "")
    title = f"Sent back to the shop: {status}" if status else "Sent back to the shop"
    world.record.add("page", gateway, reference, title, step="returned", right=True, url=url_shown(url))
    return url


def ran_out(world: World, gateway: str, reference: str, step: str, until: datetime, state: str) -> None:
    """The time of a page, or of one step of it, was over. It is told when somebody asks, and names when it was."""
    title = _LATE.get(step, "The page expired")
    world.record.add("page", gateway, reference, title, step=step, right=False, state=state, until=iso(until))


def _was_opened(world: World, gateway: str, reference: str) -> bool:
    return any(entry.detail.get("step") == "opened" for entry in world.record.of(gateway, reference))
