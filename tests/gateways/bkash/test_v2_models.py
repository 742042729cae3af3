"""The words of Tokenized Checkout v2 against files transcribed from the protocol dossier (§5)."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import v2_models as v2

GOLDEN = Path(__file__).parent / "golden"
BODIES: dict[str, type[m.Body]] = {
    "request_create": v2.CreateBody,
    "request_create_extras": v2.CreateBody,
    "request_create_with_agreement": v2.CreateBody,
    "request_execute": v2.PaymentIdBody,
    "request_execute_with_agreement": v2.ChargeExecuteBody,
    "request_query": v2.PaymentIdBody,
    "request_agreement_create": v2.AgreementCreateBody,
    "request_agreement_execute": v2.AgreementIdBody,
    "request_agreement_query": v2.AgreementIdBody,
    "request_agreement_cancel": v2.AgreementIdBody,
    "request_search": v2.TrxIdBody,
}
ANSWERS: dict[str, type[m.Answer]] = {
    "create": v2.CreateAnswer,
    "create_with_agreement": v2.CreateAnswer,
    "execute": v2.ExecuteAnswer,
    "execute_sub_merchant": v2.ExecuteAnswer,
    "execute_with_agreement": v2.ExecuteAnswer,
    "query_completed": v2.QueryAnswer,
    "query_initiated": v2.QueryAnswer,
    "query_verified": v2.QueryAnswer,
    "agreement_create": v2.CreateAnswer,
    "agreement_execute": v2.ExecuteAnswer,
    "agreement_query": v2.QueryAnswer,
    "agreement_query_initiated": v2.AgreementAnswer,
    "agreement_cancel": v2.AgreementAnswer,
    "search": v2.SearchAnswer,
}


def golden(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((GOLDEN / f"v2_{name}.json").read_text(encoding="utf-8"))["body"]
    return body


def raw(body: object) -> bytes:
    return json.dumps(body).encode()


def test_every_golden_file_of_v2_is_tested_here() -> None:
    found = {path.stem.removeprefix("v2_") for path in GOLDEN.glob("v2_*.json")}
    errors = {name for name in found if name.startswith("error_")}
    assert len(errors) == 4
    assert found - errors == BODIES.keys() | ANSWERS.keys()


@pytest.mark.parametrize(("name", "model"), BODIES.items())
def test_what_we_send_has_exactly_the_documented_fields(name: str, model: type[m.Body]) -> None:
    assert json.loads(model.model_validate(golden(name)).to_json()) == golden(name)


@pytest.mark.parametrize(("name", "model"), ANSWERS.items())
def test_every_documented_answer_is_read_without_loss(name: str, model: type[m.Answer]) -> None:
    assert model.from_json(raw(golden(name))).to_wire() == golden(name)


@pytest.mark.parametrize(("name", "model"), ANSWERS.items())
def test_v1s_spelling_of_an_id_is_read_too_and_never_written(name: str, model: type[m.Answer]) -> None:
    spelled = {
        {
            "paymentId": "paymentID",
            "trxId": "trxID",
            "agreementId": "agreementID",
            "bkashURL": "bKashURL",
        }.get(key, key): value
        for key, value in golden(name).items()
    }
    assert model.from_json(raw(spelled)).to_wire() == golden(name)


def test_a_success_carries_no_code() -> None:
    for name in ANSWERS:
        assert not {"statusCode", "statusMessage", "externalCode"} & golden(name).keys()


def test_a_payment_to_create_has_no_mode_and_all_that_is_mandatory() -> None:
    with pytest.raises(ValidationError):
        v2.CreateBody.model_validate({**golden("request_create"), "mode": "0011"})
    for name in golden("request_create"):
        with pytest.raises(ValidationError):
            v2.CreateBody.model_validate({k: v for k, v in golden("request_create").items() if k != name})


def test_the_refund_pair_is_one_for_both_versions() -> None:
    assert m.HOST_PATH_REFUND_V2 == v2.ROOT_PATH + v2.PATH_REFUND
    assert m.HOST_PATH_REFUND_STATUS_V2 == v2.ROOT_PATH + v2.PATH_REFUND_STATUS


def test_no_body_or_answer_shows_whom_it_is_about() -> None:
    for name, model in {**BODIES, **ANSWERS}.items():
        shown = repr(model.model_validate(golden(name)))
        assert "01700000000" not in shown and "01770618575" not in shown
