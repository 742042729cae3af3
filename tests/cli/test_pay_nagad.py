"""`vextrus-pay pay nagad` and what follows it, through a sandbox process, as a user types it."""

from tests.cli.running import Gateway, User


def test_a_payment_a_refund_and_a_look(user: User, sandbox: Gateway) -> None:
    done = user.run(
        *("pay", "nagad", "--amount", "1250.50", "--reference", "INV-8812", "--approve", "--json"),
        *("--sandbox", sandbox.url),
    )
    assert done.code == 0, done.err
    session, outcome = done.lines
    assert session["gateway"] == "nagad" and session["checkout_url"].startswith(f"{sandbox.url}/check-out/")
    assert (outcome["outcome"], outcome["amount"]) == ("paid", "1250.50")
    refunded = user.run("refund", session["payment_id"], "--amount", "450.25", "--json").document
    assert (refunded["outcome"], refunded["payment"]["refundable"]) == ("refunded", "800.25")
    status = user.run("status", session["payment_id"], "--json").document
    assert status["payment"]["refunded"] == "450.25"
    row = next(one for one in sandbox.books()["payments"] if one["gateway"] == "nagad")
    assert (row["captured"], row["refunded"], row["transaction_id"]) == (
        "1250.50",
        "450.25",
        outcome["transaction_id"],
    )


def test_a_sandbox_of_its_own(user: User) -> None:
    done = user.run("pay", "nagad", "--amount", "100", "--reference", "INV-1", "--approve", "--json", env={})
    assert done.code == 0, done.err
    assert done.lines[-1]["outcome"] == "paid"


def test_with_the_variables_that_env_prints(user: User, sandbox: Gateway) -> None:
    named = {name: value for name, value in sandbox.all_variables().items() if name.startswith("NAGAD_")}
    done = user.run(
        "pay", "nagad", "--amount", "100", "--reference", "INV-2", "--approve", "--json", env=named
    )
    assert done.code == 0, done.err
    assert done.lines[-1]["outcome"] == "paid"
    looked = user.run("doctor", "--gateway", "nagad", "--json", env=named)
    levels = {found["check"]: found["level"] for found in looked.document["findings"]}
    assert (levels["nagad.settings"], levels["nagad.reach"]) == ("ok", "ok")


def test_a_payer_who_does_not_come_back_may_have_paid(user: User, sandbox: Gateway) -> None:
    done = user.run(
        *("pay", "nagad", "--amount", "100", "--reference", "INV-3", "--no-browser", "--wait-s", "1"),
        *("--sandbox", sandbox.url),
    )
    assert done.code == 3
    assert "may have paid all the same" in " ".join(done.out.split()) and "No money moved" not in done.out
