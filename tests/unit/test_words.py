"""Requests, ids, reasons, order ids, events and ledger entries: what is refused, what is stable."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.capabilities import OrderIdRule
from vextrus_payments.documents import from_json, to_json
from vextrus_payments.errors import AmountError, ConfigurationError, InvalidRequestError, StorageError
from vextrus_payments.ids import Ids
from vextrus_payments.ledger import LedgerEntry, Posting, Side, entries_for, entry_id
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import PaymentRequest, RefundRequest
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import Flag, Receipt, ReceiptKind
from vextrus_payments.testing.time import FakeClock, FakeEntropy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def request(**changes: Any) -> PaymentRequest:
    fields: dict[str, Any] = {
        "operation_id": "order-1/pay",
        "gateway": "bkash",
        "amount": Money("100", "BDT"),
        "merchant_reference": "INV-1",
    }
    return PaymentRequest(**{**fields, **changes})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("operation_id", ""), ("operation_id", "a b"), ("operation_id", "x" * 201), ("operation_id", "é"),
        ("operation_id", None), ("operation_id", "a\n"), ("gateway", "bKash!"), ("gateway", ""),
        ("merchant_reference", ""), ("merchant_reference", "x" * 201), ("merchant_reference", "INV\x001"),
        ("amount", Money("0", "BDT")), ("amount", Money("-1", "BDT")), ("amount", 100), ("amount", "100"),
        ("return_url", "javascript:alert(1)"), ("return_url", "/relative"), ("return_url", "https://a:b@h/"),
        ("return_url", "https://"), ("return_url", "https://h/\r\nX: y"), ("return_url", "https://h:99999/"),
        ("metadata", {"k": 1}), ("metadata", {"": "v"}), ("metadata", {str(i): "v" for i in range(51)}),
        ("metadata", {"k": "v" * 501}), ("metadata", ["k"]),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_by_name_before_anything_is_sent(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        request(**{field: value})
    assert caught.value.field == field
    assert caught.value.rule
    assert "No money moved" in str(caught.value)


@pytest.mark.parametrize("amount", [Money("0", "BDT"), Money("-5", "BDT"), 5, "5"])
def test_a_refund_is_of_money_above_zero(amount: Any) -> None:
    with pytest.raises(AmountError):
        RefundRequest(operation_id="r-1", payment_id="pay_1", amount=amount)


def test_the_digest_tells_intents_apart_and_repeats() -> None:
    same = request().digest()
    assert request().digest() == same
    others = [
        request(amount=Money("100.01", "BDT")),
        request(merchant_reference="INV-2"),
        request(gateway="nagad"),
        request(return_url="https://shop.example/"),
        request(allow_repeat=True),
    ]
    assert len({same, *(o.digest() for o in others)}) == 6
    whole = RefundRequest(operation_id="r", payment_id="p")
    assert (
        whole.digest() != RefundRequest(operation_id="r", payment_id="p", amount=Money("1", "BDT")).digest()
    )


def test_metadata_is_a_copy() -> None:
    given_metadata = {"a": "1"}
    made = request(metadata=given_metadata)
    given_metadata["a"] = "2"
    assert made.metadata == {"a": "1"}


def test_ids_are_prefixed_ordered_and_repeat_for_a_seed() -> None:
    clock = FakeClock()
    ids = Ids(clock, FakeEntropy(1))
    first = ids.new("pay")
    clock.advance(1)
    second = ids.new("pay")
    assert first.startswith("pay_")
    assert len(first) == 30
    assert first < second
    assert Ids(FakeClock(), FakeEntropy(1)).new("pay") == first


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_speaks_english_and_bangla(code: ReasonCode) -> None:
    reason = Reason(code=code)
    assert reason.text().isascii()
    assert any("\u0980" <= letter <= "\u09ff" for letter in reason.text("bn"))


def test_the_gateways_own_words_win_where_it_gave_any() -> None:
    reason = Reason(code=ReasonCode.WRONG_PIN, own_words={"en": "Wrong PIN"})
    assert reason.text("en") == "Wrong PIN"
    assert reason.text("bn") != "Wrong PIN"


RULES = [
    OrderIdRule(characters=r" -;=?-~", min_length=1, max_length=255),
    OrderIdRule(characters="A-Za-z0-9", min_length=5, max_length=20),
    OrderIdRule(characters="A-Za-z0-9-", min_length=1, max_length=30),
]


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=200),
       st.integers(min_value=1, max_value=10**6), st.sampled_from(RULES))  # fmt: skip
def test_a_made_order_id_always_fits_its_rule(reference: str, number: int, rule: OrderIdRule) -> None:
    assert rule.fits(rule.make(reference, number))


def test_order_ids_count_up() -> None:
    assert [RULES[0].make("INV-8812", n) for n in (1, 2, 3)] == ["INV-8812", "INV-8812-2", "INV-8812-3"]
    with pytest.raises(ConfigurationError):
        OrderIdRule(characters="0-9", min_length=1, max_length=2).make("1", 1000)


def receipt(**changes: Any) -> Receipt:
    fields: dict[str, Any] = {
        "tenant": "default", "gateway": "bkash", "mode": Mode.SANDBOX, "kind": ReceiptKind.PAYMENT,
        "transaction_id": "DAQ1", "amount": Money("100", "BDT"), "recorded_at": NOW, "payment_id": "pay_1",
    }  # fmt: skip
    return Receipt(**{**fields, **changes})


@given(
    st.integers(min_value=1, max_value=10**12),
    st.sampled_from(list(ReceiptKind)),
    st.sampled_from([None, 1, 250]),
    st.booleans(),
    st.sets(st.sampled_from(list(Flag))),
)
def test_entries_balance_and_touch_clearing_by_the_receipts_amount(
    minor: int, kind: ReceiptKind, fee: int | None, mismatched: bool, flags: set[Flag]
) -> None:
    made = receipt(
        kind=kind, amount=Money.from_minor(minor), mismatched=mismatched, flags=frozenset(flags),
        fee=Money.from_minor(fee) if fee else None,
    )  # fmt: skip
    clearing = 0
    for entry in entries_for(made, None):
        sides = {Side.DEBIT: 0, Side.CREDIT: 0}
        for posting in entry.postings:
            sides[posting.side] += posting.amount.amount_minor
            if "clearing" in posting.account:
                clearing += posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
        assert sides[Side.DEBIT] == sides[Side.CREDIT] > 0
        assert from_json(LedgerEntry, to_json(entry)) == entry
    moved = {ReceiptKind.PAYMENT: minor, ReceiptKind.TRANSFER: 0, ReceiptKind.TRANSFER_BACK: 0}.get(
        kind, -minor
    )
    assert clearing == moved - (fee or 0)


def test_an_entry_id_is_the_facts_and_nothing_elses() -> None:
    key = receipt().key
    entry = entries_for(receipt(), None)[0]
    assert entry_id(key, entry.kind) == entry.id
    others = [
        receipt(tenant="acme"), receipt(mode=Mode.LIVE), receipt(transaction_id="DAQ2"), receipt(gateway="nagad"),
        receipt(kind=ReceiptKind.REFUND),
    ]  # fmt: skip
    assert len({entry.id, *(entries_for(o, None)[0].id for o in others)}) == 6
    assert entries_for(receipt(recorded_at=datetime(2027, 1, 1, tzinfo=UTC)), None)[0].id == entry.id


def test_an_unbalanced_entry_cannot_be_made() -> None:
    entry = entries_for(receipt(), None)[0]
    fields = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    for postings in [
        entry.postings[:1],
        (),
        (entry.postings[0], Posting("x", Side.CREDIT, Money("99", "BDT"))),
    ]:
        with pytest.raises(ValueError, match="debits equal"):
            LedgerEntry(**{**fields, "postings": postings})
    with pytest.raises(ValueError, match="above zero"):
        Posting("x", Side.DEBIT, Money("0", "BDT"))


def test_what_is_no_record_is_a_storage_error_that_quotes_nothing() -> None:
    with pytest.raises(StorageError) as caught:
        from_json(Receipt, '{"tenant": "value-that-must-not-show"}')
    assert "value-that-must-not-show" not in str(caught.value)
    assert caught.value.__context__ is None
