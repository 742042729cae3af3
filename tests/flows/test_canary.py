"""No secret leaves: planted credentials and real tokens are looked for wherever a run leaves something behind."""

import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, bkash_config, shop_open
from vextrus_payments import Money, PaymentsError, RefundRequest
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.records import Exchange
from vextrus_payments.testing import SecretCanary

FAULTS = [
    "drop_before", "drop_after", "drop_mid_body", "error_5xx_before", "error_5xx_after", "expired_token", "forbidden",
    "throttled", "malformed", "html", "message_only", "code_before", "code_after",
]  # fmt: skip
STEPS = ["grant", "create", "execute", "query", "refund_status", "refund"]


class Listener:
    """An observer that keeps everything it is told, as a host's own would."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: Any) -> None:
        self.heard.append((tenant, gateway, exchange, context))

    def event(self, name: str, **fields: object) -> None:
        self.heard.append((name, fields))


async def a_life(shop: Shop, reference: str, left_behind: list[Any]) -> None:
    """Everything a payment can go through, whatever goes wrong on the way."""

    async def tried(call: Any) -> Any:
        try:
            result = await call
        except PaymentsError as error:
            left_behind.append(error)
            return None
        left_behind.append(result)
        return result

    session = await tried(shop.open(reference))
    if session is None:
        session = await tried(shop.open(reference))
    if session is None:
        return
    shop.approve(session)
    await tried(shop.payments.execute(session.payment_id))
    shop.clock.advance(LONG_S)
    await tried(shop.payments.status(session.payment_id))
    refund = RefundRequest(operation_id=f"{reference}/r", payment_id=session.payment_id, amount=Money("10"))
    await tried(shop.payments.refund(refund))
    await tried(shop.payments.refund_status(f"{reference}/r"))
    left_behind.append(await shop.payments.get(session.payment_id))


@pytest.mark.parametrize(
    ("version", "step"),
    [*(("v1", step) for step in STEPS), *(("v2", step) for step in ("grant", "execute"))],
)
async def test_no_secret_is_left_behind_whatever_goes_wrong(
    version: str,
    step: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    canary, listener, left_behind = SecretCanary(), Listener(), []
    async with shop_open(tmp_path, observer=listener, api_version=version) as shop:
        config = bkash_config(shop.server, api_version=version)
        for name in ("app_key", "app_secret", "password"):
            canary.plant(name, getattr(config, name).reveal())
        for number, fault in enumerate(FAULTS):
            shop.fault(step, fault)
            await a_life(shop, f"INV-{number}", left_behind)
            shop.server.app.state.faults.clear()
            shop.clock.advance(4000)
        await shop.payments.deliver()
        store = shop.payments.store
        with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
            tokens = [
                row[0] for row in database.execute("SELECT document FROM tokens WHERE document IS NOT NULL")
            ]
            assert tokens, "a token was granted and stored: without one this test proves nothing"
            for number, document in enumerate(tokens):
                for key, value in json.loads(document).items():
                    # `holder` and `version` are digests, kept to be compared; the tokens are the secrets
                    if key not in ("holder", "version") and isinstance(value, str) and len(value) > 60:
                        canary.plant(f"token {number} {key}", value)
            dump = "\n".join(
                str(row)
                for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                if "token" not in table and "grant" not in table
                for row in database.execute(f'SELECT * FROM "{table}"')
            )
        printed = capfd.readouterr()
        canary.assert_absent(
            dump, printed.out, printed.err, caplog.records, left_behind, listener.heard, shop.entries, shop.events,
            shop.payments, config, store, [repr(thing) for thing in (config, shop.payments, store)],
        )  # fmt: skip
        assert len(left_behind) > len(FAULTS)


def test_the_canary_would_have_sung(tmp_path: Path) -> None:
    """The same look, at a deliberate leak, finds it."""
    canary = SecretCanary()
    secret = canary.secret("password")
    error = PaymentsError("x.")
    error.__context__ = ValueError(f"Authorization: {secret.reveal()}")
    for leak in (error, [error], {"a": secret.reveal()}, f"url?password={secret.reveal()}"):
        with pytest.raises(AssertionError):
            canary.assert_absent(leak)


def test_wrong_credentials_are_named_by_field_never_by_value(tmp_path: Path) -> None:
    canary = SecretCanary()
    with pytest.raises(PaymentsError) as caught:
        BkashConfig(
            mode="live",
            api_url="https://tokenized.sandbox.bka.sh/v1.2.0-beta",
            app_key=canary.secret("app_key"),
            app_secret=canary.secret("app_secret"),
            username=canary.secret("username"),
            password=canary.secret("password"),
        )
    assert "api_url" in str(caught.value)
    canary.assert_absent(caught.value)
