"""Bodies collected from public repositories: each one is read, or becomes a typed error.

The collection lies beside the repository and is not part of it; without it these tests are skipped, and the shapes
we rely on stand in golden/.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateways.nagad.hand import NOW, Drive, answer, api, initialized, order, refusal, sealed
from vextrus_payments.errors import Effect, OutcomeUnknownError
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad import protocol
from vextrus_payments.gateways.nagad.envelope import COMPLETE, INITIALIZE, VERIFY, Call, read
from vextrus_payments.gateways.readings import Accepted
from vextrus_payments.money import Money
from vextrus_payments.payment import StatusCall
from vextrus_payments.snapshots import SnapshotState

CORPUS = Path(__file__).parents[3].parent / "shared" / "testdata" / "gateway_bodies.jsonl"

pytestmark = pytest.mark.skipif(
    not CORPUS.is_file(), reason="the collected bodies do not lie beside the repository (../shared/testdata)"
)

ROWS: list[dict[str, Any]] = (
    [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()] if CORPUS.is_file() else []
)
NAGAD = [row for row in ROWS if row["gateway"] == "nagad"]


def rows(*endpoints: str) -> pytest.MarkDecorator:
    chosen = [row for row in NAGAD if row["endpoint"] in endpoints]
    return pytest.mark.parametrize("row", chosen, ids=lambda row: str(row["id"]))


def test_there_are_some_of_every_kind() -> None:
    kinds = {row["endpoint"] for row in NAGAD}
    assert kinds == {"complete", "initialize_plain", "initialize_sealed", "verify"}


@rows("complete", "initialize_sealed", "verify")
def test_each_is_read_as_a_success_of_its_call_and_of_no_other(row: dict[str, Any]) -> None:
    calls: dict[str, Call[Any]] = {
        "complete": COMPLETE,
        "initialize_sealed": INITIALIZE,
        "verify": VERIFY,
    }
    for name, call in calls.items():
        assert isinstance(read(call, answer(row["body"])), Accepted) is (name == row["endpoint"])


@rows("initialize_plain")
def test_each_sealed_text_is_read_and_is_not_this_orders(row: dict[str, Any]) -> None:
    said = m.InitializeAnswerText.from_json(json.dumps(row["body"]).encode())
    assert said.payment_reference_id and said.challenge
    drive = Drive(sealed(row["body"]), refusal("16_0006_055"), refusal("16_0006_055"))
    error = drive.fails(protocol.open_payment(api(), order()))
    assert isinstance(error, OutcomeUnknownError) and error.effect is Effect.NONE
    # One that does not say whose it is is bound by what follows: nothing completes under it, nothing verifies.
    assert drive.steps in (["initialize"], ["initialize", "complete", "complete.look_up"])


@rows("initialize_sealed")
def test_each_sealed_answer_is_a_strangers(row: dict[str, Any]) -> None:
    error = Drive(answer(row["body"])).fails(protocol.open_payment(api(), order()))
    assert isinstance(error, OutcomeUnknownError) and "its seal is not Nagad's" in str(error)


@rows("complete")
def test_each_page_is_another_payments(row: dict[str, Any]) -> None:
    look = answer({"reason": "16_0006_055"}, 400)
    error = Drive(initialized(), answer(row["body"]), look).fails(protocol.open_payment(api(), order()))
    assert isinstance(error, OutcomeUnknownError)


@rows("verify")
def test_each_paid_answer_is_paid_for_whose_it_is(row: dict[str, Any]) -> None:
    body = row["body"]
    own = api()
    mine = type(own)(
        root=own.root,
        mode=own.mode,
        merchant_id=body["merchantId"],
        seal=own.seal,
        client_address=own.client_address,
        client_type=own.client_type,
    )
    call = StatusCall(
        gateway_reference=body["paymentRefId"],
        gateway_order_id=body["orderId"],
        amount=Money(body["amount"]),
    )
    assert Drive(answer(body)).run(protocol.look_up(mine, call, NOW)).state is SnapshotState.PAID
    assert Drive(answer(body)).run(protocol.look_up(own, call, NOW)).state is SnapshotState.REVIEW
