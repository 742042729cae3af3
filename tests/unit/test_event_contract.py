"""PaymentEvent as JSON is a public contract, too: it is what an HTTP endpoint is posted. As test_ledger_contract.py."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vextrus_payments.documents import from_json, to_json
from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.records import Resolution, ResolutionVerdict

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).resolve().parent / "golden" / "events"
AT = datetime(2026, 1, 15, 6, 4, 30, 120000, tzinfo=UTC)

EVENTS = {
    "paid": PaymentEvent(
        id="evt_01kf0examp1e0000000000000b",
        kind=EventKind.PAID,
        tenant="acme",
        gateway="bkash",
        mode=Mode.LIVE,
        payment_id="pay_01kf0examp1e0000000000000a",
        merchant_reference="INV-8812",
        occurred_at=AT,
        before="awaiting_payer",
        after="paid",
        operation_id="execute/pay_01kf0examp1e0000000000000a/1",
        amount=Money("1250.50", "BDT"),
        transaction_id="DAF4KWXYZ1",
        correlation_id="req-7f3a",
        metadata={"order": "8812"},
    ),
    "declined": PaymentEvent(
        id="evt_01kf0examp1e0000000000000c",
        kind=EventKind.DECLINED,
        tenant="acme",
        gateway="bkash",
        mode=Mode.SANDBOX,
        payment_id="pay_01kf0examp1e0000000000000a",
        merchant_reference="INV-8812",
        occurred_at=AT,
        before="awaiting_payer",
        after="closed",
        reason_code="insufficient_balance",
    ),
    "resolved": PaymentEvent(
        id="evt_01kf0examp1e0000000000000d",
        kind=EventKind.RESOLVED,
        tenant="acme",
        gateway="bkash",
        mode=Mode.LIVE,
        payment_id="pay_01kf0examp1e0000000000000a",
        merchant_reference="INV-8812",
        occurred_at=AT,
        before="unknown",
        after="succeeded",
        resolution=Resolution(
            verdict=ResolutionVerdict.MADE,
            actor="rahima",
            reason="bKash confirmed it by mail",
            evidence=("ticket 4711",),
            reviewed_version=7,
            at=AT,
            transaction_id="DAF4KWXYZ1",
            amount=Money("1250.50", "BDT"),
        ),
    ),
    "agreement": PaymentEvent(
        id="evt_01kf0examp1e0000000000000e",
        kind=EventKind.AGREEMENT_ACTIVE,
        tenant="acme",
        gateway="bkash",
        mode=Mode.LIVE,
        payment_id=None,
        merchant_reference=None,
        occurred_at=AT,
        before="awaiting_payer",
        after="active",
        agreement_key="agr_01kf0examp1e0000000000000f",
    ),
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_written_as_it_always_was_and_read_back(name: str) -> None:
    line = (GOLDEN / f"{name}.json").read_text(encoding="utf-8").rstrip("\n")
    assert to_json(EVENTS[name]) == line
    assert from_json(PaymentEvent, line) == EVENTS[name]
    assert json.loads(line)["schema_version"] == 1


def test_every_golden_file_has_its_event() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(EVENTS)


def test_the_page_names_every_kind_of_news() -> None:
    page = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    section = page.split("## News")[1].split("\n## ")[0]
    assert [kind.value for kind in EventKind if f"`{kind.value}`" not in section] == []
