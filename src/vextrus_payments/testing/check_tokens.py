"""check_token_backend(): what every keeper of tokens and grant logs must do, told by doing it.

Use it from a test of your backend:

    async def test_my_backend(tmp_path):
        async def make():
            return MyBackend(tmp_path / uuid4().hex)
        await check_token_backend(make)

Time comes from what the methods are handed, so nothing here waits.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from vextrus_payments.secret import Secret
from vextrus_payments.token_budget import (
    GrantAsk,
    GrantBusy,
    GrantDecision,
    GrantEnd,
    GrantExhausted,
    GrantReserved,
)
from vextrus_payments.token_port import Token, TokenBackend, TokenKey

_NOON: Final = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
_KEY: Final = TokenKey.of("https://gateway.example/v1", "check-key", "check-user")
_OTHER_KEY: Final = TokenKey.of("https://gateway.example/v1", "check-key", "other-user")
_HELD_KEY: Final = TokenKey.of(
    "https://gateway.example/v1", "check-key", "check-user", secrets=("check-secret", "check-password")
)
_LIMIT: Final = 2
_WINDOW_S: Final = 3600
_LEASE_S: Final = 90.0
_CROWD: Final = 40


class TokenBackendError(AssertionError):
    """A backend breaks a rule of the tokens port; the message says which."""


async def check_token_backend(
    make_backend: Callable[[], Awaitable[TokenBackend]],
    *,
    reopen: Callable[[TokenBackend], Awaitable[TokenBackend]] | None = None,
) -> None:
    """Judge a TokenBackend.

    Args:
        make_backend: a new, empty backend at each call.
        reopen: what another process would see: a second backend on the storage of the first one. Required where the
            backend calls itself durable.

    Raises:
        TokenBackendError: a rule is broken.
    """
    for check in _CHECKS:
        await check(await make_backend())
    backend = await make_backend()
    if reopen is not None:
        await _shared_and_kept(backend, reopen)
    else:
        _demand(not backend.durable, "a durable backend is checked with `reopen`")


def _demand(holds: bool, rule: str) -> None:
    if not holds:
        raise TokenBackendError(rule)


def _token(name: str, at: datetime = _NOON, *, refresh: bool = True, holder: str = "") -> Token:
    return Token(
        access=Secret(f"access-{name}"),
        refresh=Secret(f"refresh-{name}-\u0995") if refresh else None,
        issued_at=at,
        expires_at=at + timedelta(seconds=3300),
        version=f"version-{name}",
        ends_at=at + timedelta(seconds=3600) if refresh else None,
        holder=holder,
    )


def _after(seconds: float) -> datetime:
    return _NOON + timedelta(seconds=seconds)


async def _ask(
    backend: TokenBackend, permit: str, after_s: float = 0.0, key: TokenKey = _KEY
) -> GrantDecision:
    ask = GrantAsk(permit=permit, now=_after(after_s), limit=_LIMIT, window_s=_WINDOW_S, lease_s=_LEASE_S)
    return await backend.reserve_grant(key, ask)


async def _end(
    backend: TokenBackend,
    permit: str,
    after_s: float = 0.0,
    *,
    sent: bool = True,
    token: Token | None = None,
    failure: str | None = None,
) -> None:
    end = GrantEnd(permit=permit, now=_after(after_s), sent=sent, failure=failure)
    await backend.finish_grant(_KEY, end, token)


async def _tokens_come_back_whole(backend: TokenBackend) -> None:
    _demand(await backend.get(_KEY) is None, "an empty backend has no token")
    for token in (_token("a"), _token("b", refresh=False)):
        await backend.put(_KEY, token)
        _demand(await backend.get(_KEY) == token, "a token comes back as it was put, to the millisecond")
    _demand(await backend.get(_OTHER_KEY) is None, "a key sees its own token only")


async def _holders_share_a_row_and_a_budget(backend: TokenBackend) -> None:
    await backend.put(_KEY, _token("a"))
    held = _token("b", holder=_HELD_KEY.holder)
    await backend.put(_HELD_KEY, held)
    for key in (_HELD_KEY, _KEY):
        found = await backend.get(key)
        _demand(
            found == held,
            "a token comes back with its holder, whoever asks: the last one put replaces another holder's",
        )
    _demand(await _ask(backend, "p1") == GrantReserved("p1"), "the first to ask gets the slot")
    busy = await _ask(backend, "p2", 30, key=_HELD_KEY)
    _demand(busy == GrantBusy(_LEASE_S - 30), "the holders of one merchant share its slots")
    await _end(backend, "p1", 31, token=_token("c"))
    _demand(await backend.get(_HELD_KEY) == _token("c"), "a grant's token replaces another holder's")


async def _drop_compares(backend: TokenBackend) -> None:
    _demand(not await backend.drop(_KEY, "version-a"), "there is nothing to drop in an empty backend")
    await backend.put(_KEY, _token("b"))
    _demand(not await backend.drop(_KEY, "version-a"), "a token of another version is not dropped")
    _demand(await backend.get(_KEY) == _token("b"), "a token of another version stays")
    _demand(not await backend.drop(_OTHER_KEY, "version-b"), "another key's token is not dropped")
    dropped = await asyncio.gather(*(backend.drop(_KEY, "version-b") for _ in range(_CROWD)))
    _demand(dropped.count(True) == 1, "of many who drop one token exactly one did it")
    _demand(await backend.get(_KEY) is None, "a dropped token is gone")


async def _one_lease_at_a_time(backend: TokenBackend) -> None:
    _demand(await _ask(backend, "p1") == GrantReserved("p1"), "the first to ask gets the slot")
    _demand(await _ask(backend, "p1") == GrantReserved("p1"), "asking again under one permit gets one answer")
    busy = await _ask(backend, "p2", 30)
    _demand(busy == GrantBusy(_LEASE_S - 30), "while a grant is under way others wait, to its lease's end")
    _demand(await _ask(backend, "q1", key=_OTHER_KEY) == GrantReserved("q1"), "keys do not share slots")
    _demand(
        await _ask(backend, "p3", _LEASE_S) == GrantReserved("p3"),
        "a lease that ended without an end frees the way",
    )
    await _end(backend, "p3", _LEASE_S + 1)
    exhausted = await _ask(backend, "p4", _LEASE_S + 2)
    _demand(
        exhausted == GrantExhausted(_WINDOW_S - 2),
        "a grant that nobody ended counts from its lease's end: it may have reached the gateway",
    )


async def _the_budget_holds(backend: TokenBackend) -> None:
    for permit, at in (("p1", 0.0), ("p2", 600.0)):
        _demand(
            await _ask(backend, permit, at) == GrantReserved(permit), "within the limit everyone gets a slot"
        )
        await _end(backend, permit, at + 10, failure="answer_timeout")
    _demand(
        await _ask(backend, "p3", 1200) == GrantExhausted(10 + _WINDOW_S - 1200, failure="answer_timeout"),
        "beyond the limit: until the oldest grant's end is a window ago, with the last failure's code",
    )
    await backend.put(_KEY, _token("a"))
    await backend.drop(_KEY, "version-a")
    _demand(
        isinstance(await _ask(backend, "p4", 10 + _WINDOW_S - 1), GrantExhausted),
        "neither a put nor a drop forgets a grant",
    )
    _demand(
        await _ask(backend, "p5", 10 + _WINDOW_S) == GrantReserved("p5"), "a slot is free after the window"
    )


async def _only_the_unsent_is_given_back(backend: TokenBackend) -> None:
    for turn in range(5):
        permit = f"p{turn}"
        _demand(await _ask(backend, permit) == GrantReserved(permit), "an unsent grant gives its slot back")
        await _end(backend, permit, sent=False, failure="not_sent")
    await _end(backend, "unknown", sent=True)
    _demand(await _ask(backend, "p6") == GrantReserved("p6"), "one slot is left")
    await _end(backend, "p6")
    _demand(
        isinstance(await _ask(backend, "p7"), GrantExhausted),
        "a grant that ended counts even when its reservation is not there any more",
    )


async def _an_end_keeps_its_token(backend: TokenBackend) -> None:
    await _ask(backend, "p1")
    await _end(backend, "p1", 5, token=_token("a"))
    _demand(await backend.get(_KEY) == _token("a"), "the token is kept with the end of its grant")
    await _ask(backend, "p2", 10)
    await _end(backend, "p2", 11)
    _demand(await backend.get(_KEY) == _token("a"), "an end without a token takes none away")


async def _the_overtaken_do_not_overwrite(backend: TokenBackend) -> None:
    await _ask(backend, "slow")
    await _ask(backend, "quick", _LEASE_S + 1)
    await _end(backend, "quick", _LEASE_S + 2, token=_token("new"))
    await _end(backend, "slow", _LEASE_S + 3, token=_token("old"))
    _demand(
        await backend.get(_KEY) == _token("new"),
        "a grant that was overtaken does not replace the newer token",
    )
    await backend.drop(_KEY, "version-new")
    await _end(backend, "slow", _LEASE_S + 4, token=_token("old"))
    _demand(await backend.get(_KEY) == _token("old"), "where there is no token, any is better than none")


async def _a_crowd_gets_one_slot(backend: TokenBackend) -> None:
    answers = await asyncio.gather(*(_ask(backend, f"p{n}") for n in range(_CROWD)))
    reserved = [answer for answer in answers if isinstance(answer, GrantReserved)]
    _demand(len(reserved) == 1, f"of {_CROWD} who ask at once one gets the slot, not {len(reserved)}")
    _demand(
        sum(isinstance(answer, GrantBusy) for answer in answers) == _CROWD - 1,
        "and all others are told to wait",
    )


async def _shared_and_kept(
    backend: TokenBackend, reopen: Callable[[TokenBackend], Awaitable[TokenBackend]]
) -> None:
    await _ask(backend, "p1")
    other = await reopen(backend)
    _demand(await _ask(other, "p2", 1) == GrantBusy(_LEASE_S - 1), "a reservation is seen by others at once")
    await _end(other, "p1", 2, token=_token("a"))
    _demand(await backend.get(_KEY) == _token("a"), "a token is seen by others at once")
    here = (_ask(backend, f"here-{n}", 3) for n in range(_CROWD))
    there = (_ask(other, f"there-{n}", 3) for n in range(_CROWD))
    answers = await asyncio.gather(*here, *there)
    reserved = [answer for answer in answers if isinstance(answer, GrantReserved)]
    _demand(len(reserved) == 1, "of a crowd on both sides one gets the slot")
    await _end(other, reserved[0].permit, 4)
    again = await reopen(other)
    _demand(await again.get(_KEY) == _token("a"), "a token is still there when the storage is opened again")
    _demand(
        isinstance(await _ask(again, "p9", 5), GrantExhausted),
        "grants still count when the storage is opened again",
    )
    _demand(await again.drop(_KEY, "version-a"), "whoever opens the storage may drop the token")
    _demand(await backend.get(_KEY) is None, "and then it is gone for all")


_CHECKS: Final[tuple[Callable[[TokenBackend], Awaitable[None]], ...]] = (
    _tokens_come_back_whole,
    _holders_share_a_row_and_a_budget,
    _drop_compares,
    _one_lease_at_a_time,
    _the_budget_holds,
    _only_the_unsent_is_given_back,
    _an_end_keeps_its_token,
    _the_overtaken_do_not_overwrite,
    _a_crowd_gets_one_slot,
)
