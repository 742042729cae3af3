"""Formats as files: what fits together is taken, what does not is said."""

import json
from pathlib import Path

import pytest

from vextrus_payments.errors import StatementError
from vextrus_payments.records import ReceiptKind
from vextrus_payments.settlement import Column, StatementFormat
from vextrus_payments.settlement.formats import GENERIC, SETTLED_KINDS

TOML = """
name = "a portal's export"
thousands = ","
settled_words = ["Completed"]
settled_format = "%d/%m/%Y"

[columns]
transaction_id = "Transaction ID"
amount = ["Amount", "Gross amount"]
kind = "Type"
status = "Status"
settled_on = "Settlement date"

[kinds]
"Merchant payment" = "payment"
Refund = "refund"
"""


def broken(**more: object) -> dict[str, object]:
    return {"columns": {"transaction_id": "id", "amount": "amount"}, **more}


def test_a_toml_file_and_a_json_file_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "portal.toml").write_text(TOML, encoding="utf-8")
    form = StatementFormat.from_file(tmp_path / "portal.toml")
    assert form.columns[Column.AMOUNT] == ("Amount", "Gross amount")
    assert form.receipt_kinds == {ReceiptKind.PAYMENT, ReceiptKind.REFUND}
    (tmp_path / "portal.json").write_text(
        "\ufeff" + json.dumps(form.model_dump(mode="json")), encoding="utf-8"
    )
    assert StatementFormat.from_file(tmp_path / "portal.json") == form


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "columns"),
        ({"columns": {"amount": "a"}}, "no heading for transaction_id"),
        ({"columns": {"transaction_id": "a"}}, "no heading for amount"),
        (broken(columns={"transaction_id": "a", "amount": " A "}), "one heading to two columns"),
        (broken(columns={"transaction_id": "a", "amount": ""}), "an empty one"),
        (broken(columns={"transaction_id": "a", "amount": []}), "amount"),
        (broken(columns={"transaction_id": "a", "amount": "b", "kind": "c"}), "kinds does not say"),
        (broken(kinds={"Moved": "transfer"}), "ignored_kinds"),
        (broken(kinds={"Moved": "transfer_back"}), "ignored_kinds"),
        (broken(columns={"transaction_id": "a", "amount": "b", "status": "c"}), "settled_words does not say"),
        (broken(columns={"transaction_id": "a", "amount": "b", "colour": "c"}), "columns.colour"),
        (broken(settled_words=["Done"], unsettled_words=["done "]), "two meanings"),
        (broken(kinds={"Pay": "payment"}, ignored_kinds=["pay"]), "two meanings"),
        (broken(kinds={"Pay": "income"}), "kinds.Pay"),
        (broken(thousands=",", decimal_point=","), "the same character"),
        (broken(thousands=";"), "thousands"),
        (broken(currency="taka"), "currency"),
        (broken(color="red"), "color"),
        (broken(delimiter=";;"), "delimiter"),
    ],
)
def test_what_does_not_fit_together_is_said(document: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "form.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(StatementError) as caught:
        StatementFormat.from_file(path)
    assert words in str(caught.value)
    assert "form.json" in str(caught.value)
    assert caught.value.__context__ is None


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    for name, text, words in (
        ("a.toml", "columns = ", "no TOML"),
        ("a.json", "[" * 100_000, "no JSON"),
        ("b.json", "{", "no JSON"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(StatementError, match=words):
            StatementFormat.from_file(tmp_path / name)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(StatementError):
        StatementFormat.from_file(tmp_path / "latin.toml")
    with pytest.raises(StatementError, match="No such file"):
        StatementFormat.from_file(tmp_path / "absent.toml")


def test_the_generic_format_needs_only_ids_and_amounts() -> None:
    assert GENERIC.receipt_kinds == set(SETTLED_KINDS)
    assert set(GENERIC.columns) - set(GENERIC.optional) == {Column.TRANSACTION_ID, Column.AMOUNT}
