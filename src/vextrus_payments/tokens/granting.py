"""How a token comes to be: found in the backend, granted under a reserved slot, or waited for.

Order of steps, each for a reason: look (somebody may have one) · reserve (durably, before anything is sent) · look
again (somebody may have finished between our look and our reservation) · grant · keep the token and close the slot.

Holders (TokenKey.holder) of one key share its slots, so wrong credentials cost the right ones a grant. They cost them
one: a holder whose credentials a full grant proved wrong is not let near the slots again, in this process, until the
budget's window after it is over.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    NotSentError,
    PaymentsError,
    ThrottledError,
)
from vextrus_payments.ids import Entropy
from vextrus_payments.observe import Observer
from vextrus_payments.token_budget import (
    GrantAsk,
    GrantBudget,
    GrantBusy,
    GrantEnd,
    GrantExhausted,
    GrantReserved,
)
from vextrus_payments.token_port import Grant, GrantOrder, Token, TokenBackend, TokenKey
from vextrus_payments.wire import SendBy

_FIRST_POLL_S: Final = 0.02
_LAST_POLL_S: Final = 0.5
_SLACK_S: Final = 5.0


def shortest_lease_s(answer_s: float) -> float:
    """A lease must be longer than this, or others would stop waiting while the grant's answer may still come."""
    return answer_s + 2 * _SLACK_S


def random_share(entropy: Entropy) -> float:
    """Evenly spread over [0, 1)."""
    return int.from_bytes(entropy.token_bytes(4)) / 2**32


def error_code(error: Exception) -> str:
    """The error's short code, else the name of its class: fit for logs and for the grant log."""
    return error.code if isinstance(error, PaymentsError) else type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one flight is after.

    Attributes:
        wanted: whether a token found in the backend will do; never another holder's.
        stopped: whether waiting for other processes should end.
    """

    key: TokenKey
    grant: Grant
    budget: GrantBudget
    wanted: Callable[[Token], bool]
    stopped: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A holder's credentials were refused, with this code; not to be tried until then, by the monotonic clock."""

    code: str
    until_s: float


class Granting:
    """Brings tokens, at most one grant at a time per key over all processes that share the backend."""

    def __init__(
        self,
        backend: TokenBackend,
        *,
        clock: Clock,
        sleeper: Sleeper,
        entropy: Entropy,
        observer: Observer,
        lease_s: float,
        answer_s: float,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._sleeper = sleeper
        self._entropy = entropy
        self._observer = observer
        self._lease_s = lease_s
        self._answer_s = answer_s
        # Bounded by itself: each took a slot of a budget, and goes when that slot's window is over.
        self._refusals: dict[tuple[str, str], _Refusal] = {}

    async def obtain(self, wish: Wish) -> Token:
        """A token that is wanted, or a fresh one.

        Raises:
            ThrottledError: "grant_budget": the budget is used up; "grant_busy": another process kept its lease for
                too long. Nothing was sent.
            AuthenticationRejectedError: the gateway refused this holder's credentials not a window ago.
            Exception: whatever the grant raised.
        """
        give_up_at = self._clock.monotonic() + 2 * self._lease_s
        may_refresh = True
        poll_s = _FIRST_POLL_S
        while True:
            found = await self._backend.get(wish.key)
            if found is not None and wish.wanted(found):
                return found
            self._stop_the_refused(wish.key)
            ask, send_by = self._ask(wish.budget)
            decision = await self._backend.reserve_grant(wish.key, ask)
            if isinstance(decision, GrantReserved):
                token = await self._use(wish, decision.permit, send_by, may_refresh)
                if token is not None:
                    return token
                may_refresh = False
            elif isinstance(decision, GrantExhausted):
                found = await self._backend.get(wish.key)
                if found is not None and wish.wanted(found):
                    return found  # the last slot's own token, kept between our look and our asking
                self._observer.event(
                    "token.budget_used_up", key=wish.key.short, retry_after_s=decision.retry_after_s
                )
                raise _budget_used_up(decision, wish.budget)
            else:
                if wish.stopped() or self._clock.monotonic() >= give_up_at:
                    raise _still_busy(decision)
                await self._sleeper.sleep(poll_s * (0.5 + random_share(self._entropy)))
                poll_s = min(poll_s * 2, _LAST_POLL_S)

    def _ask(self, budget: GrantBudget) -> tuple[GrantAsk, SendBy]:
        # Measured before the reservation: however long it takes, the first byte leaves early enough for the
        # answer to come before the lease ends.
        now, send_s = self._clock.now(), self._lease_s - self._answer_s - _SLACK_S
        send_by = SendBy(now + timedelta(seconds=send_s), self._clock.monotonic() + send_s)
        ask = GrantAsk(
            permit=self._entropy.token_bytes(8).hex(),
            now=now,
            limit=budget.limit,
            window_s=budget.window_s,
            lease_s=self._lease_s,
        )
        return ask, send_by

    async def _use(self, wish: Wish, permit: str, send_by: SendBy, may_refresh: bool) -> Token | None:
        """The token; None when the gateway refused to refresh and a full grant is to be made in its place."""
        token: Token | None = None
        previous: Token | None = None
        sent, failure = False, None
        try:
            found = await self._backend.get(wish.key)
            if found is not None and wish.wanted(found):
                return found
            if may_refresh and found is not None and found.refresh is not None and found.is_held_by(wish.key):
                previous = found
            # From here on nobody but NotSentError proves that nothing was sent; a cancelled task proves nothing.
            sent, failure = True, "cancelled"
            brought = await wish.grant(GrantOrder(previous=previous, send_by=send_by))
            token = replace(brought, holder=wish.key.holder)
            failure = None
            return token
        except NotSentError as error:
            sent, failure = False, error.code
            raise
        except (AuthenticationRejectedError, DeclinedError) as error:
            failure = error.code
            if previous is None:
                self._remember_refusal(wish, error.code)
                raise
            return None
        except Exception as error:
            failure = error_code(error)
            raise
        finally:
            end = GrantEnd(permit=permit, now=self._clock.now(), sent=sent, failure=failure)
            await self._finish(wish.key, end, token)
            if sent:
                self._observer.event(
                    "token.granted" if token is not None else "token.grant_failed",
                    key=wish.key.short,
                    refreshed=previous is not None,
                    code=failure,
                )

    def _stop_the_refused(self, key: TokenKey) -> None:
        refusal = self._refusals.get((key.digest, key.holder))
        if refusal is None:
            return
        wait_s = math.ceil(refusal.until_s - self._clock.monotonic())
        if wait_s > 0:
            raise _refused_before(refusal.code, wait_s)

    def _remember_refusal(self, wish: Wish, code: str) -> None:
        key, now_s = wish.key, self._clock.monotonic()
        if not key.holder:
            return  # without the secrets nobody can tell these credentials from the ones that mend them
        self._refusals = {who: past for who, past in self._refusals.items() if past.until_s > now_s}
        self._refusals[key.digest, key.holder] = _Refusal(code, now_s + wish.budget.window_s)

    async def _finish(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        try:
            await self._backend.finish_grant(key, end, token)
        except Exception as error:  # noqa: BLE001 - a token in hand is used, even when it cannot be kept
            # The slot stays reserved, so the budget is safe; other processes wait until the lease ends.
            self._observer.event("token.not_recorded", key=key.short, code=error_code(error))


def _budget_used_up(decision: GrantExhausted, budget: GrantBudget) -> ThrottledError:
    what = (
        f"The grant budget is used up: the gateway allows {budget.limit} token grants in {budget.window_s} s,"
        " refreshes included, and blocks a merchant who asks more often. Nothing was sent."
    )
    if decision.unreadable:
        what += " The record of past grants could not be read, and for safety counts as used up."
    if decision.failure is not None:
        what += f" The last grant ended with {decision.failure!r}: mend that first."
    return ThrottledError(
        what,
        code="grant_budget",
        retry_after_s=decision.retry_after_s,
        next_step=f"Try again in {decision.retry_after_s} s.",
        context={"last_failure": decision.failure, "record_unreadable": decision.unreadable},
    )


def _refused_before(code: str, wait_s: int) -> AuthenticationRejectedError:
    return AuthenticationRejectedError(
        "The gateway refused these credentials a while ago. They were not sent again: every attempt takes one of the"
        " few token grants that the gateway allows to the merchant they name. Nothing was sent.",
        code=code,
        next_step=f"Correct the app secret and the password; these very ones are tried again in {wait_s} s.",
        context={"retry_after_s": wait_s},
    )


def _still_busy(decision: GrantBusy) -> ThrottledError:
    wait_s = max(1, round(decision.retry_after_s))
    return ThrottledError(
        "Another process is asking the gateway for a token and has not finished yet. Nothing was sent.",
        code="grant_busy",
        retry_after_s=wait_s,
        next_step=f"Try again in {wait_s} s.",
    )
