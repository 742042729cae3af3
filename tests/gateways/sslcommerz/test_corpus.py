"""Bodies collected from public repositories: each one is read, and the two real notifications are proven.

The collection lies beside the repository and is not part of it; without it these tests are skipped, and the shapes
we rely on stand in golden/.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateways.nagad.hand import Drive
from tests.gateways.sslcommerz.hand import NOW, answer, api, posted
from vextrus_payments.errors import Effect, OutcomeUnknownError, SignatureError
from vextrus_payments.gateways.readings import Accepted
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz import protocol
from vextrus_payments.gateways.sslcommerz.envelope import (
    INVOICE,
    INVOICE_STATUS,
    QUERY,
    REFUND,
    SESSION,
    VALIDATE,
    Call,
    read,
)
from vextrus_payments.gateways.sslcommerz.signature import read_post, verify
from vextrus_payments.gateways.sslcommerz.webhook import event_of
from vextrus_payments.money import Money
from vextrus_payments.payment import StatusCall
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import SnapshotState

CORPUS = Path(__file__).parents[3].parent / "shared" / "testdata" / "gateway_bodies.jsonl"

pytestmark = pytest.mark.skipif(
    not CORPUS.is_file(), reason="the collected bodies do not lie beside the repository (../shared/testdata)"
)

ROWS: list[dict[str, Any]] = (
    [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()] if CORPUS.is_file() else []
)
MINE = [row for row in ROWS if row["gateway"] == "sslcommerz"]


def rows(*endpoints: str) -> pytest.MarkDecorator:
    chosen = [row for row in MINE if row["endpoint"] in endpoints]
    return pytest.mark.parametrize("row", chosen, ids=lambda row: str(row["id"]))


def test_there_are_some_of_every_kind() -> None:
    kinds = {row["endpoint"] for row in MINE}
    assert kinds == {
        "invoice_create", "invoice_status", "ipn", "refund", "session_init", "transaction_query", "transaction_row",
        "validation",
    }  # fmt: skip


@rows("session_init", "transaction_query", "validation", "refund", "invoice_create", "invoice_status")
def test_each_is_read_as_a_success_of_its_call(row: dict[str, Any]) -> None:
    calls: dict[str, Call[Any]] = {
        "session_init": SESSION,
        "transaction_query": QUERY,
        "validation": VALIDATE,
        "refund": REFUND,
        "invoice_create": INVOICE,
        "invoice_status": INVOICE_STATUS,
    }
    reading = read(calls[row["endpoint"]], answer(row["body"]))
    # One fixture leaves out APIConnect, which every real answer has: it proves nothing.
    assert isinstance(reading, Accepted) is (
        row["endpoint"] in ("session_init", "invoice_create") or "APIConnect" in row["body"]
    )


@rows("session_init")
def test_each_page_is_taken_and_leads_to_sslcommerz(row: dict[str, Any]) -> None:
    own = api(root="https://sandbox.sslcommerz.com")
    assert protocol.is_page(row["body"]["GatewayPageURL"], own)


@rows("validation")
def test_each_validation_is_paid_for_whose_it_is_and_nobody_elses(row: dict[str, Any]) -> None:
    body = row["body"]
    if "tran_id" not in body or "APIConnect" not in body or "currency" not in body:
        pytest.skip("a fixture that leaves out what every real answer has")
    listing = answer({"APIConnect": "DONE", "no_of_trans_found": 1, "element": [body]})

    def call(**changes: Any) -> StatusCall:
        known: dict[str, Any] = {
            "gateway_reference": body["value_d"],
            "gateway_order_id": body["tran_id"],
            "amount": Money(body["amount"]),
        }
        return StatusCall(**{**known, **changes})

    seen = Drive(listing, answer(body)).run(
        protocol.look_up(api(), call(gateway_reference=body["value_d"] or "x"), NOW)
    )
    if body["value_d"]:
        assert (
            seen.state is SnapshotState.PAID
            and seen.fee is not None
            and seen.transaction_id == body["bank_tran_id"]
        )
        more = call(amount=Money(body["amount"]) + Money("0.01"))
        assert (
            Drive(listing, answer(body)).run(protocol.look_up(api(), more, NOW)).state is SnapshotState.REVIEW
        )
    else:  # a session that was not opened by us carries no reference of ours: money for a person to look at
        assert seen.state is SnapshotState.REVIEW


@rows("ipn")
def test_each_real_notification_is_proven_by_both_digests(row: dict[str, Any]) -> None:
    body, store = row["body"], row["body"]["store_id"]
    password = Secret(f"{store}@ssl")
    for left_out in (None, "verify_sign", "verify_sign_sha2"):
        kept = {name: value for name, value in body.items() if name != left_out}
        signed = verify(read_post(posted(kept)), store_id=store, password=password)
        snapshot = event_of(signed).snapshot
        assert snapshot is not None and snapshot.state is SnapshotState.REVIEW
        assert snapshot.transaction_id == body["bank_tran_id"] and snapshot.amount == Money(body["amount"])


@rows("ipn")
def test_every_change_of_one_field_of_a_real_notification_is_refused(row: dict[str, Any]) -> None:
    body, store = row["body"], row["body"]["store_id"]
    changed = 0
    for name, value in body.items():
        for other in {
            value + "0",
            "0" + value,
            value[:-1],
            value.upper(),
            value.lower(),
            value.replace(".", ""),
        }:
            if other == value:
                continue
            changed += 1
            with pytest.raises(SignatureError):
                verify(
                    read_post(posted({**body, name: other})), store_id=store, password=Secret(f"{store}@ssl")
                )
    assert changed > 80


@rows("session_init", "transaction_query", "transaction_row", "validation", "refund")
def test_none_is_mistaken_for_an_answer_to_another_call(row: dict[str, Any]) -> None:
    """A session's answer is no validation, a refund's is no list, and none of them pays anything."""
    call = StatusCall(
        gateway_reference="MFRGGZDFMZTWQ2LKNNWG23TPOA", gateway_order_id="INV-8812", amount=Money("100.00")
    )
    drive = Drive(answer(row["body"]))
    try:
        seen = drive.run(protocol.look_up(api(), call, NOW))
    except OutcomeUnknownError as error:
        assert error.effect is Effect.NONE
    else:
        assert seen.state is SnapshotState.INITIATED and row["endpoint"] == "transaction_query"


@rows("transaction_row")
def test_each_row_is_read(row: dict[str, Any]) -> None:
    found = m.Transaction.from_json(json.dumps(row["body"]).encode())
    assert found.status == "VALID" and found.val_id
