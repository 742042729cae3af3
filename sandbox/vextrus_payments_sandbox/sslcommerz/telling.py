"""How the record is told of a payer's steps, and what a session's state is called."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from vextrus_payments.gateways.sslcommerz.models import Status
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Session
from vextrus_payments_sandbox.world import World

STEPS: Final = {Status.CANCELLED: "cancel"}
ENDS: Final = {
    Status.CANCELLED: "The payer left by Cancel",
    Status.UNATTEMPTED: "The session ends: no way to pay was chosen",
    Status.EXPIRED: "The session's time is over",
}


@dataclass(slots=True)
class Said:
    """How a step is told."""

    title: str
    right: bool = True


@contextmanager
def told(world: World, session: Session, step: str, title: str) -> Iterator[Said]:
    """Tell the record of a step of the payer; the money that it moves stands behind it."""
    said = Said(title)
    entry = world.record.add(
        "page", GATEWAY, session.key, title, step=step, right=None, state=state_of(session).value
    )
    yield said
    world.record.change(entry, title=said.title, right=said.right, state=state_of(session).value)


def state_of(session: Session) -> Status:
    """The session's state in SSLCommerz's words: PROCESSING while nobody has tried."""
    best = session.best
    return Status.PROCESSING if best is None else best.shown
