"""Whatever is said in SSLCommerz's name: a typed error or a picture, and money only as it was asked for."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateways.nagad.hand import Drive
from tests.gateways.sslcommerz.hand import (
    BANK,
    CALL,
    NOW,
    REFERENCE,
    REFUND_REF,
    STORE,
    TRAN_ID,
    VAL_ID,
    accepted,
    answer,
    api,
    listed,
    opened,
    refund_call,
    refund_is,
    row,
    validated,
)
from tests.gateways.sslcommerz.test_protocol import FORM
from vextrus_payments.errors import Effect, GatewayError, InvalidRequestError
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz import protocol, refunds
from vextrus_payments.gateways.sslcommerz.returns import parse_return
from vextrus_payments.snapshots import RefundState, SnapshotState

WORDS = st.sampled_from(
    [
        *m.Status,
        *m.RefundStatus,
        *m.ApiConnect,
        "success",
        "",
        "0",
        "1",
        "1250.00",
        "1250",
        "BDT",
        "USD",
        TRAN_ID,
    ]
    + [
        REFERENCE,
        VAL_ID,
        BANK,
        REFUND_REF,
        STORE,
        m.NO_TIME,
        "2026-11-23 10:15:00",
        "https://sandbox.sslcommerz.com/x",
    ]
)
VALUES = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.just([]), st.just({})
)
NAMES = st.sampled_from(
    sorted({*row(), "APIConnect", "error", "sessionkey", "GatewayPageURL", "failedreason", "refund_ref_id"})
    + ["element", "no_of_trans_found", "trans_id", "errorReason", "refunded_on", "store_id"]
)
CHANGES = st.dictionaries(NAMES, VALUES, max_size=6)


def changed(reply: Any, changes: dict[str, Any]) -> Any:
    return answer({**json.loads(reply.body), **changes})


@settings(max_examples=150, deadline=None)
@given(first=CHANGES, second=CHANGES, inner=CHANGES)
def test_paid_is_never_called_what_was_not_asked_for(first: Any, second: Any, inner: Any) -> None:
    listing, validation = changed(listed({**row(), **inner}), first), changed(validated(), second)
    try:
        seen = Drive(listing, validation).run(protocol.look_up(api(), CALL, NOW))
    except GatewayError as error:
        assert error.effect is not Effect.UNKNOWN and error.__context__ is None
        return
    if seen.state is SnapshotState.PAID:
        assert (seen.gateway_reference, seen.gateway_order_id, seen.amount) == (
            REFERENCE,
            TRAN_ID,
            CALL.amount,
        )
        told = json.loads(validation.body)
        assert (
            told["status"] in ("VALID", "VALIDATED") and told["APIConnect"] == "DONE" and seen.transaction_id
        )
        assert seen.on_hold is (told["risk_level"] not in ("0", 0, "", None, True, False, [], {}))


@settings(max_examples=100, deadline=None)
@given(changes=CHANGES)
def test_a_page_is_sslcommerzs_or_there_is_none(changes: Any) -> None:
    try:
        page = Drive(changed(opened(), changes)).run(protocol.open_session(api(), FORM))
    except GatewayError as error:
        assert error.effect is not Effect.UNKNOWN
        return
    assert page.checkout_url.startswith("https://sandbox.sslcommerz.com/")


@settings(max_examples=150, deadline=None)
@given(changes=CHANGES)
def test_a_refund_is_refused_only_in_its_own_words_and_done_only_by_the_query(changes: Any) -> None:
    reply = changed(accepted(), changes)
    try:
        begun = Drive(reply).run(refunds.refund_payment(api(), refund_call()))
    except GatewayError as error:
        told = json.loads(reply.body)
        said_no = told["APIConnect"] != "DONE" or told["status"] == "failed"
        assert error.effect is Effect.UNKNOWN or (said_no and not told["refund_ref_id"])
        return
    assert begun.state is RefundState.PENDING


@settings(max_examples=150, deadline=None)
@given(changes=CHANGES)
def test_a_refund_ends_only_by_a_word_about_this_very_refund(changes: Any) -> None:
    reply = changed(refund_is("refunded"), changes)
    try:
        seen = Drive(reply).run(refunds.look_up_refund(api(), refund_call(), REFUND_REF))
    except GatewayError as error:
        assert error.effect is not Effect.UNKNOWN
        return
    told = json.loads(reply.body)
    if seen.state is RefundState.DECLINED:
        assert told["status"] in ("cancelled", "failed") and told["bank_tran_id"] == BANK
    if seen.state is RefundState.COMPLETED:
        assert told["status"] == "refunded" and told["bank_tran_id"] in (BANK, "", None, True, False, [], {})


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=200), status=st.integers(100, 599))
def test_any_bytes_under_any_status_are_a_typed_error(raw: bytes, status: int) -> None:
    reply = answer(raw, status)
    for call in (
        protocol.open_session(api(), FORM),
        protocol.look_up(api(), CALL, NOW),
        protocol.look_up_session(api(), CALL, "0" * 32),
        refunds.refund_payment(api(), refund_call()),
        refunds.look_up_refund(api(), refund_call(), REFUND_REF),
    ):
        error = Drive(reply).fails(call)
        assert isinstance(error, GatewayError)


@settings(max_examples=150, deadline=None)
@given(
    params=st.dictionaries(
        st.sampled_from(["vextrus_came", "vextrus_ref", "value_d", "status", "store_id", "tran_id"]),
        st.one_of(WORDS, st.text(max_size=30), st.lists(WORDS, max_size=2), st.none()),
    )
)
def test_a_return_names_one_payment_or_none(params: Any) -> None:
    try:
        hint = parse_return(params, store_id=STORE)
    except InvalidRequestError as error:
        assert error.__context__ is None
        return
    assert hint.gateway_reference == REFERENCE
