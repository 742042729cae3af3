"""`vextrus-pay pay sslcommerz` and what follows it, through a sandbox process, as a user types it."""

from tests.cli.running import Gateway, Here, User


def test_a_payment_a_refund_and_a_look(user: User, sandbox: Gateway) -> None:
    done = user.run(
        *("pay", "sslcommerz", "--amount", "1250.50", "--reference", "INV-8812", "--approve", "--json"),
        *("--sandbox", sandbox.url),
    )
    assert done.code == 0, done.err
    session, outcome = done.lines
    assert session["gateway"] == "sslcommerz"
    assert session["checkout_url"].startswith(f"{sandbox.url}/EasyCheckOut/testcde")
    assert (outcome["outcome"], outcome["amount"]) == ("paid", "1250.50")
    asked = user.run("refund", session["payment_id"], "--amount", "450.25", "--json").document
    assert asked["outcome"] in ("pending", "refunded")  # accepted is not yet made
    status = user.run("status", session["payment_id"], "--json").document
    assert status["payment"]["refunded"] == "450.25"
    row = next(one for one in sandbox.books()["payments"] if one["gateway"] == "sslcommerz")
    assert (row["captured"], row["refunded"], row["transaction_id"]) == (
        "1250.50",
        "450.25",
        outcome["transaction_id"],
    )


def test_with_the_variables_that_env_prints(user: User, sandbox: Gateway) -> None:
    named = {name: value for name, value in sandbox.all_variables().items() if name.startswith("SSLCOMMERZ_")}
    assert {
        "SSLCOMMERZ_API_URL",
        "SSLCOMMERZ_STORE_ID",
        "SSLCOMMERZ_STORE_PASSWORD",
        "SSLCOMMERZ_MODE",
    } <= set(named)
    done = user.run(
        "pay", "sslcommerz", "--amount", "100", "--reference", "INV-2", "--approve", "--json", env=named
    )
    assert done.code == 0, done.err
    assert done.lines[-1]["outcome"] == "paid"


def test_the_ledger_agrees_with_the_sandbox_but_for_nothing(user: User, sandbox: Gateway) -> None:
    """What SSLCommerz keeps is booked here and told there: the clearing account holds what will be paid out."""
    done = user.run(
        *("pay", "sslcommerz", "--amount", "41", "--reference", "INV-3", "--approve", "--json"),
        *("--sandbox", sandbox.url),
    )
    assert done.code == 0, done.err
    shown = user.run("ledger", "balance", "--sandbox", sandbox.url, "--json")
    assert shown.code == 0, (shown.out, shown.err)
    row = next(one for one in sandbox.books()["payments"] if one["captured"] == "41.00")
    assert row["fee"] == "1.02" and row["alias"]


def test_a_refund_that_was_accepted_before_is_never_shown_as_a_new_one(here: Here, sandbox: Gateway) -> None:
    """Accepted and not made yet, so the same command a moment later is the same refund: it has to say so."""
    paid = here.run(
        *("pay", "sslcommerz", "--amount", "100", "--reference", "INV-4", "--approve", "--json"),
        *("--sandbox", sandbox.url),
    )
    assert paid.code == 0, (paid.out, paid.err)
    refund = ("refund", paid.lines[0]["payment_id"], "--amount", "40")
    first = here.run(*refund, "--json").document
    assert (first["outcome"], first["made_before"]) == ("pending", False)
    again = here.run(*refund, "--json").document
    assert (again["outcome"], again["made_before"]) == ("refunded", True)
    (row,) = (
        one
        for one in sandbox.books()["payments"]
        if one["transaction_id"] == paid.lines[-1]["transaction_id"]
    )
    assert row["refunded"] == "40.00"
    other = " ".join(here.run(*refund, "--operation-id", "second").out.split())
    assert "Look again: vextrus-pay status pay_" in other
    assert "asked for before" not in other


def test_an_amount_in_another_currency_is_not_held_against_the_limits_in_taka(
    here: Here, sandbox: Gateway
) -> None:
    paid = here.run(
        *("pay", "sslcommerz", "--amount", "5", "--currency", "USD", "--reference", "INV-5", "--approve"),
        *("--json", "--sandbox", sandbox.url),
    )
    assert paid.code == 0, paid.err
    assert (paid.lines[-1]["amount"], paid.lines[-1]["currency"]) == ("5.00", "USD")
    # The amount of a refund is one of the payment's money, where nothing else is said.
    refused = here.run("refund", paid.lines[0]["payment_id"], "--amount", "1")
    assert refused.code == 2
    assert "a payment in USD is refunded in its panel. No money moved." in refused.error
