"""What a script of `vextrus-pay demo` is made of. Each gateway's folder holds its own (``plays.py``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: An order for `POST /_sandbox/faults`.
Order = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Which gateway plays, and how it behaves."""

    name: str
    title: str
    payer_completes: bool
    """The payer's last click moves the money; coming back is only a look-up."""
    announces: bool
    """Payments are announced by webhook."""
    forged_return: str
    """The query of a made-up return, with the gateway's reference in place of {reference}."""
    fault: str
    """The script to try next that goes wrong in the most telling way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One run of the demo: which faults are ordered when, and how the payer behaves."""

    name: str
    about: str
    cast: Cast
    at_initialize: tuple[Order, ...] = ()
    at_return: tuple[Order, ...] = ()
    at_refund: tuple[Order, ...] = ()
    payer: Mapping[str, str] = field(default_factory=dict)
    """What this payer types instead of what the good test customer would."""
    button: str = "Confirm"
    early_return: bool = False
    """Somebody opens a made-up return address before the payer has confirmed anything."""
    tabs: int = 1
    """How many tabs come back at the same moment, each to a server of its own."""
    webhook_settles: bool = False
    """Nobody looks the unknown up: the webhook is the first word of it."""
    reloads: int = 0
    """How often the return page is loaded again afterwards."""
    ends: str = "paid"
    """The outcome the story must have."""


def good(cast: Cast) -> Script:
    """The one that is played unless another is asked for."""
    return Script(cast=cast, name="", about="Everything goes well.")


def restless(cast: Cast, *, done: str) -> tuple[Script, ...]:
    """What payers, and others, do to the return page of every gateway. `done`: what the payer has done by then."""
    return (
        Script(
            cast=cast,
            name="double-click",
            about="Two tabs come back at the same moment, each to a server of its own.",
            tabs=2,
        ),
        Script(
            cast=cast,
            name="duplicate-return",
            about="The payer reloads the return page, twice.",
            reloads=2,
        ),
        Script(
            cast=cast,
            name="early-return",
            about=f"Somebody forges the return before the payer has {done} anything.",
            early_return=True,
        ),
    )
