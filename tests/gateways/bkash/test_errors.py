"""The error table against an independent transcription of the dossier: every code, for every call."""

import json
from pathlib import Path
from typing import Any

import pytest

from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayError,
    OutcomeUnknownError,
)
from vextrus_payments.gateways.bkash.errors import CODES, SAFETY, Operation, meaning_of
from vextrus_payments.meanings import ErrorMeaning, error_for
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.wire import Safety

TABLE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "error_codes.json").read_text(encoding="utf-8")
)
ONCE = {
    *(Operation.EXECUTE, Operation.CAPTURE, Operation.VOID, Operation.REFUND, Operation.AGREEMENT_EXECUTE),
    *(Operation.PAYOUT, Operation.TRANSFER),
}


def expected() -> list[tuple[str, str, str, str]]:
    """(operation, code, class, outcome) of every cell."""
    special = {(row["operation"], row["code"]): row["outcome"] for row in TABLE["exceptions"]}
    cells = []
    for row in TABLE["rows"]:
        for column, outcome in zip(TABLE["columns"], row["outcome"], strict=True):
            for operation in TABLE["operations"][column]:
                for code in row["codes"]:
                    cells.append((operation, code, row["class"], special.get((operation, code), outcome)))
    return cells


CELLS = expected()


def outcome_of(meaning: ErrorMeaning) -> str:
    if meaning.error is DeclinedError:
        if meaning.look_up_first:
            return "final_look" if meaning.final else "look"
        return "final" if meaning.final else "open"
    return {
        AuthenticationRejectedError: "auth",
        OutcomeUnknownError: "unknown",
        GatewayError: "trouble",
    }[meaning.error]


def test_the_table_has_every_code_of_the_dossier_and_no_other() -> None:
    listed = [code for row in TABLE["rows"] for code in row["codes"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(CODES)
    assert {operation for names in TABLE["operations"].values() for operation in names} == set(Operation)
    assert len(CELLS) == len(CODES) * len(Operation)


@pytest.mark.parametrize("operation", list(Operation))
def test_every_code_means_to_this_call_what_the_dossier_says(operation: Operation) -> None:
    for at, code, _, outcome in CELLS:
        if at == operation:
            meaning = meaning_of(at, code)
            assert meaning is not None
            assert (code, outcome_of(meaning)) == (code, outcome)


def test_the_class_of_each_code_is_the_dossiers() -> None:
    for row in TABLE["rows"]:
        for code in row["codes"]:
            assert (code, CODES[code].kind.name) == (code, row["class"])


def test_the_reasons_are_the_dossiers() -> None:
    for code, reason in TABLE["reasons"].items():
        assert CODES[code].reason == ReasonCode(reason)


def test_no_row_claims_more_than_its_call_allows() -> None:
    for operation, code, _, outcome in CELLS:
        where = (operation, code)
        meaning = meaning_of(operation, code)
        assert meaning is not None and meaning.advice_en, where
        safety = SAFETY[Operation(operation)]
        error = error_for(meaning, what="x.", code=code, safety=safety)
        assert error.code == code
        if outcome == "unknown":
            moved = safety in (Safety.ONCE, Safety.IDEMPOTENT)
            assert error.effect is (Effect.UNKNOWN if moved else Effect.NONE), where
        if safety is Safety.READ:
            assert not meaning.final, f"{where}: a refused look-up says nothing about the payment"
        if operation in ("grant", "refresh"):
            assert not isinstance(error, DeclinedError), f"{where}: a refused token is no declined payment"
        if isinstance(error, DeclinedError):
            assert error.effect is Effect.REFUSED, where
            assert error.reason.text("en") and error.reason.text("bn")


@pytest.mark.parametrize("operation", sorted(ONCE))
def test_maintenance_and_something_failed_leave_a_money_call_open(operation: Operation) -> None:
    for code in ("503", "2003", "2020", "2024", "9999"):
        meaning = meaning_of(operation, code)
        assert meaning is not None and issubclass(meaning.error, OutcomeUnknownError)


@pytest.mark.parametrize("code", ["0000", "", "1111", "0503", "2070", "2000", "9998", "2023 ", "fail"])
def test_an_undocumented_code_is_no_refusal(code: str) -> None:
    for operation in Operation:
        assert meaning_of(operation, code) is None


def test_an_unknown_operation_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError):
        meaning_of("executes", "2023")


def test_codes_from_the_wire_do_not_fill_memory() -> None:
    from vextrus_payments.gateways.bkash.errors import _known_meaning

    before = _known_meaning.cache_info().currsize
    for number in range(10_000, 10_500):
        meaning_of("execute", str(number))
    assert _known_meaning.cache_info().currsize == before


def test_every_safety_is_the_designs() -> None:
    assert set(SAFETY) == set(Operation)
    assert {op for op, safety in SAFETY.items() if safety is Safety.ONCE} == ONCE
    assert SAFETY[Operation.AGREEMENT_CANCEL] is Safety.IDEMPOTENT
    disposable = {
        *(Operation.GRANT, Operation.REFRESH, Operation.CREATE, Operation.AGREEMENT_CREATE),
        Operation.PAYOUT_INITIATE,
    }
    assert {op for op, safety in SAFETY.items() if safety is Safety.DISPOSABLE} == disposable
