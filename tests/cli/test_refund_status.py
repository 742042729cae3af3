"""`vextrus-pay refund` and `status`, by our payment id and by the gateway's own ids."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Done, Gateway, Here, User


@dataclass(frozen=True)
class Made:
    """A paid payment of 100.25 and more, as `pay` reported it."""

    session: dict[str, Any]
    outcome: dict[str, Any]

    @property
    def payment_id(self) -> str:
        return str(self.session["payment_id"])

    @property
    def reference(self) -> str:
        return str(self.session["gateway_reference"])

    @property
    def transaction_id(self) -> str:
        return str(self.outcome["transaction_id"])


@pytest.fixture
def made(here: Here, sandbox: Gateway, amount: str, reference: str) -> Made:
    asked = ("--amount", amount, "--reference", reference, "--approve", "--json")
    done = here.run("pay", "bkash", *asked, "--sandbox", sandbox.url)
    assert done.code == 0, done.err
    return Made(*done.lines)


@pytest.fixture
def stranger(here: Here, tmp_path: Path) -> Here:
    """Somebody with the same gateway and an empty home."""
    return Here(tmp_path / "other-home", here._patch, here._capture)


# --- by our payment id ------------------------------------------------------------------------------------------------


def test_a_part_then_the_rest(here: Here, sandbox: Gateway, made: Made, amount: str) -> None:
    part = here.run("refund", made.payment_id, "--amount", "40", "--json")
    assert (part.code, part.err) == (0, "")
    assert part.document["outcome"] == "refunded"
    assert (part.document["amount"], part.document["currency"]) == ("40.00", "BDT")
    assert sandbox.payment(made.reference)["refunded"] == "40.00"
    rest = here.run("refund", made.payment_id, "--json")
    assert rest.code == 0, rest.err
    assert rest.document["payment"]["refundable"] == "0.00"
    assert sandbox.payment(made.reference)["refunded"] == amount
    looked = here.run("status", made.payment_id, "--json").document
    assert looked["outcome"] == "paid"
    assert looked["refunds"][0]["amount"] == "40.00"
    assert looked["payment"]["refunded"] == amount


def test_the_same_command_again_refunds_once_and_says_so(here: Here, sandbox: Gateway, made: Made) -> None:
    first = here.run("refund", made.payment_id, "--amount", "40", "--json").document
    again = here.run("refund", made.payment_id, "--amount", "40.00", "--json").document
    assert (first["made_before"], again["made_before"]) == (False, True)
    assert first["transaction_id"] == again["transaction_id"]
    shown = here.run("refund", made.payment_id, "--amount", "40")
    assert shown.code == 0
    assert "made before" in " ".join(shown.out.split())
    assert "--operation-id" in shown.out
    assert sandbox.payment(made.reference)["refunded"] == "40.00"
    assert len(sandbox.calls("refund", made.reference)) == 1


def test_an_operation_id_of_its_own_is_a_refund_of_its_own(here: Here, sandbox: Gateway, made: Made) -> None:
    for operation_id in ("first", "second"):
        done = here.run("refund", made.payment_id, "--amount", "40", "--operation-id", operation_id)
        assert done.code == 0, done.err
    assert sandbox.payment(made.reference)["refunded"] == "80.00"


def test_more_than_is_left_is_refused_before_anything_is_sent(
    here: Here, sandbox: Gateway, made: Made
) -> None:
    done = here.run("refund", made.payment_id, "--amount", "100000", "--json")
    assert done.code == 2
    assert done.error.startswith("--amount: ")
    assert done.document["error"]["effect"] == "none"
    assert sandbox.calls("refund", made.reference) == []


def test_a_lost_refund_is_unknown_then_found_and_never_sent_twice(
    here: Here, sandbox: Gateway, made: Made
) -> None:
    sandbox.order("refund", "drop_after")
    sandbox.order("refund_status", "delay;seconds=0")
    sandbox.order("refund_status", "malformed", times=1000)
    lost = here.run("refund", made.payment_id, "--amount", "40")
    assert lost.code == 3
    assert f"vextrus-pay status {made.payment_id}" in " ".join(lost.out.split())
    assert "whether the refund was made" in lost.out
    still = here.run("status", made.payment_id, "--json")
    assert still.code == 3, "the payment is paid, its refund is open"
    assert still.document["refunds"][0]["outcome"] == "unknown"
    assert "no usable answer" in still.document["note"]
    sandbox.clear_faults()
    found = here.run("status", made.payment_id, "--json")
    assert found.code == 0
    assert found.document["refunds"][0]["outcome"] == "refunded"
    assert here.run("refund", made.payment_id, "--amount", "40", "--json").document["made_before"] is True
    assert len(sandbox.calls("refund", made.reference)) == 1
    assert sandbox.payment(made.reference)["refunded"] == "40.00"


def test_a_refused_refund_is_declined(here: Here, sandbox: Gateway, made: Made) -> None:
    sandbox.order("refund", "code_before;code=2071")
    done = here.run("refund", made.payment_id, "--amount", "40", "--json")
    assert done.code == 1, done.out
    assert done.document["outcome"] == "declined"
    assert done.document["gateway_code"] == "2071"


def test_status_of_a_settled_payment_asks_nobody(here: Here, sandbox: Gateway, made: Made) -> None:
    sandbox.order("*", "drop_before", times=50)
    shown = here.run("status", made.payment_id)
    assert shown.code == 0
    assert made.transaction_id in shown.out
    assert "01770618575" not in shown.out
    assert sandbox.calls("query", made.reference) == []


def test_a_sandbox_that_ended_with_its_command_is_said(here: Here) -> None:
    paid = here.run("pay", "bkash", "--amount", "100", "--reference", "INV-1", "--approve", "--json")
    payment_id = paid.lines[0]["payment_id"]
    refund = here.run("refund", payment_id, "--json")
    assert refund.code == 4
    assert "ended with it" in refund.error
    assert "vextrus-pay sandbox serve" in refund.error
    assert refund.document["error"]["code"] == "sandbox_gone"
    assert here.run("status", payment_id).code == 0


def test_a_pending_payment_of_a_sandbox_that_ended_is_said(user: User) -> None:
    done = user.run("pay", "bkash", "--amount", "100", "--reference", "INV-1", "--wait-s", "1", "--json")
    assert done.code == 3, done.err
    looked = user.run("status", done.lines[0]["payment_id"], "--json")
    assert looked.code == 3
    assert "ended with it" in looked.document["note"]


@pytest.mark.parametrize("command", ["status", "refund"])
def test_an_unknown_payment_id_says_where_it_looked(here: Here, command: str) -> None:
    done = here.run(command, "pay_nothing", "--json")
    assert done.code == 2
    assert done.error.startswith("PAYMENT_ID: There is no payment of that id in ")
    assert str(here.home) in done.error
    assert done.document["error"]["option"] == "PAYMENT_ID"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "PAYMENT_ID: is missing; give it, or --gateway and --gateway-reference."),
        (["--gateway", "bkash"], "--gateway-reference: is missing"),
        (["--gateway-reference", "TR1"], "--gateway: is missing"),
        (["pay_x", "--gateway", "bkash"], "Name the payment once"),
        (["pay_x", "--amount", "1,5"], "--amount: "),
        (["--gateway", "paypal", "--gateway-reference", "x"], "No gateway named 'paypal'"),
        (["--gateway", "bkash", "--gateway-reference", "x"], "Nothing says where to ask bkash"),
    ],
)
@pytest.mark.parametrize("command", ["status", "refund"])
def test_a_payment_has_to_be_named_once(here: Here, command: str, arguments: list[str], line: str) -> None:
    if command == "refund" and "--gateway" in arguments and len(arguments) == 4:
        arguments = [*arguments, "--transaction-id", "T", "--amount", "5", "--sku", "x"]
    done = here.run(command, *arguments)
    assert done.code == 2
    assert line in done.error


@pytest.mark.parametrize(
    ("option", "value"), [("--amount", "0"), ("--operation-id", "with blank"), ("--reason", "")]
)
def test_a_wrong_refund_names_its_option(here: Here, made: Made, option: str, value: str) -> None:
    done = here.run("refund", made.payment_id, option, value)
    assert done.code == 2
    assert done.error.startswith(f"{option}: ")


# --- by the gateway's own ids -----------------------------------------------------------------------------------------


def _by_ids(stranger: Here, sandbox: Gateway, made: Made, *more: str) -> Done:
    ids = (
        "--gateway",
        "bkash",
        "--gateway-reference",
        made.reference,
        "--transaction-id",
        made.transaction_id,
    )
    return stranger.run("refund", *ids, "--sku", "one item", "--sandbox", sandbox.url, "--json", *more)


def test_status_by_the_gateway_s_ids(stranger: Here, sandbox: Gateway, made: Made, amount: str) -> None:
    asked = ("status", "--gateway", "bkash", "--gateway-reference", made.reference, "--sandbox", sandbox.url)
    shown = stranger.run(*asked, "--json")
    assert shown.code == 0, shown.err
    assert (shown.document["state"], shown.document["amount"]) == ("paid", amount)
    assert shown.document["transaction_id"] == made.transaction_id
    assert shown.document["mismatches"] == []
    right = stranger.run(*asked, "--amount", amount, "--gateway-order-id", made.session["gateway_order_id"])
    assert right.code == 0
    assert "only the gateway's word" in right.out
    wrong = stranger.run(*asked, "--amount", "1")
    assert wrong.code == 3
    assert "It differs from what you said in: amount." in wrong.out
    other = stranger.run(*asked, "--gateway-order-id", "INV-other")
    assert other.code == 3
    assert "gateway_order_id" in other.out


def test_status_by_the_gateway_s_ids_finds_our_own_record_first(
    here: Here, sandbox: Gateway, made: Made
) -> None:
    done = here.run("status", "--gateway", "bkash", "--gateway-reference", made.reference, "--json")
    assert done.code == 0
    assert done.document["payment_id"] == made.payment_id


def test_an_id_that_the_gateway_does_not_know(stranger: Here, sandbox: Gateway) -> None:
    done = stranger.run(
        "status", "--gateway", "bkash", "--gateway-reference", "TR0011nothing", "--sandbox", sandbox.url
    )
    assert done.code == 2
    assert done.error.startswith("--gateway-reference: ")
    assert "No money moved." in done.error


def test_refund_by_the_gateway_s_ids_once(stranger: Here, sandbox: Gateway, made: Made) -> None:
    first = _by_ids(stranger, sandbox, made, "--amount", "40")
    again = _by_ids(stranger, sandbox, made, "--amount", "40")
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert first.document["transaction_id"] == again.document["transaction_id"]
    assert (first.document["made_before"], again.document["made_before"]) == (False, True)
    second = _by_ids(stranger, sandbox, made, "--amount", "40", "--operation-id", "another")
    assert second.code == 0
    assert sandbox.payment(made.reference)["refunded"] == "80.00"


def test_refund_by_the_gateway_s_ids_survives_a_lost_answer(
    stranger: Here, sandbox: Gateway, made: Made
) -> None:
    sandbox.order("refund", "drop_after")
    sandbox.order("refund_status", "delay;seconds=0")
    sandbox.order("refund_status", "malformed", times=1000)
    lost = _by_ids(stranger, sandbox, made, "--amount", "40")
    assert lost.code == 3
    assert lost.document["error"]["effect"] == "unknown"
    assert "it only looks, and never refunds twice" in lost.error
    other = _by_ids(stranger, sandbox, made, "--amount", "10")
    assert other.code == 4
    assert lost.document["error"]["operation_id"] in other.error
    still = _by_ids(stranger, sandbox, made, "--amount", "40")
    assert still.code == 3
    sandbox.clear_faults()
    found = _by_ids(stranger, sandbox, made, "--amount", "40")
    assert found.code == 0, found.err
    assert len(sandbox.calls("refund", made.reference)) == 1
    assert _by_ids(stranger, sandbox, made, "--amount", "10").code == 0, "and the next one is free to go"
    assert sandbox.payment(made.reference)["refunded"] == "50.00"


def test_refund_by_the_gateway_s_ids_that_was_never_sent_may_be_tried_again(
    stranger: Here, sandbox: Gateway, made: Made
) -> None:
    sandbox.order("refund", "throttled", times=50)
    refused = _by_ids(stranger, sandbox, made, "--amount", "40")
    assert refused.code == 4, refused.err
    sandbox.clear_faults()
    assert _by_ids(stranger, sandbox, made, "--amount", "40").code == 0
    assert sandbox.payment(made.reference)["refunded"] == "40.00"


def test_refund_by_the_gateway_s_ids_refused(stranger: Here, sandbox: Gateway, made: Made) -> None:
    done = _by_ids(stranger, sandbox, made, "--amount", "100000")
    assert done.code == 1
    assert done.document["error"]["effect"] == "refused"
    assert _by_ids(stranger, sandbox, made, "--amount", "5").code == 0, "a refusal leaves nothing open"


@pytest.mark.parametrize("missing", ["--transaction-id", "--amount", "--sku"])
def test_what_our_records_do_not_hold_has_to_be_said(here: Here, sandbox: Gateway, missing: str) -> None:
    given = {"--transaction-id": "DKN1", "--amount": "5", "--sku": "x"}
    given.pop(missing)
    words = [word for pair in given.items() for word in pair]
    done = here.run(
        "refund", "--gateway", "bkash", "--gateway-reference", "TR1", "--sandbox", sandbox.url, *words
    )
    assert done.code == 2
    assert done.error == (
        f"{missing}: is missing: the payment is not in our records, so it has to be said. No money moved. "
        "See vextrus-pay refund --help."
    )


def test_another_transaction_id_than_the_recorded_one_is_refused(
    here: Here, sandbox: Gateway, made: Made
) -> None:
    done = here.run(
        "refund",
        "--gateway",
        "bkash",
        "--gateway-reference",
        made.reference,
        "--transaction-id",
        "DKN0000000",
    )
    assert done.code == 2
    assert done.error.startswith("--transaction-id: ")
    assert sandbox.calls("refund", made.reference) == []


# --- whole processes --------------------------------------------------------------------------------------------------


def test_each_command_is_a_process_of_its_own(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    asked = ("--amount", amount, "--reference", reference, "--approve", "--json")
    paid = user.run("pay", "bkash", *asked, "--sandbox", sandbox.url)
    payment_id = paid.lines[0]["payment_id"]
    refund = user.run("refund", payment_id, "--amount", "40")
    assert (refund.code, refund.err) == (0, "")
    assert "Refunded: 40.00 BDT" in refund.out
    old = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    status = user.run("status", payment_id, env=old, encoding="cp1252")
    assert (status.code, status.err) == (0, "")
    assert "Given back: 40.00 of" in status.out
    assert status.out.isascii()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_no_file_of_the_home_is_open_to_others(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    asked = ("--amount", amount, "--reference", reference, "--approve", "--json")
    assert user.run("pay", "bkash", *asked, "--sandbox", sandbox.url).code == 0
    found = list(user.home.rglob("*"))
    assert found
    for path in [user.home, *found]:
        assert path.stat().st_mode & 0o077 == 0, path
