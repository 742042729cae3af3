"""What `vextrus-pay demo --gateway GATEWAY --fault NAME` plays and makes go wrong, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

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


BKASH: Final = Cast(
    name="bkash",
    title="bKash",
    payer_completes=False,
    announces=True,
    forged_return="paymentID={reference}&status=success",
)
NAGAD: Final = Cast(
    name="nagad",
    title="Nagad",
    payer_completes=True,
    announces=False,
    forged_return="payment_ref_id={reference}&status=Success&status_code=00_0000_000",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One run of the demo: which faults are ordered when, and how the payer behaves."""

    name: str
    about: str
    cast: Cast = BKASH
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


_GONE: Final = {"operation": "execute", "fault": "drop_after"}
_BLIND: Final = {"operation": "query", "fault": "malformed_before", "times": 100}

PLAIN: Final = Script(name="", about="Everything goes well.")

_BKASH_SCRIPTS: Final = (
    Script(
        name="lost-answer",
        about="bKash takes the money, but its answer to execute never arrives.",
        at_return=(_GONE, _BLIND),
    ),
    Script(
        name="webhook",
        about="bKash takes the money, its answer never arrives, and its webhook is the first word of it.",
        at_return=(_GONE, _BLIND),
        webhook_settles=True,
    ),
    Script(
        name="double-click",
        about="Two tabs come back at the same moment, each to a server of its own.",
        tabs=2,
    ),
    Script(
        name="duplicate-return",
        about="The payer reloads the return page, twice.",
        reloads=2,
    ),
    Script(
        name="early-return",
        about="Somebody forges the return before the payer has confirmed anything.",
        early_return=True,
    ),
    Script(
        name="lost-create",
        about="bKash opens the payment, but its answer to create never arrives.",
        at_initialize=({"operation": "create", "fault": "drop_after"},),
    ),
    Script(
        name="lost-refund",
        about="bKash gives the money back, but its answer to refund never arrives.",
        at_refund=(
            {"operation": "refund", "fault": "drop_after"},
            # the list of refunds is read before the refund, as a baseline: that one is left alone
            {"operation": "refund_status", "fault": "delay;seconds=0"},
            {"operation": "refund_status", "fault": "malformed", "times": 100},
        ),
    ),
    Script(
        name="expired-token",
        about="The gateway's front door refuses the token in the middle of the payment.",
        at_return=({"operation": "execute", "fault": "expired_token"},),
    ),
    Script(
        name="declined",
        about="The payer's wallet has too little balance.",
        payer={"wallet": "01823074817"},
        ends="declined",
    ),
    Script(
        name="cancelled",
        about="The payer presses Cancel on the payment page.",
        button="Cancel",
        ends="declined",
    ),
)

_NAGAD_SCRIPTS: Final = (
    Script(
        cast=NAGAD,
        name="lost-look-up",
        about="The payer has paid, but no answer to a look-up can be read.",
        at_return=({"operation": "verify", "fault": "malformed_before", "times": 100},),
    ),
    Script(
        cast=NAGAD,
        name="double-click",
        about="Two tabs come back at the same moment, each to a server of its own.",
        tabs=2,
    ),
    Script(
        cast=NAGAD,
        name="duplicate-return",
        about="The payer reloads the return page, twice.",
        reloads=2,
    ),
    Script(
        cast=NAGAD,
        name="early-return",
        about="Somebody forges the return before the payer has paid anything.",
        early_return=True,
    ),
    Script(
        cast=NAGAD,
        name="lost-complete",
        about="Nagad opens the page, but its answer to complete never arrives.",
        at_initialize=({"operation": "complete", "fault": "drop_after"},),
    ),
    Script(
        cast=NAGAD,
        name="lost-refund",
        about="Nagad gives the money back, but its answer to the refund never arrives.",
        at_refund=(
            {"operation": "refund", "fault": "drop_after"},
            # the payment is verified before the refund, as a baseline: that one is left alone
            {"operation": "verify", "fault": "delay;seconds=0"},
            {"operation": "verify", "fault": "malformed", "times": 100},
        ),
    ),
    Script(
        cast=NAGAD,
        name="wrong-key",
        about="An answer comes that somebody else has signed.",
        at_initialize=({"operation": "initialize", "fault": "wrong_key"},),
    ),
)

SCRIPTS: Final[Mapping[str, Script]] = {script.name: script for script in _BKASH_SCRIPTS}

PLAYS: Final[Mapping[str, Mapping[str, Script]]] = {
    BKASH.name: {"": PLAIN, **SCRIPTS},
    NAGAD.name: {"": replace(PLAIN, cast=NAGAD), **{script.name: script for script in _NAGAD_SCRIPTS}},
}
"""Gateway -> the name of a fault -> its script; the one without a name goes well."""
