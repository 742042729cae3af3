"""The walker: reads a page's forms as a payer's browser would, and types into nobody's page but a sandbox's."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.sandbox.nagad_shop import NagadShop
from vextrus_payments.clock import SystemClock
from vextrus_payments.errors import ConfigurationError, Effect, GatewayError
from vextrus_payments_sandbox import SandboxServer
from vextrus_payments_sandbox.walk import come_back, forms_of, walk


def test_forms_are_read_as_a_browser_reads_them() -> None:
    (form,) = forms_of(
        '<form method=POST action="/?a=1&amp;b=2"><input name="otp" value=""><input type=submit name=s value=x>'
        '<input name="kept" value="&quot;1&quot;"><button name="action" value="Confirm">Go</button>'
        '<button name="action" value="Cancel">No</button></form><input name="outside" value="1">'
    )
    assert (form.action, form.method) == ("/?a=1&b=2", "post")
    assert form.fields == {"otp": "", "kept": '"1"'}
    assert form.buttons == [("action", "Confirm"), ("action", "Cancel")]


def test_a_page_without_forms_has_none() -> None:
    assert forms_of("<p>Ended</p><button name=action value=Confirm>") == []
    assert forms_of("<form><form") != []


@pytest.mark.parametrize(
    "url", ["https://sandbox.payment.bkash.com/?paymentId=x", "http://192.168.1.1/", "ftp://x", ""]
)
async def test_a_page_that_is_not_on_this_machine_is_not_touched(url: str) -> None:
    for step in (walk, come_back):
        with pytest.raises(ConfigurationError, match="nothing was typed into it"):
            await step(url)


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxServer]:
    async with SandboxServer() as server:
        yield server


async def test_a_page_that_nobody_can_finish_is_said(sandbox: SandboxServer) -> None:
    with pytest.raises(GatewayError, match="answered HTTP 404") as found:
        await walk(f"{sandbox.url}/?paymentId=TR0011nothing&hash=x")
    assert found.value.effect is Effect.NONE


async def test_the_sandbox_s_front_page_is_no_payment(sandbox: SandboxServer) -> None:
    with pytest.raises(GatewayError, match="no form with a wallet"):
        await walk(sandbox.url)


async def test_from_the_pin_on_nobody_says_that_no_money_moved(sandbox: SandboxServer) -> None:
    silent = {"wallet": "01900000008", "otp": "123456", "pin": "12121"}  # pays at Nagad, and never comes back
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as http:
        _, url = await (await NagadShop.of(http, SystemClock())).ready()
    with pytest.raises(GatewayError, match="no form") as found:
        await walk(url, customer=silent)
    assert found.value.effect is Effect.UNKNOWN and "vextrus-pay status" in str(found.value)
    assert [move.kind for move in sandbox.world.books.movements] == ["debit"]
    with pytest.raises(GatewayError) as found:
        await come_back("http://127.0.0.1:1/return")
    assert found.value.effect is Effect.UNKNOWN


async def test_a_page_that_is_gone_is_said() -> None:
    with pytest.raises(GatewayError, match="did not answer") as found:
        await walk("http://127.0.0.1:1/")
    assert found.value.__context__ is None
