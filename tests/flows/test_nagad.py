"""A payment through Nagad, whole: its page is paid by the payer alone, so what counts is who looks, and when."""

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.flows.shop import Shop
from vextrus_payments import (
    Declined,
    Money,
    Paid,
    PaymentSession,
    Pending,
    ReasonCode,
    Refunded,
    RefundRequest,
)
from vextrus_payments.errors import AnswerLostError, ConflictError, PaymentsError
from vextrus_payments.events import EventKind
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.gateways.nagad import NagadConfig, keys
from vextrus_payments.payment import Evidence
from vextrus_payments.records import Flag, OperationState, PaymentFacts, PaymentState, SubmissionState
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, SecretCanary
from vextrus_payments_sandbox.serve import SandboxServer

DAY_S = 86_400
IN_PROGRESS, UNKNOWN_THEN_PAID, SILENT, LATE = "01900000005", "01900000006", "01900000008", "01900000009"


def config(server: SandboxServer) -> NagadConfig:
    told: dict[str, Any] = dict(server.info["gateways"]["nagad"])
    return NagadConfig(
        api_url=told["base_url"],
        merchant_id=told["merchant_id"],
        private_key=Secret(Path(told["merchant_private_key_file"]).read_text(encoding="ascii")),
        public_key=Path(told["gateway_public_key_file"]).read_text(encoding="ascii"),
        timeout_s=30.0,
    )


class NagadShop(Shop):
    """The shop, with Nagad."""

    def __init__(self, server: SandboxServer, *more: Any, **changes: Any) -> None:
        super().__init__(server, *more, **{"gateways": {"nagad": config(server)}, **changes})

    @property
    def nagad(self) -> Any:
        """The sandbox's Nagad."""
        return self.server.world.gateways["nagad"]

    async def open(self, reference: str = "INV-1", amount: str = "100", **changes: Any) -> PaymentSession:
        return await super().open(reference, amount, **{"gateway": "nagad", **changes})

    def approve(self, session: PaymentSession, outcome: str = "success", wallet: str | None = None) -> None:
        self.go(session, outcome, wallet)

    def go(self, session: PaymentSession, outcome: str = "success", wallet: str | None = None) -> Any:
        """What the payer does, and where his browser goes then."""
        return self.nagad.approve(session.gateway_reference, outcome, wallet)

    def fault(self, operation: str, fault: str, times: int = 1) -> None:
        self.server.app.state.faults.order(
            {"gateway": "nagad", "operation": operation, "fault": fault, "times": times},
            {"nagad": self.server.world.gateways["nagad"].operations},
        )

    async def facts(self, session: PaymentSession) -> PaymentFacts:
        facts = await self.payments.get(session.payment_id)
        assert facts is not None
        return facts

    async def after(self, seconds: float) -> None:
        """Time passes, and the reconciler looks at what is due."""
        self.clock.advance(seconds)
        await self.payments.reconcile_due()


@asynccontextmanager
async def opened(tmp_path: Path, store: str | None = None, **changes: Any) -> AsyncIterator[NagadShop]:
    clock = FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:
        shop = NagadShop(server, store or f"sqlite:///{tmp_path / 'shop.db'}", clock, **changes)
        async with shop.payments:
            yield shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[NagadShop]:
    async with opened(tmp_path) as found:
        yield found


async def test_a_payment_from_beginning_to_end_and_half_of_it_back(shop: NagadShop) -> None:
    session = await shop.open()
    assert session.checkout_url is not None and session.gateway_reference in session.checkout_url
    assert isinstance(await shop.payments.execute(session.payment_id), Pending)
    params = dict(parse_qsl(urlsplit(shop.go(session)["redirect"]).query))
    returned = await shop.payments.handle_return("nagad", params)
    assert isinstance(returned.outcome, Paid)
    assert returned.redirect_to == "https://shop.example/orders/INV-1"
    request = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money("40"))
    assert isinstance(await shop.payments.refund(request), Refunded)
    assert isinstance(await shop.payments.refund(request), Refunded)
    assert shop.moved()["refund"] == shop.calls("refund") == 1
    await shop.check_books()


async def test_who_never_comes_back_is_found_within_seconds_and_not_a_day_later(shop: NagadShop) -> None:
    session = await shop.open()
    shop.go(session, wallet=SILENT)
    await shop.after(14)
    assert (await shop.facts(session)).payment.state is PaymentState.AWAITING_PAYER
    await shop.after(5)
    assert (await shop.facts(session)).payment.state is PaymentState.PAID
    assert await shop.fired() == ["payment.paid"]
    await shop.check_books()


async def test_an_open_page_is_looked_at_ever_more_seldom_until_its_day_is_over(shop: NagadShop) -> None:
    session = await shop.open()
    for _ in range(DAY_S // 60):
        await shop.after(60)
    assert 8 <= shop.calls("verify") <= 12
    assert (await shop.facts(session)).payment.state is PaymentState.AWAITING_PAYER
    await shop.after(1800)
    assert (await shop.facts(session)).payment.state in (PaymentState.CLOSED, PaymentState.LAPSED)


@pytest.mark.parametrize("wallet", [IN_PROGRESS, UNKNOWN_THEN_PAID])
async def test_no_session_ends_while_nagad_is_at_it_or_does_not_know(shop: NagadShop, wallet: str) -> None:
    session = await shop.open()
    payment = shop.nagad.rules.payments[session.gateway_reference]
    shop.go(session, wallet=wallet)
    payment.settles_at = None  # not by itself
    await shop.after(DAY_S + 900)
    await shop.after(DAY_S)
    assert (await shop.facts(session)).payment.state is PaymentState.AWAITING_PAYER
    assert isinstance(await shop.payments.status(session.payment_id), Pending)
    shop.go(session)  # it settles after all
    await shop.after(DAY_S)
    facts = await shop.facts(session)
    assert facts.payment.state is PaymentState.PAID and Flag.LATE not in facts.payment.flags
    await shop.check_books()


async def test_a_return_that_says_failed_ends_nothing_that_may_still_be_paid(shop: NagadShop) -> None:
    session = await shop.open()
    params = dict(parse_qsl(urlsplit(shop.go(session, wallet=LATE)["redirect"]).query))
    assert params["status"] == "Failed"
    returned = await shop.payments.handle_return("nagad", params)
    assert isinstance(returned.outcome, Pending)
    await shop.after(120)
    await shop.after(300)
    assert isinstance(await shop.payments.status(session.payment_id), Paid)


async def test_a_failed_payment_is_declined_and_its_page_is_watched_all_the_same(shop: NagadShop) -> None:
    session = await shop.open()
    payment = shop.nagad.rules.payments[session.gateway_reference]
    shop.go(session, "failure")
    assert isinstance(await shop.payments.status(session.payment_id), Declined)
    facts = await shop.facts(session)
    assert facts.payment.state is PaymentState.CLOSED
    assert facts.submission.state is SubmissionState.SUPERSEDED
    # Against all that Nagad has said, the money moves.
    payment.ending = None
    payment.status = type(payment.status)("Ready")
    shop.go(session)
    await shop.after(60)
    facts = await shop.facts(session)
    assert facts.payment.state is PaymentState.PAID and Flag.LATE in facts.payment.flags
    assert await shop.fired() == ["payment.closed", "payment.late"]
    await shop.check_books()


async def test_looks_at_a_failed_page_end(shop: NagadShop) -> None:
    session = await shop.open()
    shop.go(session, "failure")
    await shop.payments.status(session.payment_id)
    for _ in range(30):
        await shop.after(3600)
    looks = shop.calls("verify")
    for _ in range(30):
        await shop.after(3600)
    assert shop.calls("verify") == looks <= 15


async def test_a_payer_who_left_may_come_back(shop: NagadShop) -> None:
    session = await shop.open()
    params = dict(parse_qsl(urlsplit(shop.go(session, "cancel")["redirect"]).query))
    returned = await shop.payments.handle_return("nagad", params)
    assert isinstance(returned.outcome, Pending)  # offered again at once, for nothing stands in its way
    again = await shop.open("INV-1", operation_id="INV-1/again")
    shop.go(again)
    assert isinstance(await shop.payments.status(again.payment_id), Paid)
    await shop.after(DAY_S + 900)
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Declined) and outcome.reason.code is ReasonCode.PAYMENT_CANCELLED


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "error_5xx_after", "html", "malformed"])
async def test_a_lost_page_is_replaced_and_watched(shop: NagadShop, fault: str) -> None:
    shop.fault("complete", fault)
    session = await shop.open()
    facts = await shop.facts(session)
    old, new = facts.submissions
    assert (old.state, new.state) == (SubmissionState.SUPERSEDED, SubmissionState.OPEN)
    assert old.gateway_reference and old.gateway_reference != new.gateway_reference
    assert old.gateway_order_id != new.gateway_order_id
    assert shop.calls("initialize") == shop.calls("complete") == 2
    # Somebody pays the lost page all the same, and nobody comes back.
    rules = shop.nagad.rules
    if rules.page_open(rules.payments[old.gateway_reference]):
        shop.nagad.approve(old.gateway_reference, "success", SILENT)
        await shop.after(60)
        assert (await shop.facts(session)).payment.state is PaymentState.PAID
    await shop.check_books()


async def test_two_pages_paid_are_two_receipts_and_the_second_is_announced(shop: NagadShop) -> None:
    shop.fault("complete", "drop_after")
    session = await shop.open()
    old = (await shop.facts(session)).submissions[0].gateway_reference
    shop.go(session)
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    shop.nagad.approve(old, "success", SILENT)
    await shop.after(60)
    await shop.after(600)
    facts = await shop.facts(session)
    assert len(facts.receipts) == 2
    assert EventKind.DUPLICATE.value in await shop.fired()
    await shop.check_books()


async def test_an_order_id_is_never_used_twice(shop: NagadShop) -> None:
    shop.fault("initialize", "drop_after")
    await shop.open()
    rules = shop.nagad.rules
    orders = [payment.order_id for payment in rules.payments.values()]
    assert len(orders) == len(set(orders)) == 2


async def test_a_process_that_died_between_the_two_calls_leaves_a_watched_reference(
    shop: NagadShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        """The process is gone: nothing more runs."""

    store = shop.payments.store
    keep = store.checkpoint

    async def dies(claim: Any, evidence: Evidence) -> None:
        await keep(claim, evidence)
        raise Died

    monkeypatch.setattr(store, "checkpoint", dies)
    with pytest.raises(BaseException):  # noqa: B017 - however it reaches the caller
        await shop.open()
    monkeypatch.undo()
    shop.clock.advance(600)
    session = await shop.open()
    facts = await shop.facts(session)
    old, new = facts.submissions
    assert old.gateway_reference == next(iter(shop.nagad.rules.payments))
    assert old.state is SubmissionState.SUPERSEDED and new.state is SubmissionState.OPEN
    assert shop.calls("complete") == 1


async def test_a_dead_opening_that_nobody_asks_for_again_is_looked_at_before_it_ends(
    shop: NagadShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    store = shop.payments.store
    keep = store.checkpoint

    async def dies(claim: Any, evidence: Evidence) -> None:
        await keep(claim, evidence)
        raise Died

    monkeypatch.setattr(store, "checkpoint", dies)
    with pytest.raises(BaseException):  # noqa: B017
        await shop.open()
    monkeypatch.undo()
    (facts,) = await shop.payments.find(merchant_reference="INV-1")
    assert facts.payment.state is PaymentState.CREATED
    await shop.after(DAY_S + 900)
    (facts,) = await shop.payments.find(merchant_reference="INV-1")
    assert shop.calls("verify") >= 1
    assert facts.payment.state is PaymentState.CLOSED
    assert facts.operation("INV-1/pay").state is OperationState.CANCELLED  # type: ignore[union-attr]


async def test_after_three_lost_pages_the_caller_hears_of_it_and_may_ask_again(
    shop: NagadShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway: PaymentGateway = await shop.payments.gateway_of("default", "nagad")
    begin, resumed = gateway.initialize_payment, []

    async def watched(*args: Any, **more: Any) -> PaymentSession:
        resumed.append(more["resume"] is not None)
        return await begin(*args, **more)

    monkeypatch.setattr(gateway, "initialize_payment", watched)
    shop.fault("complete", "drop_before", times=3)
    with pytest.raises((AnswerLostError, ConflictError)):
        await shop.open()
    assert resumed == [False, False, False]
    session = await shop.open()
    assert session.checkout_url
    assert len({s.gateway_order_id for s in (await shop.facts(session)).submissions}) >= 4


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "error_5xx_after", "html"])
async def test_a_refund_without_an_answer_is_unknown_until_it_is_seen_and_made_once(
    shop: NagadShop, fault: str
) -> None:
    session = await shop.open()
    shop.go(session)
    await shop.payments.status(session.payment_id)
    shop.fault("refund", fault)
    request = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money("40"))
    await shop.payments.refund(request)
    for _ in range(6):
        await shop.after(3600)
    made = shop.moved()["refund"]
    assert made <= 1 and shop.calls("refund") == 1
    outcome = await shop.payments.refund_status("r1")
    assert isinstance(outcome, Refunded) is bool(made)
    if made:
        await shop.check_books()


async def test_no_key_is_loaded_once_the_shop_is_open(
    shop: NagadShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To load a private key costs as much as 180 signatures, and it would be done on the event loop."""
    loads: list[str] = []

    def counted(name: str) -> Any:
        load = getattr(keys, name)

        def count(*args: Any, **more: Any) -> Any:
            loads.append(name)
            return load(*args, **more)

        return count

    for name in ("load_der_private_key", "load_der_public_key", "load_pem_public_key"):
        monkeypatch.setattr(keys, name, counted(name))
    session = await shop.open()
    params = dict(parse_qsl(urlsplit(shop.go(session)["redirect"]).query))
    await shop.payments.handle_return("nagad", params)
    request = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money("40"))
    assert isinstance(await shop.payments.refund(request), Refunded)
    await shop.after(DAY_S)
    config(shop.server).seal()  # and made again, as a tenant's is, it finds the keys that were loaded
    assert loads == []


FAULTS = (
    "drop_before",
    "drop_after",
    "drop_mid_body",
    "error_5xx_before",
    "error_5xx_after",
    "malformed",
    "html",
)


@pytest.mark.parametrize("step", ["initialize", "complete", "verify", "refund"])
async def test_whatever_goes_wrong_no_secret_is_left_behind_and_the_books_agree(
    step: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    canary, left_behind = SecretCanary(), []

    async def tried(call: Any) -> Any:
        try:
            left_behind.append(await call)
        except PaymentsError as error:
            left_behind.append(error)
            return None
        return left_behind[-1]

    async with opened(tmp_path) as shop:
        settings = config(shop.server)
        secret = settings.private_key.reveal().strip()
        canary.plant("private key", secret)
        canary.plant("a piece of the private key", secret[400:440])
        for number, fault in enumerate(FAULTS):
            shop.fault(step, fault)
            session = await tried(shop.open(f"INV-{number}")) or await tried(shop.open(f"INV-{number}"))
            assert session is not None
            shop.go(session)
            await tried(shop.payments.execute(session.payment_id))
            await tried(shop.payments.status(session.payment_id))
            refund = RefundRequest(
                operation_id=f"INV-{number}/r", payment_id=session.payment_id, amount=Money("10")
            )
            await tried(shop.payments.refund(refund))
            shop.server.app.state.faults.clear()
            await shop.after(4000)
            await tried(shop.payments.refund(refund))
            await tried(shop.payments.refund_status(f"INV-{number}/r"))
        for _ in range(4):
            await shop.after(DAY_S / 2)
        await shop.check_books()
        assert shop.moved()["refund"] <= len(FAULTS)
        with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
            tables = [
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            dump = "\n".join(
                str(row) for name in tables for row in database.execute(f'SELECT * FROM "{name}"')
            )
        printed = capfd.readouterr()
        canary.assert_absent(
            dump, printed.out, printed.err, caplog.records, left_behind, shop.entries, shop.events, shop.payments,
            settings, [repr(thing) for thing in (settings, shop.payments, settings.seal())],
        )  # fmt: skip
