"""Whoever names a merchant shares its grant budget; only who has its secrets gets its token."""

import asyncio
import dataclasses
import inspect
import traceback

import pytest

from tests.unit.token_world import World, settle
from vextrus_payments.errors import (
    AnswerTimeoutError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    ThrottledError,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.secret import Secret
from vextrus_payments.token_budget import GrantBudget
from vextrus_payments.token_port import GrantOrder, Token, TokenKey
from vextrus_payments.tokens.document import token_document, token_from_document


def key_of(app_secret: str = "canary-secret", password: str = "canary-password") -> TokenKey:
    return TokenKey.of(
        "https://gateway.example",
        Secret("canary-app-key"),
        Secret("canary-user"),
        secrets=(Secret(app_secret), Secret(password)),
    )


RIGHT = key_of()
WRONG = key_of(app_secret="a guess")


def refused() -> AuthenticationRejectedError:
    return AuthenticationRejectedError("The gateway refused the app secret.", code="2001", gateway="bkash")


# --- the values ---------------------------------------------------------------------------------------------------


def test_the_secrets_change_the_holder_and_not_the_budget() -> None:
    keys = [RIGHT, WRONG, key_of(password="a guess"), key_of("canary-password", "canary-secret")]
    plain = TokenKey.of("https://gateway.example", "canary-app-key", "canary-user")
    assert {key.digest for key in keys} == {plain.digest}
    assert len({key.holder for key in [*keys, plain]}) == 5
    assert plain.holder == ""
    assert key_of() == RIGHT


def test_a_holder_never_shows() -> None:
    token = Token.granted(Secret("x"), issued_at=World().clock.now(), life_s=60)
    token = dataclasses.replace(token, holder=RIGHT.holder)
    for shown in (repr(RIGHT), repr(token), RIGHT.short, repr(GrantOrder), repr([RIGHT, token])):
        assert RIGHT.holder not in shown
        assert "canary" not in shown


@pytest.mark.parametrize("holder", ["x", "A" * 64, "a" * 63, "a" * 64 + "\n", "\ud800"])
def test_what_is_no_holder_is_refused(holder: str) -> None:
    with pytest.raises(ValueError, match="holder"):
        TokenKey(RIGHT.digest, holder)
    token = Token.granted(Secret("x"), issued_at=World().clock.now(), life_s=60)
    with pytest.raises(ValueError, match="holder"):
        dataclasses.replace(token, holder=holder)


def test_a_document_keeps_the_holder_and_one_without_belongs_to_nobody_who_has_secrets() -> None:
    token = Token.granted(Secret("x"), issued_at=World().clock.now(), life_s=60)
    held = dataclasses.replace(token, holder=RIGHT.holder)
    assert token_from_document(token_document(held)) == held
    older = token_document(token).replace('"holder": "", ', "")
    assert "holder" not in older
    read = token_from_document(older)
    assert read == token
    assert not read.is_held_by(RIGHT)
    for torn in ('"holder": 7', '"holder": null', '"holder": "\\ud800"'):
        assert token_from_document(token_document(token).replace('"holder": ""', torn)) is None


def test_holders_are_compared_in_constant_time() -> None:
    assert "compare_digest" in inspect.getsource(Token.is_held_by)


# --- another holder's token ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("other_process", [False, True])
async def test_who_names_the_merchant_without_its_secrets_gets_no_token(other_process: bool) -> None:
    world = World()
    mine = await world.cache.token(RIGHT, world.gateway.grant)
    assert mine.is_held_by(RIGHT)
    cache = world.another_process() if other_process else world.cache
    world.gateway.fails(refused())
    with pytest.raises(AuthenticationRejectedError):
        await cache.token(WRONG, world.gateway.grant)
    # It asked with its own credentials, and not by the refresh token of another.
    assert [order.previous for order in world.gateway.orders] == [None, None]
    # The right holder notices nothing of it.
    assert await world.cache.token(RIGHT, world.gateway.grant) is mine
    assert await world.backend.get(RIGHT) == mine


async def test_who_has_the_same_secrets_shares_the_token() -> None:
    world = World()
    mine = await world.cache.token(RIGHT, world.gateway.grant)
    assert await world.cache.token(key_of(), world.gateway.grant) is mine
    assert await world.another_process().token(key_of(), world.gateway.grant) == mine
    assert world.gateway.grants == 1


async def test_waiting_for_another_holders_grant_brings_none_of_its_token() -> None:
    world = World()
    world.gateway.gate.clear()
    right = asyncio.create_task(world.cache.token(RIGHT, world.gateway.grant))
    await settle()
    wrong = asyncio.create_task(world.cache.token(WRONG, world.gateway.grant))
    await settle()
    assert world.gateway.grants == 1, "one grant at a time, whoever asks"
    world.gateway.fails(refused())
    world.gateway.gate.set()
    mine = await right
    with pytest.raises(AuthenticationRejectedError):
        await wrong
    assert mine.is_held_by(RIGHT)


async def test_with_the_budget_used_up_another_holders_token_is_not_taken_either() -> None:
    world = World(budget=GrantBudget(limit=1))
    await world.cache.token(RIGHT, world.gateway.grant)
    with pytest.raises(ThrottledError):
        await world.cache.token(WRONG, world.gateway.grant)
    assert world.gateway.grants == 1


async def test_a_refresh_token_buys_only_its_holder_a_new_one() -> None:
    budget = GrantBudget(limit=5)
    world = World(budget=budget)
    mine = await world.cache.token(RIGHT, world.gateway.grant)
    world.clock.advance(3300)
    theirs = await world.another_process(budget=budget).token(WRONG, world.gateway.grant)
    assert world.gateway.orders[-1].previous is None
    assert theirs.is_held_by(WRONG)
    again = await world.another_process(budget=budget).token(RIGHT, world.gateway.grant)
    assert world.gateway.orders[-1].previous is None, "the last one proven is in the row now"
    world.clock.advance(3300)
    await world.another_process(budget=budget).token(RIGHT, world.gateway.grant)
    assert world.gateway.orders[-1].previous == again
    assert len({mine.version, theirs.version, again.version}) == 3


async def test_a_rotated_password_is_not_served_the_old_ones_token() -> None:
    world = World()
    old = await world.cache.token(RIGHT, world.gateway.grant)
    rotated = key_of(password="the new one")
    new = await world.cache.token(rotated, world.gateway.grant)
    assert new.version != old.version
    assert await world.backend.get(rotated) == new
    # Who still holds the old one grants anew, within the one budget.
    with pytest.raises(ThrottledError) as caught:
        await world.another_process().token(RIGHT, world.gateway.grant)
    assert caught.value.code == "grant_budget"


async def test_a_token_kept_before_holders_were_is_not_served() -> None:
    world = World()
    plain = TokenKey(RIGHT.digest)
    await world.cache.token(plain, world.gateway.grant)
    token = await world.cache.token(RIGHT, world.gateway.grant)
    assert token.is_held_by(RIGHT)
    assert world.gateway.grants == 2


async def test_a_holder_cannot_reject_another_holders_token_by_chance() -> None:
    world = World()
    mine = await world.cache.token(RIGHT, world.gateway.grant)
    await world.cache.reject(WRONG, "some version")
    assert await world.cache.token(RIGHT, world.gateway.grant) is mine
    assert await world.backend.get(RIGHT) == mine


# --- wrong credentials and the right tenant's budget --------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        refused(),
        DeclinedError(
            "The gateway declined.", code="2001", reason=Reason(code=ReasonCode.UNKNOWN_ERROR), final=True
        ),
    ],
)
async def test_wrong_credentials_cost_the_merchant_one_grant_and_no_more(failure: Exception) -> None:
    world = World()
    world.gateway.fails(failure)
    with pytest.raises(type(failure)):
        await world.cache.token(WRONG, world.gateway.grant)
    for _ in range(10):
        world.clock.advance(60)
        with pytest.raises(AuthenticationRejectedError) as caught:
            await world.cache.token(WRONG, world.gateway.grant)
    error = caught.value
    assert world.gateway.grants == 1
    assert (error.code, error.effect, error.context["retry_after_s"]) == ("2001", Effect.NONE, 3000)
    assert "not sent again" in str(error)
    assert "3000 s" in str(error)
    assert error.__context__ is None
    assert "canary" not in "".join(traceback.format_exception(error))
    # The second grant of the hour is the right tenant's.
    assert (await world.cache.token(RIGHT, world.gateway.grant)).is_held_by(RIGHT)
    # Corrected credentials are other ones, and need not wait; these are tried again when the window is over.
    world.clock.advance(3000)
    assert (await world.cache.token(WRONG, world.gateway.grant)).is_held_by(WRONG)


async def test_a_refused_holder_is_served_what_others_with_its_credentials_were_granted() -> None:
    world = World()
    world.gateway.fails(refused())
    with pytest.raises(AuthenticationRejectedError):
        await world.cache.token(RIGHT, world.gateway.grant)
    token = await world.another_process().token(RIGHT, world.gateway.grant)
    assert await world.cache.token(RIGHT, world.gateway.grant) == token
    assert world.gateway.grants == 2


async def test_a_refused_refresh_and_a_lost_answer_say_nothing_of_the_credentials() -> None:
    world = World(budget=GrantBudget(limit=9))
    await world.cache.token(RIGHT, world.gateway.grant)
    world.clock.advance(3600)
    world.gateway.fails(refused(), AnswerTimeoutError("No answer came in 30 s."))
    with pytest.raises(AnswerTimeoutError):
        await world.cache.token(RIGHT, world.gateway.grant)
    assert await world.cache.token(RIGHT, world.gateway.grant)
    # A grant, a refused refresh, the grant in its place, and at last one that was answered.
    assert world.gateway.grants == 4


async def test_refusals_of_past_windows_are_forgotten() -> None:
    world = World(budget=GrantBudget(limit=1))
    for number in range(5):
        world.gateway.fails(refused())
        with pytest.raises(AuthenticationRejectedError):
            await world.cache.token(key_of(password=f"guess {number}"), world.gateway.grant)
        world.clock.advance(3600)
    assert len(world.cache._granting._refusals) == 1
