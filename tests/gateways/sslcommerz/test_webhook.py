"""Notifications and the browser's POST: news and hints, and never more (dossier §1.3-§1.5)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.gateways.sslcommerz.hand import (
    BANK,
    NOW,
    PASSWORD,
    REFERENCE,
    STORE,
    TRAN_ID,
    notified,
    posted,
    sign,
)
from vextrus_payments.errors import InvalidRequestError, MalformedWebhookError, SignatureError
from vextrus_payments.events import Delivery, Events, GatewayEvent, HintVerdict
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig, SslcommerzGateway
from vextrus_payments.gateways.sslcommerz.returns import parse_return, return_url
from vextrus_payments.methods import MethodKind
from vextrus_payments.money import Money
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import SnapshotState
from vextrus_payments.testing import ScriptedTransport


def gateway() -> SslcommerzGateway:
    return SslcommerzGateway(
        SslcommerzConfig(
            store_id=STORE,
            store_password=Secret(PASSWORD),
            callback_url="https://shop.example/sslcommerz/return",
        ),
        transport=ScriptedTransport([]),
        tenant="acme",
    )


def delivery(body: bytes) -> Delivery:
    return Delivery(method="POST", query="", headers={}, body=body, received_at=NOW)


async def news(fields: dict[str, str]) -> GatewayEvent:
    read = await gateway().handle_webhook(delivery(posted(fields)))
    assert isinstance(read, Events) and len(read.events) == 1
    return read.events[0]


async def test_a_valid_notification_is_news_of_money_and_never_paid_by_itself() -> None:
    event = await news(sign(notified()))
    seen = event.snapshot
    assert seen is not None and seen.state is SnapshotState.REVIEW
    assert (seen.gateway_order_id, seen.gateway_reference, seen.transaction_id) == (None, REFERENCE, BANK)
    assert seen.amount == Money("1250.00") and seen.method is not None and seen.method.name == "bkash"
    assert event.occurred_at == datetime(2026, 11, 23, 4, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("FAILED", SnapshotState.INITIATED),
        ("CANCELLED", SnapshotState.CANCELLED),
        ("EXPIRED", SnapshotState.EXPIRED),
        ("UNATTEMPTED", SnapshotState.EXPIRED),
    ],
)
async def test_a_notification_without_money_names_neither_amount_nor_transaction(
    status: str, state: SnapshotState
) -> None:
    event = await news(sign(notified(status)))
    assert event.snapshot is not None and event.snapshot.state is state
    assert event.snapshot.transaction_id is None and event.snapshot.amount is None and event.news_key is None


async def test_a_cancelled_one_has_no_card_fields() -> None:
    """§1.4: neither cards nor an issuer; blank bank_tran_id."""
    whole = notified("CANCELLED", error="Cancelled by User", bank_tran_id="")
    bare = {name: value for name, value in whole.items() if not name.startswith("card_")}
    event = await news(sign(bare))
    assert event.snapshot is not None and event.snapshot.method is None


async def test_the_same_notification_is_the_same_event_whatever_stands_beside_it() -> None:
    whole = sign(notified())
    first, again = await news(whole), await news({**whole, "subscription_id": "7"})
    older = {name: value for name, value in whole.items() if name != "verify_sign_sha2"}
    assert first.event_id == again.event_id == (await news(older)).event_id
    assert first.news_key == again.news_key
    other = await news(sign(notified(tran_date="2026-11-23 10:15:01")))
    assert other.event_id != first.event_id and other.news_key == first.news_key
    assert len(first.event_id) <= 256 and first.event_id.isascii()


async def test_what_carries_no_reference_of_ours_names_no_payment_of_ours() -> None:
    """Its tran_id may be one of ours: SSLCommerz takes it from anybody who has the store's password."""
    for value_d in ("", "their own note", REFERENCE.lower()):
        event = await news(sign(notified(value_d=value_d)))
        assert event.snapshot is not None
        assert (event.snapshot.gateway_order_id, event.snapshot.gateway_reference) == (None, "")
        assert event.snapshot.transaction_id == BANK


async def test_risky_converted_and_unreadable_amounts() -> None:
    risky = await news(sign(notified(risk_level="1", risk_title="Suspicious")))
    assert risky.snapshot is not None and risky.snapshot.on_hold
    dollars = {"amount": "1219.00", "currency_type": "USD", "currency_amount": "10.00"}
    converted = await news(sign(notified(**dollars)))
    assert converted.snapshot is not None and converted.snapshot.amount == Money("10.00", "USD")
    fine = await news(sign(notified(amount="12.505")))
    assert fine.snapshot is not None and fine.snapshot.amount is None


async def test_what_is_not_proven_says_whose_gateway_refused_it() -> None:
    for body, kind in (
        (posted(notified()), SignatureError),
        (posted({**sign(notified()), "amount": "1.00"}), SignatureError),
        (b"amount=1&amount=2", MalformedWebhookError),
    ):
        with pytest.raises(kind) as caught:
            await gateway().handle_webhook(delivery(body))
        assert caught.value.gateway == "sslcommerz" and caught.value.tenant == "acme"
        with pytest.raises(kind):
            gateway().validate_webhook_signature(delivery(body))
    gateway().validate_webhook_signature(delivery(posted(sign(notified()))))


@pytest.mark.parametrize(
    ("card_type", "card_brand", "kind", "name"),
    [
        ("BKASH-BKash", "MOBILEBANKING", MethodKind.WALLET, "bkash"),
        ("DBBLMOBILEB-Dbbl Mobile Banking", "MOBILE BANKING", MethodKind.WALLET, "rocket"),
        ("UPAY-Upay", "MOBILEBANKING", MethodKind.WALLET, "upay"),
        ("CELLFIN-CellFin", "MOBILEBANKING", MethodKind.WALLET, "cellfin"),
        ("VISA-Dutch Bangla", "VISA", MethodKind.CARD, "visa"),
        ("MASTER-City Bank", "MASTER", MethodKind.CARD, "mastercard"),
        ("AMEX-City Bank", "AMEX", MethodKind.CARD, "amex"),
        ("NEXUS-Dutch Bangla", "NEXUS", MethodKind.CARD, "nexus"),
        ("IBBL-Islami Bank", "IB", MethodKind.INTERNET_BANKING, "ibbl"),
        ("VISA", "", MethodKind.CARD, "visa"),
        ("", "VISA", MethodKind.CARD, "visa"),
        ("NEWPAY-New Pay", "MOBILEBANKING", MethodKind.WALLET, "newpay"),
        ("NEWPAY-New Pay", "", MethodKind.OTHER, "newpay"),
    ],
)
async def test_by_what_the_payer_paid(card_type: str, card_brand: str, kind: MethodKind, name: str) -> None:
    event = await news(sign(notified(card_type=card_type, card_brand=card_brand)))
    assert event.snapshot is not None and event.snapshot.method is not None
    assert (event.snapshot.method.kind, event.snapshot.method.name) == (kind, name)


async def test_a_number_in_the_place_of_a_channel_is_no_method() -> None:
    for odd in (
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111.1111.1111.1111-Visa",
        "PIN: 4821",
        "CVV 123",
        "",
    ):
        event = await news(sign(notified(card_type=odd, card_brand="")))
        assert event.snapshot is not None and event.snapshot.method is None
    known = await news(sign(notified(card_type="VISA-4111111111111111", card_brand="")))
    assert known.snapshot is not None and known.snapshot.method is not None
    assert (known.snapshot.method.name, known.snapshot.method.raw) == ("visa", "")


# --- the browser ------------------------------------------------------------------------------------------------------


def came(door: str = "https://shop.example/pay/sslcommerz/return", word: str = "success") -> dict[str, str]:
    from urllib.parse import parse_qsl, urlsplit

    return dict(parse_qsl(urlsplit(return_url(door, REFERENCE, word)).query))


@pytest.mark.parametrize(
    ("word", "status", "verdict"),
    [
        ("success", "VALID", HintVerdict.SUCCESS),
        ("success", "VALIDATED", HintVerdict.SUCCESS),
        ("fail", "FAILED", HintVerdict.FAILURE),
        ("fail", "EXPIRED", HintVerdict.FAILURE),
        ("cancel", "CANCELLED", HintVerdict.CANCEL),
        ("fail", "CANCELLED", HintVerdict.CANCEL),
        ("cancel", "UNATTEMPTED", HintVerdict.CANCEL),
        ("success", "FAILED", HintVerdict.UNRECOGNIZED),
        ("fail", "VALID", HintVerdict.UNRECOGNIZED),
        ("success", "", HintVerdict.SUCCESS),
        ("cancel", "NEW", HintVerdict.CANCEL),
        ("", "VALID", HintVerdict.SUCCESS),
        ("odd", "", HintVerdict.UNRECOGNIZED),
    ],
)
def test_the_address_and_the_status_say_together_what_is_claimed(
    word: str, status: str, verdict: HintVerdict
) -> None:
    hint = parse_return({**notified(), **came(word=word), "status": status}, store_id=STORE)
    assert (hint.gateway_reference, hint.verdict, hint.gateway) == (REFERENCE, verdict, "sslcommerz")


def test_a_browser_without_a_body_still_names_its_payment_and_so_does_one_without_a_query() -> None:
    assert parse_return(came(), store_id=STORE).gateway_reference == REFERENCE
    posted_only: dict[str, Any] = {name: [value] for name, value in notified().items()}
    assert parse_return(posted_only, store_id=STORE).gateway_reference == REFERENCE


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"vextrus_ref": "short"},
        {"vextrus_ref": REFERENCE, "value_d": "MFRGGZDFMZTWQ2LKNNWG23TPOB"},
        {"value_d": ["MFRGGZDFMZTWQ2LKNNWG23TPOA", "MFRGGZDFMZTWQ2LKNNWG23TPOB"]},
        {"value_d": "mfrggzdfmztwq2lknnwg23tpoa"},
        {"tran_id": TRAN_ID, "status": "VALID"},
        {"vextrus_ref": REFERENCE, "store_id": "another"},
        {"vextrus_ref": 7},
    ],
)
def test_a_return_that_names_no_payment_two_or_another_stores_is_refused(params: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_return(params, store_id=STORE)
    assert caught.value.__context__ is None


def test_the_three_addresses_keep_what_the_door_has_already() -> None:
    assert (
        return_url("https://s.example/r", "R", "fail")
        == "https://s.example/r?vextrus_came=fail&vextrus_ref=R"
    )
    assert return_url("https://s.example/r?a=1", "R", "fail").startswith(
        "https://s.example/r?a=1&vextrus_came="
    )
    assert return_url("https://s.example/r?", "R", "fail").startswith("https://s.example/r?vextrus_came=")
