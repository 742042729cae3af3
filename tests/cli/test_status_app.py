"""`vextrus-pay status --app`: the application's own store, tenants and gateways, and nobody else's."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Done, Gateway, Here
from tests.cli.shop_app import ShopApp
from vextrus_payments.payment import RefundRequest

_TENANTS = """
from pathlib import Path

from vextrus_payments import Payments
from vextrus_payments.gateways.bkash import BkashConfig


async def credentials(tenant, gateway):
    return BkashConfig.from_env() if tenant == "acme" and gateway == "bkash" else None


payments = Payments(store="sqlite:///" + str(Path(__file__).with_name("{database}")), credentials=credentials)
"""


def ask(here: Here, shop: ShopApp, *arguments: str, env: dict[str, str] | None = None) -> Done:
    return here.run("status", *arguments, "--app", shop.app, env=shop.env if env is None else env)


def test_an_open_one_is_looked_up_and_recorded_in_the_shop_s_own_store(
    here: Here, sandbox: Gateway, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount)
    told = ask(here, shop, session.payment_id, "--json")
    assert (told.code, told.err) == (0, "")
    assert (told.document["outcome"], told.document["amount"]) == ("paid", amount)
    assert len(sandbox.calls("execute", session.gateway_reference)) == 1, "nothing was executed by asking"
    asked = len(sandbox.calls("query", session.gateway_reference))
    again = ask(here, shop, session.payment_id)
    assert again.code == 0 and f"bkash (sandbox), of {shop.app}" in again.out
    assert len(sandbox.calls("query", session.gateway_reference)) == asked, "it is settled: nobody is asked"
    assert not (here.home / "payments-sandbox.db").exists(), "the home folder has no part in it"


def test_an_answer_that_does_not_come_settles_nothing_and_says_who_can_tell(
    here: Here, sandbox: Gateway, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount)
    sandbox.order("query", "drop_before", times=20)
    told = ask(here, shop, session.payment_id, "--json")
    assert (told.code, told.document["outcome"]) == (3, "unknown")
    assert f"vextrus-pay reconcile {session.payment_id} --app {shop.app}" in told.document["note"]


def test_an_open_refund_is_asked_about_too(
    here: Here, sandbox: Gateway, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.paid(reference, amount)
    wanted = RefundRequest(operation_id=f"{reference}/back", payment_id=session.payment_id)
    sandbox.order("refund", "drop_after")
    sandbox.order("refund_status", "delay;seconds=0")  # before it is sent
    sandbox.order("refund_status", "malformed", times=100)
    shop.did(lambda payments: payments.refund(wanted))
    sandbox.clear_faults()
    told = ask(here, shop, session.payment_id, "--json").document
    assert [one["outcome"] for one in told["refunds"]] == ["refunded"]
    assert len(sandbox.calls("refund", session.gateway_reference)) == 1


def test_what_is_typed_beside_it_and_would_be_ignored_is_refused(
    here: Here, sandbox: Gateway, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.paid(reference, amount)
    for option, value in (("--store", "sqlite:///other.db"), ("--sandbox", sandbox.url)):
        refused = ask(here, shop, session.payment_id, option, value)
        assert refused.code == 2 and refused.error.startswith(f"{option}: ")
        assert "not both" in refused.error and "No money moved." in refused.error
    for wrong in ("", " ", "nothing", "no_such_module:payments", f"{shop.module}:nothing"):
        assert here.run("status", session.payment_id, "--app", wrong, env=shop.env).code == 2


def test_live_that_is_not_is_refused(here: Here, shop: ShopApp, reference: str, amount: str) -> None:
    session = shop.unknown(reference, amount)
    refused = ask(here, shop, session.payment_id, "--live")
    assert refused.code == 2 and "BKASH_MODE is sandbox" in refused.error


def test_an_application_of_the_environment_does_not_hide_what_pay_made(
    here: Here, sandbox: Gateway, shop: ShopApp, reference: str, amount: str
) -> None:
    asked = ("--amount", amount, "--reference", reference, "--approve", "--json")
    mine = here.run("pay", "bkash", *asked, "--sandbox", sandbox.url).lines[0]["payment_id"]
    theirs = shop.paid(f"{reference}-shop", f"{amount[:-2]}75").payment_id
    env = {**shop.env, "VEXTRUS_PAY_APP": shop.app}
    for payment_id in (mine, theirs):
        assert here.run("status", payment_id, env=env).code == 0
    strange = ask(here, shop, mine)
    assert strange.code == 2 and f"in the store of {shop.app}." in strange.error, "the typed one alone"
    nowhere = here.run("status", "pay_nothing", env=env)
    assert nowhere.code == 2
    assert f"the store of {shop.app} or {here.home}" in nowhere.error, "every place it was looked for in"
    store = f"sqlite:///{shop.database}"
    assert here.run("status", theirs, "--store", store, env={**env, "VEXTRUS_PAY_APP": "no:app"}).code == 0


def test_by_the_gateway_s_own_id(
    here: Here, sandbox: Gateway, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.paid(reference, amount)
    named = ("--gateway", "bkash", "--gateway-reference", str(session.gateway_reference))
    ours = ask(here, shop, *named, "--json").document
    assert ours["payment_id"] == session.payment_id
    shop.database.rename(shop.database.with_suffix(".away"))
    told = ask(here, shop, *named, "--amount", amount, "--json")
    assert (told.code, told.document["state"]) == (0, "paid"), "with the application's own credentials"
    assert told.document["mismatches"] == []
    unknown = ask(here, shop, "--gateway", "bkash", "--gateway-reference", "TR0011nothing")
    assert unknown.code == 2 and unknown.error.startswith("--gateway-reference: ")
    other = ask(here, shop, "--gateway", "nagad", "--gateway-reference", "x")
    assert other.code == 2 and "NAGAD" in other.error


@pytest.fixture
def many(shop: ShopApp) -> Iterator[str]:
    """The same shop's payments as one tenant's of many: an application whose every call names one."""
    module = Path(shop.folder / f"{shop.module}_many.py")
    module.write_text(_TENANTS.format(database="many.db"), encoding="utf-8")
    yield f"{module.stem}:payments"
    sys.modules.pop(module.stem, None)


def test_a_tenant_s_payment_is_found_by_his_name_alone(
    here: Here, sandbox: Gateway, shop: ShopApp, many: str, reference: str, amount: str
) -> None:
    session = shop.paid(reference, amount)
    named = ("--gateway", "bkash", "--gateway-reference", str(session.gateway_reference))
    for tenant in ((), ("--tenant", "bravo")):
        refused = here.run("status", *named, *tenant, "--app", many, env=shop.env)
        assert refused.code == 2, "nobody else's credentials are used for him"
    told = here.run("status", *named, "--tenant", "acme", "--app", many, env=shop.env)
    assert told.code == 0 and "only the gateway's word" in told.out
    assert here.run("status", session.payment_id, "--tenant", "acme", "--app", many, env=shop.env).code == 2


def test_a_tenant_without_an_application_is_not_asked_for_with_another_s_credentials(
    here: Here, sandbox: Gateway, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.paid(reference, amount)
    named = ("--gateway", "bkash", "--gateway-reference", str(session.gateway_reference))
    refused = here.run("status", *named, "--sandbox", sandbox.url, "--tenant", "acme")
    assert refused.code == 2 and refused.error.startswith("--tenant: ") and "--app" in refused.error
    store = ("--store", f"sqlite:///{shop.database}")
    assert here.run("status", session.payment_id, *store).code == 0
    assert here.run("status", session.payment_id, *store, "--tenant", "acme").code == 2
