"""A declined refund or payout: words for the merchant, whether money moved, what to do, and no payer's words."""

from typing import Any

import pytest

from tests.cli.running import Gateway, Here
from vextrus_payments.cli.declines import Mover, in_bangla, next_of, words_of
from vextrus_payments.cli.shapes import outcome_document
from vextrus_payments.cli.views import outcome_view
from vextrus_payments.outcomes import Declined, Pending
from vextrus_payments.reasons import Reason, ReasonCode

#: What is said to somebody who pays, and is wrong of money that goes the other way.
PAYERS = (
    "start again",
    "tell the shop",
    "payment was not accepted",
    "before you pay",
    "saved wallet",
    "finish it",
)


@pytest.mark.parametrize("mover", Mover)
@pytest.mark.parametrize("code", ReasonCode)
def test_every_reason_has_words_of_its_own(code: ReasonCode, mover: Mover) -> None:
    reason = Reason(code=code, gateway_code="2999")
    said = f"{words_of(reason, mover).why} {next_of(reason, mover)}"
    assert not [words for words in PAYERS if words in said]
    assert "--operation-id of its own" in said, "the same command would send nothing any more"
    assert "  " not in said and words_of(reason, mover).why.endswith(".")
    about_refunds = mover is Mover.REFUND and code.value.startswith("refund_")
    assert in_bangla(reason, mover) and (in_bangla(reason, mover) == reason.text("bn")) is about_refunds


def test_what_the_gateway_says_is_shown_beside_it() -> None:
    own = {"en": "Reversal window is over", "bn": "আপনি আবার চেষ্টা করুন"}
    reason = Reason(code=ReasonCode.REFUND_WINDOW_CLOSED, gateway_code="2071", own_words=own)
    view = outcome_view(Declined(payment_id="pay_1", reason=reason), of=Mover.REFUND)
    assert ("The gateway says", own["en"]) in view.facts
    assert dict(view.facts)["In Bangla"] == "এই পেমেন্ট ফেরত দেওয়ার সময় শেষ।", "its Bangla is for one who pays"
    assert "Reason" in dict(view.facts) and view.text.startswith("No money moved. ")


def test_one_that_was_withdrawn_is_no_cancelled_payment() -> None:
    for mover in Mover:
        assert "withdrawn" in words_of(Reason(code=ReasonCode.PAYMENT_CANCELLED), mover).why
        by_gateway = Reason(code=ReasonCode.PAYMENT_CANCELLED, gateway_code="2069")
        assert "withdrawn" not in words_of(by_gateway, mover).why


def test_a_payment_keeps_the_words_for_its_payer() -> None:
    declined = Declined(payment_id="pay_1", reason=Reason(code=ReasonCode.INSUFFICIENT_BALANCE))
    assert outcome_document(declined)["text"] == "The account does not have enough balance."
    assert dict(outcome_view(declined).facts)["Reason"] == "The account does not have enough balance."
    assert "next_step" not in outcome_document(declined)


def test_a_refund_that_was_not_made_yet_does_not_speak_of_payers() -> None:
    view = outcome_view(Pending(payment_id="pay_1", sent=False, retry_after_s=9), of=Mover.REFUND)
    assert "refund" in view.title and "pay" not in view.text and "9 s" in view.text


@pytest.fixture
def paid(here: Here, sandbox: Gateway, amount: str, reference: str) -> dict[str, Any]:
    asked = ("--amount", amount, "--reference", reference, "--approve", "--json", "--sandbox", sandbox.url)
    session, outcome = here.run("pay", "bkash", *asked).lines
    return {**outcome, **session}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("2071", "The gateway's time for giving this payment back is over."),
        ("2023", "Your account at the gateway does not hold enough to give it back."),
        ("2081", "Your merchant account may not give money back."),
        ("2025", "Something of what was asked breaks a rule"),
    ],
)
def test_a_declined_refund_says_why_and_what_next(
    here: Here, sandbox: Gateway, paid: dict[str, Any], code: str, why: str
) -> None:
    asked = ("refund", paid["payment_id"], "--amount", "40")
    sandbox.order("refund", f"code_before;code={code}")
    done = here.run(*asked)
    shown = " ".join(done.out.replace("│", " ").split())
    assert done.code == 1 and "Refund declined" in shown
    assert why in shown and "No money moved." in shown and "--operation-id of its own" in shown
    assert code in shown and not [words for words in PAYERS if words in shown]
    again = here.run(*asked)
    assert again.code == 1 and "asked for before" in " ".join(again.out.replace("│", " ").split())
    told = here.run(*asked, "--json").document
    assert told["text"].startswith(why) and told["next_step"] and told["gateway_code"] == code
    looked = here.run("status", paid["payment_id"])
    assert looked.code == 0 and "Refund declined" in looked.out and "Refund: Declined" not in looked.out
    refunds = here.run("status", paid["payment_id"], "--json").document["refunds"]
    assert refunds[0]["text"].startswith(why)
    assert here.run(*asked, "--operation-id", f"{code}-once-more").code == 0, "as it was told"


def test_a_declined_refund_by_the_gateway_s_ids(here: Here, sandbox: Gateway, paid: dict[str, Any]) -> None:
    stranger = Here(here.home.with_name("stranger"), here._patch, here._capture)
    ids = ("--gateway-reference", paid["gateway_reference"], "--transaction-id", paid["transaction_id"])
    asked = ("refund", "--gateway", "bkash", *ids, "--amount", "40", "--sku", "one", "--sandbox", sandbox.url)
    sandbox.order("refund", "code_before;code=2023")
    done = stranger.run(*asked)
    assert done.code == 1 and "payer" not in done.error and "new attempt" not in done.error
    assert "Your account at the gateway does not hold enough" in done.error
    assert "The gateway refused it; no money moved." in done.error
    assert stranger.run(*asked).code == 0, "nothing is kept of a refused one"


def test_a_declined_payout_says_why_and_what_next(here: Here, sandbox: Gateway) -> None:
    name = "declined-salary"
    asked = ("payout", "send", "01770618575", "--amount", "9999999", "--reference", "x")
    done = here.run(*asked, "--operation-id", name, "--sandbox", sandbox.url)
    shown = " ".join(done.out.replace("│", " ").split())
    assert done.code == 1 and "Payout declined" in shown and "No money moved." in shown
    assert "The account that it is taken from does not hold enough." in shown
    assert "vextrus-pay payout transfer" in shown and "--operation-id of its own" in shown
    story = here.run("explain", name)
    text = " ".join(story.out.split())
    assert "was declined. The account that it is taken from does not hold enough." in text
    assert "Put money into it" in text and "Nothing: it is over." not in text
    moved = ("payout", "transfer", "--amount", "99999999", "--to", "collection", "--operation-id", "too-much")
    transfer = here.run(*moved, "--sandbox", sandbox.url)
    assert transfer.code == 1 and "Transfer declined" in transfer.out


def test_a_payout_that_was_withdrawn_says_so(here: Here, sandbox: Gateway) -> None:
    name = "withdrawn-salary"
    asked = ("payout", "send", "01770618575", "--amount", "5", "--reference", "x", "--operation-id", name)
    sandbox.order("payout", "throttled")
    here.run(*asked, "--sandbox", sandbox.url)
    here.run("payout", "withdraw", name)
    told = here.run("payout", "status", name)
    assert told.code == 1 and "It was withdrawn before it was sent." in told.out
    assert "Payout withdrawn" in told.out and "declined" not in told.out
