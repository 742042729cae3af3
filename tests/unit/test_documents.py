"""Records as JSON and back: every record, any content, exactly; and nothing that could not be read back."""

import types
import typing
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vextrus_payments.documents import from_json, to_json
from vextrus_payments.errors import StorageError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import EntryKind, LedgerEntry, Posting, Side
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.records import Attempt, Operation, OutboxRow, Payment, Receipt, ReceiptKind, Submission
from vextrus_payments.testing.time import EPOCH

CANARY = "canary-in-a-record"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
zones = st.sampled_from([UTC, timezone(timedelta(hours=6)), timezone(-timedelta(hours=3, minutes=30))])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: st.datetimes(timezones=zones, allow_imaginary=False),
    Money: st.builds(
        Money.from_minor, st.integers(-(10**17) + 1, 10**17 - 1), st.sampled_from(["BDT", "JPY", "KWD"])
    ),
    Evidence: st.builds(Evidence, texts, st.dictionaries(texts, json_values, max_size=3)),
}


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type as the records use them: a field that is added to a record is tried from then on."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return st.one_of(*(of(each) for each in arguments))
    if origin is frozenset:
        return st.frozensets(of(arguments[0]))
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=3).map(tuple)
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return st.dictionaries(of(arguments[0]), of(arguments[1]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint)
    return st.builds(hint, **{name: of(each) for name, each in hints.items()})


RECORDS = (Payment, Submission, Operation, Attempt, Receipt, OutboxRow, PaymentEvent)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@settings(max_examples=max(25, settings().max_examples // 4))
@given(data=st.data())
def test_a_record_comes_back_as_it_was(cls: type[Any], data: st.DataObject) -> None:
    record = data.draw(of(cls))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = to_json(record)
        assert "\n" not in text
        again = from_json(cls, text)
    assert again == record  # the text may differ: a set of flags has no order


@given(amount=st.integers(1, 10**17 - 1), metadata=of(Mapping[str, str]), at=SIMPLE[datetime])
def test_a_ledger_entry_comes_back_as_it_was(amount: int, metadata: Mapping[str, str], at: datetime) -> None:
    money = Money.from_minor(amount)
    entry = LedgerEntry(
        id="ent_1",
        kind=EntryKind.PAYMENT_RECEIVED,
        tenant="acme",
        gateway="bkash",
        mode=Mode.LIVE,
        payment_id=None,
        merchant_reference="INV-1",
        transaction_id="TRX1",
        postings=(Posting("a", Side.DEBIT, money), Posting("b", Side.CREDIT, money)),
        recorded_at=at,
        metadata=metadata,
    )
    assert from_json(LedgerEntry, to_json(entry)) == entry


def attempt() -> Attempt:
    return Attempt(
        tenant="acme", operation_id="op", payment_id="pay", fence=1, started_at=EPOCH, send_by=EPOCH
    )


def fails(call: Any, *arguments: Any) -> StorageError:
    with pytest.raises(StorageError) as caught:
        call(*arguments)
    error = caught.value
    assert error.__cause__ is None and error.__context__ is None
    assert CANARY not in f"{error} {error!r} {error.context}"
    return error


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"fence":1', '"fence":"1"'),
        ('"fence":1', '"fence":1.0'),
        ('"fence":1', '"fence":true'),
        ('"tenant":"acme"', '"tenant":7'),
        ('"tenant":"acme",', ""),
        ("2026-01-15T06:00:00Z", CANARY),
        ('"exchanges":[]', '"exchanges":{}'),
        ("{", ""),
        ("}", f"}}{CANARY}"),
    ],
)
def test_nothing_is_coerced_when_read(before: str, after: str) -> None:
    text = to_json(attempt())
    assert before in text
    error = fails(from_json, Attempt, text.replace(before, after, 1))
    assert error.code == "storage_unreadable"
    assert "Attempt" in error.what


def test_money_is_text_and_stays_exact() -> None:
    receipt = Receipt(
        tenant="t",
        gateway="bkash",
        mode=Mode.LIVE,
        kind=ReceiptKind.PAYMENT,
        transaction_id="TRX",
        amount=Money("999999999999999.99"),
        recorded_at=EPOCH,
        payment_id=None,
    )
    text, written = to_json(receipt), '{"amount":"999999999999999.99","currency":"BDT"}'
    assert written in text
    for wrong in ("999999999999999.99", '"1,500.00"', '{"amount":1.5,"currency":"BDT"}', "1", "null"):
        fails(from_json, Receipt, text.replace(written, wrong, 1))


@pytest.mark.parametrize(
    "bad",
    [
        {"result": f"\ud800{CANARY}"},
        {"fence": "1"},
        {"fence": 1.5},
        {"started_at": "2026-01-15"},
    ],
)
def test_what_could_not_be_read_back_is_not_written(bad: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = fails(to_json, replace(attempt(), **bad))
    assert error.code == "storage_bad_value"


def test_a_later_releases_field_is_no_obstacle() -> None:
    """Release N-1 reads what release N wrote: a field that it does not know is passed over."""
    text = to_json(attempt()).replace("{", '{"later":{"x":1},', 1)
    assert from_json(Attempt, text) == attempt()


def test_a_field_that_was_added_later_has_its_default() -> None:
    text = to_json(attempt()).replace(',"exchanges":[]', "")
    assert "exchanges" not in text
    assert from_json(Attempt, text) == attempt()
