"""The gateway's front door: what lets a request in, and the answers that stand before any business logic."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from vextrus_payments.errors import AuthenticationRejectedError, Effect, GatewayError, ThrottledError
from vextrus_payments.retry import retry_after_of
from vextrus_payments.wire import Send, WireResponse


@dataclass(frozen=True, slots=True)
class Authorization:
    """What lets a request in: headers made once per token and kept by the adapter. `repr` hides them.

    Attributes:
        headers: put in front of the request's own.
        version: names the token behind them; it tells a fresh token from the one that was rejected.
    """

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    version: str


class FrontDoor(StrEnum):
    """An answer given before any business logic: nothing moved. An adapter lists the very bodies that count.

    The value is the code of the error that is raised; a generator may compare `error.code` with it.
    """

    TOKEN_REJECTED = "token_rejected"
    """Our token is expired or not accepted: the one case that is replayed."""
    ROUTE = "wrong_route"
    """There is no such route here."""
    THROTTLED = "throttled"
    """Too many requests."""
    MISSING_HEADER = "missing_header"
    """A required header did not arrive."""


_DOORS: Final = {
    FrontDoor.TOKEN_REJECTED: "The gateway's front door rejected our token.",
    FrontDoor.ROUTE: "The gateway's front door knows no such route: probably the wrong product or API root.",
    FrontDoor.THROTTLED: "The gateway's front door answered that there were too many requests.",
    FrontDoor.MISSING_HEADER: "The gateway's front door missed a required header.",
}


def refused_at(door: FrontDoor, response: WireResponse, send: Send) -> GatewayError:
    """The error of a front-door answer: nothing moved, whatever the step's safety."""
    what, code, status, step = _DOORS[door], door.value, response.status, send.name
    if door is FrontDoor.THROTTLED:
        wait_s = retry_after_of(response)
        return ThrottledError(
            what,
            code=code,
            http_status=status,
            step=step,
            retry_after_s=None if wait_s is None else int(wait_s),
        )
    if door is FrontDoor.TOKEN_REJECTED:
        return AuthenticationRejectedError(what, code=code, http_status=status, step=step)
    return GatewayError(
        what,
        code=code,
        http_status=status,
        step=step,
        effect=Effect.NONE,
        next_step="Check the API URL and the credentials' product.",
    )
