"""Payouts by hand: sent once behind a checkpoint, looked up only by a payoutID; nothing of another's is believed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.gateways.bkash.hand import NO_IDS, Played, answer, golden, play
from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    AuthenticationRejectedError,
    ConfigurationError,
    CredentialsMissingError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    StorageError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.gateways.bkash import payouts as p
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payouts import (
    LOOK_UP,
    AccountRole,
    PayoutCall,
    PayoutKind,
    PayoutState,
    TransferDirection,
)
from vextrus_payments.secret import Secret
from vextrus_payments.wire import Safety

CHECKOUT = p.PayoutApi("https://bkash.test/v1.2.0-beta/checkout", Mode.SANDBOX)
TOKENIZED = p.PayoutApi("https://bkash.test/v1.2.0-beta", Mode.SANDBOX)
B2C = PayoutCall(
    kind=PayoutKind.B2C, gateway_order_id="pyo_1", amount=Money("250.50"), receiver="01770618575"
)
B2B = replace(B2C, kind=PayoutKind.B2B)
MOVE = PayoutCall(
    kind=PayoutKind.TRANSFER,
    gateway_order_id="pyo_1",
    amount=Money("1000"),
    direction=TransferDirection.TO_DISBURSEMENT,
)
BALANCE = golden("payout_balance")
MADE = golden("payout_b2c")
GIVEN = golden("payout_initiated")
SHOWN = golden("payout_query")
#: Answers after which nobody can tell.
OPEN = [
    AnswerLostError,
    AnswerTimeoutError,
    UnreadableAnswerError,
    answer({}),
    answer(b"<html>"),
    answer(b'{"trxID": "A", "trxID": "B"}'),
    answer({"message": "Endpoint request timed out"}, 504),
    answer({"message": "Forbidden"}, 403),
    answer({"errorCode": "9999", "errorMessage": "System Error."}),
    answer({"errorCode": "503", "errorMessage": "Maintenance"}),
    answer({"errorCode": "2029", "errorMessage": "Duplicate for all transactions"}),
    answer({"errorCode": "2062", "errorMessage": "Already completed"}),
    answer({"errorCode": "7777", "errorMessage": "Nobody knows"}),
    golden("payout_b2c", transactionStatus="Initiated"),
    golden("payout_b2c", transactionStatus=None),
    golden("payout_b2c", trxID=None),
    golden("payout_b2c", merchantInvoiceNumber="pyo_2"),
    golden("payout_b2c", receiverMSISDN="01877722345"),
    golden("payout_b2c", amount="1,000"),
    golden("payout_b2c", currency="USD"),
    *(golden("payout_b2c", trxID=text) for text in NO_IDS),
]


def paid(*answers: Any, call: PayoutCall = B2C, api: p.PayoutApi = CHECKOUT, **named: Any) -> Played:
    return play(p.pay_out(api, call), *answers, **named)


def test_a_direct_payout() -> None:
    played = paid(BALANCE, MADE)
    assert played.order == ["balance", "checkpoint", "payout"]
    assert played.paths == [
        "/v1.2.0-beta/checkout/payment/organizationBalance",
        "/v1.2.0-beta/checkout/payment/b2cPayment",
    ]
    assert (played.sends[0].request.method, played.sends[0].safety) == ("GET", Safety.READ)
    assert played.sends[1].safety is Safety.ONCE
    assert json.loads(played.sends[1].request.body) == {
        "amount": "250.50",
        "currency": "BDT",
        "merchantInvoiceNumber": "pyo_1",
        "receiverMSISDN": "01770618575",
    }
    result = played.result
    assert (result.state, result.transaction_id, result.amount, result.fee) == (
        PayoutState.COMPLETED,
        "CLH30PAY01",
        Money("250.50"),
        Money("5"),
    )
    assert (
        result.occurred_at is not None
        and result.occurred_at.isoformat() == "2025-12-17T09:53:29.120000+00:00"
    )
    (checkpoint,) = played.checkpoints
    assert checkpoint.evidence.data == {
        "accounts": [
            ["collection", "Merchant Collection Account", 140000],
            ["disbursement", "Merchant Disbursement Account", 90000],
        ]
    }


@pytest.mark.parametrize(
    "balance", [AnswerLostError, answer({"errorCode": "2080"}), answer(b"x"), answer({})]
)
def test_a_balance_that_is_not_told_stops_no_payout(balance: Any) -> None:
    played = paid(balance, MADE)
    assert played.result.transaction_id == "CLH30PAY01"
    assert played.checkpoints[0].evidence.data == {"accounts": []}


def test_a_checkpoint_that_is_not_kept_stops_it() -> None:
    played = paid(BALANCE, at_checkpoint=StorageError("away"))
    assert isinstance(played.error, StorageError) and played.order == ["balance", "checkpoint"]


@pytest.mark.parametrize("lost", OPEN)
def test_an_open_end_is_unknown_and_keeps_the_balances_after_it(lost: Any) -> None:
    played = paid(BALANCE, lost, golden("payout_balance"))
    assert played.raised.effect is Effect.UNKNOWN
    assert played.order == ["balance", "checkpoint", "payout", "balance", "checkpoint"]
    assert [one.evidence.step for one in played.checkpoints] == ["payout.baseline", "payout.after"]


@pytest.mark.parametrize(
    "after", [AnswerLostError, StorageError, answer(b"x"), answer({"errorCode": "2080"})]
)
def test_a_balance_that_fails_afterwards_makes_nobody_forget(after: Any) -> None:
    played = paid(BALANCE, AnswerLostError, after)
    assert isinstance(played.raised, AnswerLostError) and played.raised.effect is Effect.UNKNOWN


@pytest.mark.parametrize("code", ["2002", "2029", "2033", "2056", "2068", "2127"])
def test_a_word_about_a_state_or_a_deed_decides_nothing(code: str) -> None:
    """What carried the request may have brought it twice: then this is the echo of money that left."""
    played = paid(BALANCE, answer({"errorCode": code, "errorMessage": "No."}), golden("payout_balance"))
    assert isinstance(played.raised, OutcomeUnknownError) and played.raised.effect is Effect.UNKNOWN
    assert played.order.count("payout") == 1


@pytest.mark.parametrize("code", ["2023", "2012", "2039", "2006", "2031", "2081"])
def test_a_refusal_is_final(code: str) -> None:
    error = paid(BALANCE, answer({"errorCode": code, "errorMessage": "No."})).raised
    assert isinstance(error, DeclinedError) and error.final and error.effect is Effect.REFUSED
    assert error.reason.gateway_code == code


@pytest.mark.parametrize("kind", [NotSentError, ThrottledError, AuthenticationRejectedError])
def test_what_was_not_sent_has_no_effect(kind: type[GatewayError]) -> None:
    played = paid(BALANCE, kind)
    assert isinstance(played.raised, kind) and played.raised.effect is Effect.NONE


def test_another_amount_is_told_as_it_is() -> None:
    assert paid(BALANCE, golden("payout_b2c", amount="200.00")).result.amount == Money("200")
    assert paid(BALANCE, golden("payout_b2c", amount=None)).result.amount is None


def test_a_transfer_and_its_ways() -> None:
    moved = golden("payout_transfer")
    played = paid(BALANCE, moved, call=MOVE)
    assert played.paths[1] == "/v1.2.0-beta/checkout/payment/intraAccountTransfer"
    assert played.result.transaction_id == "CLH30MOV01"
    back = replace(MOVE, direction=TransferDirection.TO_COLLECTION)
    wrong = paid(BALANCE, moved, golden("payout_balance"), call=back)
    assert isinstance(wrong.raised, UnreadableAnswerError) and wrong.raised.effect is Effect.UNKNOWN
    assert b'"transferType":"Disbursement2Collection"' in wrong.sends[1].request.body
    tokenized = paid(moved, call=MOVE, api=TOKENIZED)
    assert tokenized.paths == ["/v1.2.0-beta/tokenized/payout/intraAccountTransfer"]


@pytest.mark.parametrize(("api", "call"), [(CHECKOUT, B2B), (TOKENIZED, B2B), (TOKENIZED, B2C)])
def test_an_initiated_payout(api: p.PayoutApi, call: PayoutCall) -> None:
    played = paid(GIVEN, MADE, call=call, api=api)
    assert played.order == ["payout_initiate", "checkpoint", "payout"]
    assert played.checkpoints[0].evidence.data == {LOOK_UP: "PO11aB3dE5f17660"}
    assert played.sends[0].safety is Safety.DISPOSABLE and played.sends[1].safety is Safety.ONCE
    base = "/v1.2.0-beta/checkout/payout" if api is CHECKOUT else "/v1.2.0-beta/tokenized/payout"
    assert played.paths == [f"{base}/initiate", f"{base}/{call.kind.value}"]


@pytest.mark.parametrize("lost", OPEN)
def test_an_initiated_payout_is_looked_up_once(lost: Any) -> None:
    played = paid(GIVEN, lost, SHOWN, call=B2B)
    assert played.result.transaction_id == "CLH30PAY01"
    assert played.order == ["payout_initiate", "checkpoint", "payout", "payout_query"]
    assert played.sends[2].request.url.endswith("/payout/query/PO11aB3dE5f17660")
    for shown in (
        golden("payout_query", transactionStatus="Initiated", trxID=None),
        golden("payout_query", payoutID="PO2"),
        golden("payout_query", receiverMSISDN="01877722345"),
        answer({"errorCode": "2033"}),
        AnswerLostError,
        StorageError,
    ):
        assert paid(GIVEN, lost, shown, call=B2B).raised.effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    "given", [answer({}), answer({"errorCode": "2065"}), AnswerLostError, *NO_IDS, "../x", "a?b"]
)
def test_without_a_usable_payout_id_nothing_is_paid(given: Any) -> None:
    asked = golden("payout_initiated", payoutID=given) if isinstance(given, str) else given
    played = paid(asked, call=B2B)
    assert played.order == ["payout_initiate"]
    assert played.raised.effect is not Effect.UNKNOWN


def test_balances_are_read() -> None:
    accounts = play(p.balances(CHECKOUT), BALANCE).result
    assert [(one.role, one.available, one.current) for one in accounts] == [
        (AccountRole.COLLECTION, Money("1400"), Money("1500")),
        (AccountRole.DISBURSEMENT, Money("900"), Money("900")),
    ]
    odd = answer({"organizationBalance": [{"accountTypeName": "Other", "availableBalance": "1,0"}, {}]})
    assert [(one.role, one.available) for one in play(p.balances(CHECKOUT), odd).result] == [
        (AccountRole.OTHER, None),
        (AccountRole.OTHER, None),
    ]
    for bad in ({"organizationBalance": "x"}, {"organizationBalance": ["x"]}, {}):
        assert isinstance(
            play(p.balances(CHECKOUT), answer(bad)).raised, OutcomeUnknownError | GatewayBlockedError
        )


# --- the settings -------------------------------------------------------------------------------------------------

PLAIN = {
    "app_key": Secret("key-1"),
    "app_secret": Secret("secret-1"),
    "username": Secret("user-1"),
    "password": Secret("pass-1"),
}
PAYING = {f"payout_{name}": Secret(f"p-{name}") for name in PLAIN}


def test_payouts_have_settings_of_their_own() -> None:
    assert not BkashConfig(**PLAIN).pays_out
    config = BkashConfig(**PLAIN, **PAYING)
    own = config.for_payouts()
    assert config.pays_out and own.app_key.reveal() == "p-app_key"
    assert own.api_url == "https://checkout.sandbox.bka.sh/v1.2.0-beta/checkout"
    assert config.app_key.reveal() == "key-1" and "p-" not in repr(config)
    told = BkashConfig(**PLAIN, **PAYING, payout_api_url="http://127.0.0.1:1/v1.2.0-beta/")
    assert told.for_payouts().api_url == "http://127.0.0.1:1/v1.2.0-beta"


@pytest.mark.parametrize("left_out", PAYING)
def test_all_credentials_or_none(left_out: str) -> None:
    some = {name: value for name, value in PAYING.items() if name != left_out}
    with pytest.raises(ConfigurationError, match=left_out):
        BkashConfig(**PLAIN, **some)


@pytest.mark.parametrize(
    "url",
    [
        "https://checkout.pay.bka.sh/v1.2.0-beta/checkout",
        "http://checkout.sandbox.bka.sh/v1.2.0-beta/checkout",
        "https://checkout.sandbox.bka.sh/v1.2.0-beta/other",
        "https://checkout.sandbox.bka.sh/v1.2.0-beta/checkout?a=b",
        "checkout",
        "",
    ],
)
def test_a_wrong_root_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        BkashConfig(**PLAIN, **PAYING, payout_api_url=url)


def test_a_root_without_credentials_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        BkashConfig(**PLAIN, payout_api_url="https://checkout.sandbox.bka.sh/v1.2.0-beta/checkout")


def test_test_credentials_pay_nothing_out_in_live() -> None:
    suspect = {**PAYING, "payout_username": Secret("sandboxTokenizedUser01")}
    with pytest.raises(ConfigurationError, match="payout_username"):
        BkashConfig(mode="live", **PLAIN, **suspect)


def test_the_environment() -> None:
    environ = {f"BKASH_{name.upper()}": f"v-{name}" for name in (*PLAIN, *PAYING)}
    assert BkashConfig.from_env(environ).pays_out
    del environ["BKASH_PAYOUT_APP_KEY"]
    with pytest.raises(ConfigurationError) as caught:
        BkashConfig.from_env(environ)
    assert not isinstance(caught.value, CredentialsMissingError) and "payout_app_key" in str(caught.value)
