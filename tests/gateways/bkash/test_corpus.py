"""Bodies collected from public repositories: each one is read, or becomes a typed error that keeps its code.

The collection lies beside the repository and is not part of it; without it these tests are skipped, and the shapes
we rely on stand in golden/.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateways.bkash.hand import API, answer, play
from vextrus_payments.errors import Effect, GatewayError, OutcomeUnknownError
from vextrus_payments.gateways.bkash import access, agreements, calls, payouts, protocol, refunds, steps
from vextrus_payments.gateways.bkash.envelope import Call, Refused, error_of, read
from vextrus_payments.gateways.bkash.errors import CODES, Operation
from vextrus_payments.gateways.bkash.webhook import event_of, parse_notification
from vextrus_payments.gateways.readings import Accepted
from vextrus_payments.money import Money
from vextrus_payments.payment import ExecuteCall, Intent, RefundCall, StatusCall
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import AgreementState, SnapshotState
from vextrus_payments.wire import Safety

CORPUS = Path(__file__).parents[3].parent / "shared" / "testdata" / "gateway_bodies.jsonl"

pytestmark = pytest.mark.skipif(
    not CORPUS.is_file(), reason="the collected bodies do not lie beside the repository (../shared/testdata)"
)

ROWS: list[dict[str, Any]] = (
    [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()] if CORPUS.is_file() else []
)
BKASH = [row for row in ROWS if row["gateway"] == "bkash"]
CALLS: tuple[Call[Any], ...] = tuple(
    value for module in (calls, payouts) for value in vars(module).values() if isinstance(value, Call)
)
MONEY = {SnapshotState.PAID, SnapshotState.AUTHORIZED, SnapshotState.REVIEW}


def rows(*endpoints: str) -> Any:
    chosen = [row for row in BKASH if row["endpoint"] in endpoints]
    return pytest.mark.parametrize("row", chosen, ids=[row["id"] for row in chosen])


def test_every_kind_of_body_is_tested_here() -> None:
    assert {row["endpoint"] for row in BKASH} == {
        "agreement_execute", "agreement_query", "create", "error", "execute", "execute_legacy", "query",
        "refund", "search", "sns_envelope", "token", "webhook_message",
    }  # fmt: skip
    assert len(CALLS) == 30


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.operation}-{call.model.__name__}")
def test_no_body_breaks_any_call(call: Call[Any]) -> None:
    for row in BKASH:
        for status in (200, 400, 500):
            reading = read(call, answer(row["body"], status))
            if not isinstance(reading, Accepted):
                assert isinstance(error_of(call, reading), GatewayError)


@rows("error")
def test_every_error_keeps_its_code(row: dict[str, Any]) -> None:
    body = row["body"]
    expected = body.get("statusCode") or body.get("errorCode")
    for call in CALLS:
        reading = read(call, answer(body))
        assert isinstance(reading, Refused)
        error = error_of(call, reading)
        assert error.code == expected
        if expected not in CODES:
            assert isinstance(error, OutcomeUnknownError)
        if expected not in CODES and call.safety is Safety.ONCE:
            assert error.effect is Effect.UNKNOWN


@rows("execute", "execute_legacy")
def test_every_execute_is_money_that_moved(row: dict[str, Any]) -> None:
    body = row["body"]
    amount = Money(body.get("amount", "1"))
    call = ExecuteCall(
        gateway_reference=body["paymentID"],
        gateway_order_id=body.get("merchantInvoiceNumber") or "INV-1",
        amount=amount,
    )
    played = play(protocol.execute_payment(API, call), answer(body))
    assert played.order == ["execute"]
    assert played.result.state in MONEY
    assert played.result.transaction_id == body["trxID"]
    if body.get("merchantInvoiceNumber") and "amount" in body:
        assert played.result.state is not SnapshotState.REVIEW
        assert played.result.amount == amount
    if "paymentExecuteTime" in body:
        assert played.result.occurred_at is not None


@rows("query")
def test_every_query_is_read(row: dict[str, Any]) -> None:
    body = row["body"]
    call = StatusCall(
        gateway_reference=body["paymentID"],
        gateway_order_id=body["merchantInvoice"],
        amount=Money(body["amount"]),
    )
    found = play(protocol.query_payment(API, call), answer(body)).result
    assert (found.state, found.transaction_id) == (SnapshotState.PAID, body["trxID"])
    assert found.occurred_at is not None


@rows("create")
def test_every_create_is_a_session_or_a_typed_error(row: dict[str, Any]) -> None:
    body = row["body"]
    order = protocol.Order(
        invoice=body.get("merchantInvoiceNumber") or "INV-1",
        amount=Money(str(body.get("amount", "1"))),
        callback_url="https://shop.example/cb",
        payer_reference="p",
        intent=Intent(body.get("intent", "sale")),
    )
    played = play(protocol.create_payment(API, order), answer(body))
    if played.error is None:
        assert (played.result.reference, played.result.checkout_url) == (body["paymentID"], body["bkashURL"])
    else:
        no_id = " " in body["paymentID"]
        assert no_id or "bkashURL" not in body, "a usable session was refused"
        assert played.raised.effect is Effect.NONE


@rows("token")
def test_every_token_is_taken(row: dict[str, Any]) -> None:
    body = row["body"]
    some = Secret("x" * 8)
    credentials = access.Credentials(app_key=some, app_secret=some, username=some, password=some)
    played = play(access.grant_token(API, credentials), answer(body))
    if " " in body["id_token"]:
        assert played.raised.effect is Effect.NONE
    else:
        assert played.result.access.reveal() == body["id_token"]
        assert played.result.life_s == 3600


@rows("refund")
def test_every_refund_is_adopted_or_looked_up(row: dict[str, Any]) -> None:
    body = row["body"]
    api = steps.Api(API.root, API.mode, steps.RefundApi.V1)
    call = RefundCall(
        operation_id="r",
        gateway_reference="TR1",
        transaction_id=body.get("originalTrxID", "CLH30AB1CD"),
        amount=Money(body.get("amount", "1")),
        reason="r",
        sku="s",
    )
    if "refundTransactions" in body:
        listed = play(refunds.refund_status(api, call), answer(body)).result
        assert [one.transaction_id for one in listed] == [
            one["refundTrxID"] for one in body["refundTransactions"]
        ]
        return
    none = answer({"statusCode": "0000"})
    if "originalTrxID" in body:
        found = play(refunds.refund_payment(api, call), none, answer(body)).result
        assert found.transaction_id == body["refundTrxID"]
    else:  # v2's fields on the v1 route: nobody at bKash sends them, so it proves nothing
        error = play(refunds.refund_payment(api, call), none, answer(body), none).raised
        assert error.effect is Effect.UNKNOWN


@rows("search")
def test_every_transaction_is_found(row: dict[str, Any]) -> None:
    body = row["body"]
    found = play(protocol.search_transaction(API, body["trxID"]), answer(body)).result
    assert (found.raw_state, found.amount) == (body["transactionStatus"], Money(body["amount"]))


@rows("agreement_execute", "agreement_query")
def test_every_agreement_is_read(row: dict[str, Any]) -> None:
    body = row["body"]
    if row["endpoint"] == "agreement_execute":
        found = play(agreements.execute_agreement(API, body["paymentID"]), answer(body)).result
    else:
        found = play(agreements.agreement_status(API, body["agreementID"]), answer(body)).result
    assert (found.state, found.agreement_id) == (AgreementState.ACTIVE, body["agreementID"])
    assert found.occurred_at is not None


@rows("webhook_message", "sns_envelope")
def test_every_notification_is_read_or_refused(row: dict[str, Any]) -> None:
    body = row["body"]
    raw = body["Message"].encode() if row["endpoint"] == "sns_envelope" else json.dumps(body).encode()
    inner = json.loads(raw)
    if "amount" not in inner:
        return  # a stub of a message; test_webhook.py has such ones
    event = event_of(parse_notification(raw), "m1")
    assert event.snapshot is not None
    assert (event.snapshot.transaction_id, event.snapshot.amount) == (inner["trxID"], Money(inner["amount"]))


def test_every_operation_has_its_calls() -> None:
    assert {call.operation for call in CALLS} == set(Operation)
