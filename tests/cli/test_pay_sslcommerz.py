"""`vextrus-pay pay sslcommerz` and what follows it, through a sandbox process, as a user types it."""

from tests.cli.running import Gateway, User


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
