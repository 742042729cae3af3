"""The exception tree: every class says what happened, whether money moved, and what to do; and survives a pickle."""

import inspect
import pickle

import pytest

from vextrus_payments import errors
from vextrus_payments.errors import DeclinedError, Effect, InvalidRequestError, PaymentsError
from vextrus_payments.reasons import Reason, ReasonCode

CLASSES = sorted(
    (c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, PaymentsError)),
    key=lambda c: c.__name__,
)


def make(cls: type[PaymentsError]) -> PaymentsError:
    if issubclass(cls, DeclinedError):
        return cls("It happened.", reason=Reason(code=ReasonCode.UNKNOWN_ERROR), final=True)
    return cls("It happened.", payment_id="pay_1", context={"status": 504})


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_error_answers_the_three_questions(cls: type[PaymentsError]) -> None:
    error = make(cls)
    what, money, advice = error.what, str(error)[len(error.what) + 1 :], error.next_step
    assert str(error).startswith("It happened.")
    assert what == "It happened."
    assert "oney" in money
    assert str(error).endswith(advice)
    assert advice.endswith(".")
    assert error.code


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_error_survives_a_pickle_whole(cls: type[PaymentsError]) -> None:
    error = make(cls)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__


def test_the_tree_is_the_one_drawn_in_the_docstring() -> None:
    drawn = [
        line.replace("│", " ").replace("├", " ").replace("└", " ")
        for line in (errors.__doc__ or "").splitlines()
    ]
    parents: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in drawn:
        name = line.split()[0] if line.split() else ""
        if not name.endswith("Error"):
            continue
        depth = len(line) - len(line.lstrip())
        while stack and stack[-1][0] >= depth:
            stack.pop()
        if stack:
            parents[name] = stack[-1][1]
        stack.append((depth, name))
    real = {c.__name__: c.__mro__[1].__name__ for c in CLASSES if c is not PaymentsError}
    assert parents == real


def test_unknown_says_that_nobody_can_tell_and_forbids_a_resend() -> None:
    text = str(errors.AnswerTimeoutError("bKash did not answer."))
    assert "may have moved" in text
    assert "Do not send it again" in text
    assert errors.AnswerTimeoutError("x").effect is Effect.UNKNOWN


def test_an_input_error_is_a_value_error_that_names_field_and_rule() -> None:
    error = InvalidRequestError("amount is wrong.", field="amount", rule="above zero")
    assert isinstance(error, ValueError)
    assert (error.field, error.rule) == ("amount", "above zero")


def test_about_fills_in_only_what_is_empty() -> None:
    error = PaymentsError("x.", gateway="bkash").about(gateway="nagad", tenant="acme")
    assert (error.gateway, error.tenant) == ("bkash", "acme")
