"""A gateway that repeats one of our own secrets, bare and under any name: nobody who is told of the call hears it."""

import json
import logging
from typing import Any

import pytest

from tests.unit.toy import PASSWORD, ROOT, ToyConfig, ToyGateway
from vextrus_payments.errors import DeclinedError, Effect
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import Exchange
from vextrus_payments.secret import MASK, Secret
from vextrus_payments.testing import FakeClock, FakeSleeper, ScriptedTransport
from vextrus_payments.testing.scripted import answer
from vextrus_payments.wire import CallContext, Safety, Send, WireCall, WireRequest

#: As a gateway writes it: among words, and as a whole.
SAID = {
    "status": PASSWORD,
    "trxID": PASSWORD,
    "message": f"No {PASSWORD} here",
    "transactionStatus": f"<{PASSWORD}>",
}


def asking() -> WireCall[None]:
    """Ask, and be told no in the gateway's own words."""
    request = WireRequest("POST", f"{ROOT}/query?trxID={PASSWORD}", (), json.dumps(SAID).encode())
    response = yield Send(
        request=request, operation="query", safety=Safety.READ, step="query", authorized=False
    )
    assert response is not None
    raise DeclinedError(
        "The toy says no.",
        reason=Reason(code=ReasonCode.INVALID_REQUEST, own_words={"en": SAID["message"], "bn": "না"}),
        final=False,
        effect=Effect.NONE,
        context={"own_words": SAID["message"], "tries": 2},
    )


async def test_no_listener_and_no_caller_hears_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clock, heard = FakeClock(), list[Exchange]()
    transport = ScriptedTransport(then=lambda _: answer(200, json.dumps(SAID)), clock=clock)
    async with ToyGateway(ToyConfig(), transport=transport, clock=clock, sleeper=FakeSleeper(clock)) as toy:
        with pytest.raises(DeclinedError) as caught:
            await toy.drive(asking(), context=CallContext(on_exchange=heard.append))
    error = caught.value
    assert error.context["own_words"] == f"No {MASK} here" and error.context["tries"] == 2
    assert error.reason.text("en") == f"No {MASK} here" and error.reason.text("bn") == "না"
    (exchange,) = heard
    assert exchange.answer["status"] == exchange.answer["trxID"] == exchange.request["trxID"] == MASK
    told: list[Any] = [vars(error), exchange, [record.__dict__ for record in caplog.records]]
    assert "gateway.exchange" in caplog.text
    assert PASSWORD not in repr(told) and PASSWORD not in caplog.text


def test_short_secrets_are_left_alone_for_they_stand_in_innocent_words() -> None:
    conceal = ToyConfig(
        password=Secret("paid"), proxy=Secret("http://user:pw@proxy.example:3128")
    ).concealer()
    assert conceal("paid by http://user:pw@proxy.example:3128") == f"paid by {MASK}"


def test_each_key_of_a_list_is_a_secret_of_its_own() -> None:
    conceal = ToyConfig(password=Secret("first-live-key, second-live-key")).concealer()
    assert conceal("It was first-live-key, not second-live-key.") == f"It was {MASK}, not {MASK}."


def test_an_escaped_secret_is_one_too() -> None:
    conceal = ToyConfig(password=Secret("p@ss/ word!")).concealer()
    for escaped in ("p@ss/ word!", "p%40ss/%20word%21", "p%40ss%2F%20word%21", "p%40ss%2F+word%21"):
        assert conceal(f"pw={escaped}.") == f"pw={MASK}."


def test_a_secret_that_begins_like_another_leaves_nothing_of_it() -> None:
    proxy = Secret("http://proxy.example:3128/the-longer-one")
    conceal = ToyConfig(password=Secret("http://proxy.example:3128"), proxy=proxy).concealer()
    assert (
        conceal("the-longer-one at http://proxy.example:3128/the-longer-one") == f"the-longer-one at {MASK}"
    )
