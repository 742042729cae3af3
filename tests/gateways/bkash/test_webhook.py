"""Payment notifications: the inner message, read into an event; and what is no such message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.bkash.hand import GOLDEN
from vextrus_payments.errors import MalformedWebhookError
from vextrus_payments.gateways.bkash.webhook import event_of, parse_notification
from vextrus_payments.money import Money
from vextrus_payments.snapshots import SnapshotState

DOCUMENT = json.loads((GOLDEN / "notification.json").read_text(encoding="utf-8"))


def message(**changes: Any) -> bytes:
    body = {key: value for key, value in {**DOCUMENT["body"], **changes}.items() if value is not None}
    return json.dumps(body).encode()


def test_the_documented_message() -> None:
    found = parse_notification(message())
    assert (found.transaction_id, found.amount, found.invoice) == ("4J420ANOXC", Money("100"), "orderId1233")
    assert (found.channel, found.status) == ("api", "Completed")
    assert found.payer_account == "01700000004", "13 digits here, 11 digits elsewhere"
    assert found.occurred_at is not None
    assert found.occurred_at.isoformat() == "2018-04-19T06:22:47+00:00", "Bangladesh time without a zone"
    assert "01700000004" not in repr(found)


def test_it_becomes_one_event_per_transaction() -> None:
    event = event_of(parse_notification(message()), "m1")
    assert (event.event_id, event.news_key) == ("m1", "payment/4J420ANOXC/paid/10000BDT/orderId1233")
    assert event.snapshot is not None
    assert (event.snapshot.state, event.snapshot.gateway_order_id) == (SnapshotState.PAID, "orderId1233")
    assert event.snapshot.gateway_reference == "", "a notification names no paymentID"
    assert event == event_of(parse_notification(message()), "m1")


@pytest.mark.parametrize(
    ("changes", "channel", "invoice"),
    [
        ({"transactionType": "10003126", "merchantInvoiceNumber": None}, "qr", None),
        ({"transactionType": "10002175", "merchantInvoiceNumber": ""}, "ussd", None),
        ({"transactionType": "1003"}, "1003", "orderId1233"),
        ({"transactionType": None}, "", "orderId1233"),
    ],
)
def test_payments_that_never_touched_our_api(changes: Any, channel: str, invoice: str | None) -> None:
    found = parse_notification(message(**changes))
    assert (found.channel, found.invoice) == (channel, invoice)


def test_coupons_are_not_calculated_with() -> None:
    found = parse_notification(message(couponAmount="10", merchantShareAmount="90", saleAmount="90"))
    assert found.amount == Money("100")


def test_only_completed_is_paid() -> None:
    event = event_of(parse_notification(message(transactionStatus="Initiated")), "m1")
    assert event.snapshot is not None and event.snapshot.state is SnapshotState.UNRECOGNIZED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<xml/>",
        b"\xff",
        message(trxID=None),
        message(trxID=""),
        message(trxID="a b"),
        message(trxID=["x"]),
        message(amount=None),
        message(amount="1,500"),
        message(amount="0"),
        message(amount="-5"),
        message(amount="1e3"),
        message(currency="Taka"),
        b'{"trxID":"A","trxID":"B","amount":"1"}',
        b'{"trxID":"A","amount":NaN}',
        b" " * 70_000,
    ],
)
def test_what_is_no_notification_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        parse_notification(body)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert str(caught.value).isprintable()


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from([*DOCUMENT["body"]]), st.text(max_size=9)).map(
    lambda body: json.dumps(body).encode()
))  # fmt: skip
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    try:
        event_of(parse_notification(body), "m1")
    except MalformedWebhookError:
        pass
