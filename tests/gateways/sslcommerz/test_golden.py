"""Answers as the dossier gives them, source by source: what each one is to the call that gets it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.gateways.nagad.hand import Drive
from tests.gateways.sslcommerz.hand import CALL, NOW, answer, api, golden, refund_call
from tests.gateways.sslcommerz.test_protocol import FORM
from vextrus_payments.errors import AuthenticationRejectedError, Effect
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz import protocol, refunds
from vextrus_payments.methods import MethodKind
from vextrus_payments.money import Money
from vextrus_payments.payment import StatusCall
from vextrus_payments.snapshots import RefundState, SnapshotState

ANSWERS = golden("answers.json")
ROOT = "https://sandbox.sslcommerz.com"
PAID = StatusCall(
    gateway_reference=CALL.gateway_reference, gateway_order_id="INV-8812", amount=Money("356.00")
)
BANK = "2202281328380bKgf4dHBaJzjkU"
REFUND = refund_call(transaction_id=BANK, amount=Money("100.00"))


def said(name: str) -> Any:
    return answer(ANSWERS[name]["body"])


def test_the_session_of_a_readme_has_a_page() -> None:
    opened = Drive(said("session_of_a_readme")).run(protocol.open_session(api(root=ROOT), FORM))
    assert opened.checkout_url.startswith("https://sandbox.sslcommerz.com/EasyCheckOut/testcde")
    assert opened.session_key == "F650E87F23DD2A8FFCB4E4E333C13B28"
    assert opened.logo_url.endswith("/demoLogo.png")


def test_wrong_credentials() -> None:
    refused = Drive(said("session_refused")).fails(protocol.open_session(api(), FORM))
    assert isinstance(refused, AuthenticationRejectedError)
    assert refused.context["own_words"] == m.CREDENTIAL_ERROR
    looked = Drive(said("wrong_password")).fails(protocol.look_up(api(), PAID, NOW))
    assert isinstance(looked, AuthenticationRejectedError) and looked.effect is not Effect.UNKNOWN
    asked = Drive(said("refund_query_with_a_wrong_password")).fails(
        refunds.look_up_refund(api(), REFUND, "59BD63C39B88C")
    )
    assert isinstance(asked, AuthenticationRejectedError)


def test_the_validation_of_2022_is_paid() -> None:
    seen = Drive(said("element_that_is_no_list"), said("validation_of_2022")).run(
        protocol.look_up(api(), PAID, NOW)
    )
    assert seen.state is SnapshotState.PAID and seen.transaction_id == BANK
    assert seen.fee == Money("8.90") and seen.payer_account == "418117XXXXXX7814"
    assert seen.occurred_at == datetime(2022, 2, 28, 7, 28, 4, tzinfo=UTC)
    assert (seen.method.kind, seen.method.name) == (MethodKind.CARD, "visa")


@pytest.mark.parametrize("name", ["unknown_tran_id", "session_that_nobody_has_paid"])
def test_what_nobody_has_paid_is_open(name: str) -> None:
    assert Drive(said(name)).run(protocol.look_up(api(), PAID, NOW)).state is SnapshotState.INITIATED


def test_a_refunds_life() -> None:
    for name in ("refund_accepted", "refund_begun_before"):
        begun = Drive(said(name)).run(refunds.refund_payment(api(), REFUND))
        assert (begun.state, begun.transaction_id) == (RefundState.PENDING, "59BD63C39B88C")
    done = Drive(said("refund_done")).run(refunds.look_up_refund(api(), REFUND, "59BD63C39B88C"))
    assert done.state is RefundState.COMPLETED
    assert done.occurred_at == datetime(2022, 3, 5, 10, 30, tzinfo=UTC)
    lost = Drive(said("refund_nobody_knows")).run(refunds.look_up_refund(api(), REFUND, "59BD63C39B88C"))
    assert lost.state is RefundState.UNRECOGNIZED and lost.occurred_at is None


def test_times_are_of_dhaka_and_zeros_are_none() -> None:
    assert m.parse_time("2022-02-28 13:28:04").utcoffset() == timedelta(hours=6)
    assert m.time_text(datetime(2022, 2, 28, 7, 28, 4, tzinfo=UTC)) == "2022-02-28 13:28:04"
    for none in (m.NO_TIME, "", "2022-02-30 00:00:00", "2022-02-28T13:28:04", "২০২২-০২-২৮ ১৩:২৮:০৪"):
        with pytest.raises(ValueError, match=r".+"):
            m.parse_time(none)
    with pytest.raises(ValueError, match="aware"):
        m.time_text(datetime(2022, 2, 28))  # noqa: DTZ001 - a time without a zone is what is refused


def test_no_golden_answer_holds_more_than_its_source_says() -> None:
    assert all(one["source"] for name, one in ANSWERS.items() if name != "source")
