"""What a payer's own click has done, by every picture there is: nothing is called over that may still come."""

import pytest

from vextrus_payments.errors import DeclinedError, Effect, OutcomeUnknownError
from vextrus_payments.gateways.endings import MADE, OPEN, OVER, payers_click
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

DOUBTFUL = set(SnapshotState) - MADE - OVER.keys() - OPEN


def judged(state: SnapshotState, *, resuming: bool = False, word: str = "Word") -> PaymentSnapshot:
    seen = PaymentSnapshot(state=state, gateway_reference="REF1", raw_state=word)
    return payers_click(seen, whose="Acme", step="look", resuming=resuming, no_code="none")


def test_every_state_is_one_of_four() -> None:
    assert not MADE & OVER.keys() and not MADE & OPEN and not OPEN & OVER.keys()
    assert {SnapshotState.UNRECOGNIZED} == DOUBTFUL


@pytest.mark.parametrize("resuming", [False, True])
@pytest.mark.parametrize("state", sorted(MADE))
def test_what_was_made_is_given_back(state: SnapshotState, resuming: bool) -> None:
    assert judged(state, resuming=resuming).state is state


@pytest.mark.parametrize("state", sorted(set(SnapshotState) - MADE))
def test_after_an_attempt_that_nobody_knows_the_end_of_no_picture_but_a_success_settles_anything(
    state: SnapshotState,
) -> None:
    with pytest.raises(OutcomeUnknownError) as caught:
        judged(state, resuming=True)
    assert (caught.value.code, caught.value.effect) == ("not_settled", Effect.UNKNOWN)


@pytest.mark.parametrize("state", sorted(DOUBTFUL))
def test_a_state_that_nobody_documented_settles_nothing(state: SnapshotState) -> None:
    with pytest.raises(OutcomeUnknownError):
        judged(state)


@pytest.mark.parametrize("state", sorted(OVER))
def test_what_is_over_is_declined_for_good_and_says_why(state: SnapshotState) -> None:
    with pytest.raises(DeclinedError) as caught:
        judged(state)
    assert caught.value.final and caught.value.effect is Effect.REFUSED
    assert caught.value.reason.code is OVER[state]


@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_payer_who_is_not_done_is_not_declined_for_good(state: SnapshotState) -> None:
    with pytest.raises(DeclinedError) as caught:
        judged(state)
    assert not caught.value.final and caught.value.effect is Effect.NONE
    assert caught.value.reason.code is ReasonCode.PAYER_NOT_FINISHED and caught.value.code == "Word"


def test_where_the_gateway_shows_no_word_the_error_has_a_code_all_the_same() -> None:
    with pytest.raises(DeclinedError, match="Acme shows the payment as nothing") as caught:
        judged(SnapshotState.INITIATED, word="")
    assert caught.value.code == "none"
