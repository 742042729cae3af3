"""The blocking facade: the async one's verbs and signatures, from any number of threads, over real HTTP."""

import asyncio
import functools
import inspect
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.flows.held import PATIENCE_S
from tests.sync.world import Sandbox, wanted
from vextrus_payments import (
    Authorized,
    ConfigurationError,
    Declined,
    Intent,
    InvalidRequestError,
    LedgerEntry,
    Money,
    Paid,
    PaymentEvent,
    Pending,
    Refunded,
    RefundRequest,
    app,
    sync,
)
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import StorageError
from vextrus_payments.sync import background as background_module

#: async name -> its name here.
RENAMED = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
#: What the blocking facade does not have, and why.
NOT_HERE = {
    "gateway_of": "an adapter is bound to the background loop, and its verbs are coroutines",
    "store": "so is the store",
    "asgi": "code that blocks mounts wsgi() or a Django view",
    "keeper": "and what the doors ask; the blocking doors bring requests to it",
    "run_workers": "it waits for an asyncio.Event; `vextrus-pay worker` runs it",
}


#: What only the blocking facade has: the doors for servers that block. (tests/doors/ walks through them.)
DOORS = {"wsgi", "django_view", "django_async_view"}


def public_names(kind: type) -> set[str]:
    names = {name for name in dir(kind) if not name.startswith("_") or name in {*vars(kind)} & {*RENAMED}}
    return {name for name in names if name not in NOT_HERE}


@pytest.mark.parametrize(("of_async", "blocking"), [
    (app.Payments, sync.Payments),
    (app.TenantPayments, sync.TenantPayments),
])  # fmt: skip
def test_every_public_method_is_here_with_the_same_signature(of_async: type, blocking: type) -> None:
    wanted_names = {RENAMED.get(name, name) for name in public_names(of_async)}
    own = {name for name in dir(blocking) if not name.startswith("_")} - DOORS
    assert own == {name for name in wanted_names if not name.startswith("_")}
    for name in public_names(of_async):
        theirs, ours = getattr(of_async, name), getattr(blocking, RENAMED.get(name, name))
        if not callable(theirs):
            continue
        assert not inspect.iscoroutinefunction(ours), name
        theirs_signature, ours_signature = inspect.signature(theirs), inspect.signature(ours)
        if name == "for_tenant":  # each facade's own TenantPayments
            theirs_signature = theirs_signature.replace(return_annotation=sync.TenantPayments)
        assert ours_signature == theirs_signature, name


def test_the_constructor_differs_only_where_callbacks_may_be_plain() -> None:
    theirs, ours = (dict(inspect.signature(kind).parameters) for kind in (app.Payments, sync.Payments))
    assert ours.pop("callback_threads").default == 4
    assert list(ours) == list(theirs)
    for name, parameter in theirs.items():
        if name in {"ledger", "on_event", "on_alarm", "credentials"}:
            assert ours[name].default == parameter.default
        else:
            assert ours[name] == parameter, name


# --- a shop -------------------------------------------------------------------------------------------------------


def test_a_whole_sale_with_plain_functions(sandbox: Sandbox, tmp_path: Path) -> None:
    entries: list[tuple[str, str]] = []
    events: list[str] = []

    def ledger(entry: LedgerEntry) -> None:
        entries.append((entry.kind.value, threading.current_thread().name))

    def on_event(event: PaymentEvent) -> None:
        events.append(event.kind.value)

    with sandbox.payments(tmp_path / "shop.db", ledger=ledger, on_event=on_event) as payments:
        session = payments.initialize(wanted())
        assert isinstance(payments.status(session.payment_id), Pending)
        sandbox.approve(session)
        result = payments.handle_return(
            "bkash", {"paymentID": session.gateway_reference, "status": "success"}
        )
        assert isinstance(result.outcome, Paid)
        assert isinstance(payments.execute(session.payment_id), Paid)
        refund = RefundRequest(operation_id="r-1", payment_id=session.payment_id, amount=Money("30"))
        assert isinstance(payments.refund(refund), Refunded)
        assert isinstance(payments.refund_status("r-1"), Refunded)
        facts = payments.get(session.payment_id)
        assert facts is not None and payments.find(merchant_reference="INV-1") == (facts,)
        assert payments.return_door("default", "bkash") == "https://shop.example/payments/bkash/return"
        while payments.deliver():
            pass
    assert [kind for kind, _ in entries] == ["payment.received", "payment.refunded"]
    assert {name.rpartition("-")[0] for _, name in entries} == {"vextrus-payments-ledger"}
    assert "payment.paid" in events
    assert sandbox.calls("execute") == 1


def test_holds_and_looks_and_how_things_stand(sandbox: Sandbox, tmp_path: Path) -> None:
    looked: list[str] = []
    with sandbox.payments(tmp_path / "shop.db") as payments:
        taken = payments.initialize(replace(wanted("INV-1"), intent=Intent.AUTHORIZATION))
        given_up = payments.initialize(replace(wanted("INV-2", "200"), intent=Intent.AUTHORIZATION))
        for session in (taken, given_up):
            sandbox.approve(session)
            assert isinstance(payments.execute(session.payment_id), Authorized)
        assert isinstance(payments.capture(taken.payment_id), Paid)
        assert isinstance(payments.void(given_up.payment_id), Declined)
        assert payments.reconcile(taken.payment_id).problems == ()
        assert payments.reconcile_due().complete
        since = payments.reconcile_since(
            datetime(2020, 1, 1, tzinfo=UTC), on_each=lambda one: looked.append(one.subject_id)
        )
        assert since.complete
        assert set(looked) == {taken.payment_id, given_up.payment_id}
        health = payments.health()
        assert health.opened and health.store_problem is None


def test_health_tells_of_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    payments = sync.Payments(store=f"sqlite:///{tmp_path / 'no' / 'shop.db'}")
    health = payments.health()
    assert not health.opened and not health.ok
    assert health.store_problem is not None and "folder" in health.store_problem
    (tmp_path / "no").mkdir()
    assert payments.health().opened
    payments.close()
    assert not payments.health().opened


def test_many_threads_complete_the_same_payments_once(sandbox: Sandbox, tmp_path: Path) -> None:
    entries: Counter[str] = Counter()
    with (
        sandbox.payments(tmp_path / "shop.db", ledger=lambda entry: entries.update([entry.id])) as payments,
        ThreadPoolExecutor(16) as pool,
    ):
        sessions = list(pool.map(payments.initialize, [wanted(f"INV-{n}", f"{n + 1}00") for n in range(4)]))
        for session in sessions:
            sandbox.approve(session)
        gate = threading.Barrier(16)

        def complete(number: int) -> Any:
            gate.wait()
            return payments.execute(sessions[number % 4].payment_id)

        outcomes = list(pool.map(complete, range(16)))
        assert all(isinstance(outcome, Paid) for outcome in outcomes)
        assert len({outcome.transaction_id for outcome in outcomes}) == 4
        while payments.deliver():
            pass
    assert sandbox.calls("execute") == 4
    assert sandbox.calls("grant") == 1
    assert list(entries.values()) == [1, 1, 1, 1]


def test_it_opens_itself_and_stays_closed_once_closed(sandbox: Sandbox, tmp_path: Path) -> None:
    payments = sandbox.payments(tmp_path / "shop.db")
    session = payments.initialize(wanted())
    payments.close()
    payments.close()
    with pytest.raises(ConfigurationError) as caught:
        payments.status(session.payment_id)
    assert caught.value.code == "not_open"
    payments.open()
    payments.open()
    assert isinstance(payments.status(session.payment_id), Pending)
    payments.close()


def test_one_loop_serves_every_facade_of_the_process(sandbox: Sandbox, tmp_path: Path) -> None:
    with sandbox.payments(tmp_path / "a.db") as one, sandbox.payments(tmp_path / "b.db") as other:
        one.initialize(wanted())
        other.initialize(wanted())
        loops = [t for t in threading.enumerate() if t.name == "vextrus-payments"]
        assert len(loops) == 1
        assert loops[0].daemon


def test_the_worker_delivers_in_the_background(sandbox: Sandbox, tmp_path: Path) -> None:
    took = threading.Event()
    with sandbox.payments(tmp_path / "shop.db", workers=True, ledger=lambda entry: took.set()) as payments:
        session = payments.initialize(wanted())
        sandbox.approve(session)
        payments.execute(session.payment_id)
        assert took.wait(PATIENCE_S)


def test_tenants_with_a_plain_source_of_credentials(sandbox: Sandbox, tmp_path: Path) -> None:
    from tests.flows.shop import bkash_config

    asked: list[tuple[str, str]] = []

    def load(tenant: str, gateway: str) -> GatewayConfig:
        asked.append((tenant, gateway))
        return bkash_config(sandbox.server)

    with sandbox.payments(tmp_path / "shop.db", gateways=None, credentials=load) as payments:
        acme = payments.for_tenant("acme")
        assert acme.tenant == "acme"
        session = acme.initialize(wanted())
        sandbox.approve(session)
        assert isinstance(acme.execute(session.payment_id), Paid)
        assert payments.for_tenant("other").get(session.payment_id) is None
        with pytest.raises(ConfigurationError) as caught:
            payments.status(session.payment_id)
        assert caught.value.code == "tenant_missing"
        with pytest.raises(InvalidRequestError):
            payments.for_tenant("no such/tenant")
        payments.close()
        payments.open()
        assert isinstance(acme.status(session.payment_id), Paid)
    assert set(asked) == {("acme", "bkash")}


def test_a_source_of_credentials_that_raises_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    def load(tenant: str, gateway: str) -> GatewayConfig:
        raise LookupError("hunter2")

    selling = sandbox.payments(tmp_path / "shop.db", gateways=None, credentials=load)
    with selling as payments, pytest.raises(ConfigurationError) as caught:
        payments.for_tenant("acme").initialize(wanted())
    assert caught.value.code == "credential_source_failed"
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


# --- callbacks ----------------------------------------------------------------------------------------------------


def paid_shop(sandbox: Sandbox, tmp_path: Path, **changes: Any) -> sync.Payments:
    """A shop with one entry to deliver."""
    payments = sandbox.payments(tmp_path / "shop.db", **changes)
    session = payments.initialize(wanted())
    sandbox.approve(session)
    assert isinstance(payments.execute(session.payment_id), Paid)
    return payments


async def takes_async(entry: LedgerEntry) -> None:
    TOOK.append(threading.current_thread().name)


class TakesAsync:
    async def __call__(self, entry: LedgerEntry) -> None:
        await takes_async(entry)


TOOK: list[str] = []


@pytest.mark.parametrize(
    "ledger", [takes_async, functools.partial(takes_async), TakesAsync(), lambda entry: takes_async(entry)]
)
def test_callbacks_may_be_async(
    sandbox: Sandbox, tmp_path: Path, ledger: Callable[[LedgerEntry], Any]
) -> None:
    TOOK.clear()
    with paid_shop(sandbox, tmp_path, ledger=ledger) as payments:
        payments.deliver()
    assert TOOK == ["vextrus-payments"]


def test_a_ledger_that_hangs_holds_up_nobody(sandbox: Sandbox, tmp_path: Path) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def ledger(entry: LedgerEntry) -> None:
        hangs.set()
        assert go_on.wait(PATIENCE_S)

    news: list[str] = []
    payments = sandbox.payments(
        tmp_path / "shop.db", ledger=ledger, on_event=lambda event: news.append(event.kind), workers=True,
        callback_threads=1,
    )  # fmt: skip
    with payments:
        session = payments.initialize(wanted())
        sandbox.approve(session)
        assert isinstance(payments.execute(session.payment_id), Paid)
        assert hangs.wait(PATIENCE_S)
        other = payments.initialize(wanted("INV-2", "200"))
        sandbox.approve(other)
        assert isinstance(payments.execute(other.payment_id), Paid)
        go_on.set()
    assert news.count("payment.paid") >= 1


def test_a_callback_that_exits_ends_neither_the_loop_nor_the_delivery(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    def plain(entry: LedgerEntry) -> None:
        raise SystemExit(3)

    async def of_the_loop(event: PaymentEvent) -> None:
        raise SystemExit(4)

    with paid_shop(sandbox, tmp_path, ledger=plain) as payments:
        assert payments.deliver() == 0
        assert payments.deliver() == 0  # it waits for its pause
    with sandbox.payments(tmp_path / "shop.db", on_event=of_the_loop) as payments:
        assert payments.deliver() == 0
        assert len(payments.find(merchant_reference="INV-1")) == 1


def test_a_callback_may_ask_but_not_close(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[Any] = []

    def ledger(entry: LedgerEntry) -> None:
        told.append(payments.find(merchant_reference=entry.merchant_reference)[0].payment.state.value)
        try:
            payments.close()
        except ConfigurationError as error:
            told.append(error.code)

    with paid_shop(sandbox, tmp_path, ledger=ledger) as payments:
        payments.deliver()
    assert told == ["paid", "inside_callback"]


@pytest.mark.parametrize("threads", [0, 65, "4", None])
def test_the_number_of_threads_has_bounds(threads: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sync.Payments(store="memory://", callback_threads=threads)
    assert caught.value.code == "callback_threads"


# --- where it is called from --------------------------------------------------------------------------------------


async def test_inside_a_running_loop_it_refuses(tmp_path: Path) -> None:
    payments = sync.Payments(store=f"sqlite:///{tmp_path / 'shop.db'}")
    for call in (
        payments.open,
        payments.close,
        payments.deliver,
        lambda: payments.get("pay_1"),
        lambda: payments.for_tenant("default"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert caught.value.code == "inside_event_loop"
        assert "vextrus_payments.Payments" in str(caught.value)
        assert caught.value.__context__ is None
    try:
        assert await asyncio.to_thread(payments.get, "pay_1") is None
    finally:
        await asyncio.to_thread(payments.close)


def test_a_callback_on_the_loop_is_refused_instead_of_blocking_it(sandbox: Sandbox, tmp_path: Path) -> None:
    codes: list[str] = []

    async def ledger(entry: LedgerEntry) -> None:
        try:
            payments.get("pay_1")
        except ConfigurationError as error:
            codes.append(error.code)

    with paid_shop(sandbox, tmp_path, ledger=ledger) as payments:
        payments.deliver()
    assert codes == ["inside_event_loop"]


def test_errors_keep_type_and_traceback_and_belong_to_one_caller(sandbox: Sandbox, tmp_path: Path) -> None:
    with sandbox.payments(tmp_path / "shop.db") as payments, pytest.raises(InvalidRequestError) as caught:
        payments.execute("pay_none")
    shown = "".join(traceback.format_exception(caught.value))
    assert "payments.execute(" in shown and "engine/settling.py" in shown
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    with pytest.raises(StorageError):
        sync.Payments(store=f"sqlite:///{tmp_path / 'no' / 'shop.db'}").open()


def test_callers_of_one_failure_get_errors_of_their_own(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = InvalidRequestError("one for all", field="payment_id")

    async def get(self: app.Payments, payment_id: str) -> None:
        raise shared

    monkeypatch.setattr(app.Payments, "get", get)
    with sandbox.payments(tmp_path / "shop.db") as payments:
        errors = []
        for _ in range(2):
            with pytest.raises(InvalidRequestError) as caught:
                payments.get("pay_1")
            errors.append(caught.value)
    assert errors[0] is not errors[1] is not shared
    assert errors[0].field == "payment_id"


# --- interruptions ------------------------------------------------------------------------------------------------


def test_an_interrupted_caller_cancels_only_its_wait(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sandbox.payments(tmp_path / "shop.db") as payments:
        session = payments.initialize(wanted())
        sandbox.approve(session)
        real_wait, waits = background_module.concurrent.futures.wait, 0

        def wait(futures: Any, timeout: float) -> Any:
            nonlocal waits
            waits += 1
            if waits == 1:
                while not sandbox.calls("execute"):
                    real_wait(futures, timeout=0.01)
                raise KeyboardInterrupt
            return real_wait(futures, timeout=timeout)

        sandbox.fault("execute", "delay_after;seconds=0.5")
        monkeypatch.setattr(background_module.concurrent.futures, "wait", wait)
        with pytest.raises(KeyboardInterrupt):
            payments.execute(session.payment_id)
        # Somebody else joins the flight that goes on, and sees its end.
        assert isinstance(payments.execute(session.payment_id), Paid)
    assert sandbox.calls("execute") == 1


def test_what_an_interrupted_caller_waited_for_is_not_waited_for_any_longer(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, given_up = threading.Event(), threading.Event()

    async def get(self: app.Payments, payment_id: str) -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.set()
            raise

    def wait(futures: Any, timeout: float) -> Any:
        assert waiting.wait(PATIENCE_S)
        raise KeyboardInterrupt

    with sandbox.payments(tmp_path / "shop.db") as payments:
        monkeypatch.setattr(app.Payments, "get", get)
        with monkeypatch.context() as patch:
            patch.setattr(background_module.concurrent.futures, "wait", wait)
            with pytest.raises(KeyboardInterrupt):
                payments.get("pay_1")
        assert given_up.wait(PATIENCE_S)


def test_closing_while_another_thread_opens_leaves_it_closed(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = threading.Event(), threading.Event()
    real_open = app.Payments.open

    async def slow_open(self: app.Payments, *, workers: bool | None = None) -> None:
        opening.set()
        await asyncio.to_thread(go_on.wait, PATIENCE_S)
        await real_open(self, workers=workers)

    monkeypatch.setattr(app.Payments, "open", slow_open)
    payments = sandbox.payments(tmp_path / "shop.db")
    with ThreadPoolExecutor(2) as pool:
        opened = pool.submit(payments.open)
        assert opening.wait(PATIENCE_S)
        closed = pool.submit(payments.close)
        give_up = time.monotonic() + PATIENCE_S
        while not payments._here._closing:
            assert time.monotonic() < give_up
            time.sleep(0.005)
        go_on.set()
        opened.result(PATIENCE_S)
        closed.result(PATIENCE_S)
    with pytest.raises(ConfigurationError) as caught:
        payments.get("pay_1")
    assert caught.value.code == "not_open"
    assert not payments._here.payments._opening.is_open


def test_closing_beside_callers_answers_all_of_them(sandbox: Sandbox, tmp_path: Path) -> None:
    payments = sandbox.payments(tmp_path / "shop.db")
    payments.open()
    session = payments.initialize(wanted())
    gate = threading.Barrier(9)

    def ask() -> str:
        gate.wait()
        for _ in range(20):
            try:
                payments.status(session.payment_id)
            except (ConfigurationError, StorageError) as error:
                return error.code
        return "answered"

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask) for _ in range(8)]
        gate.wait()
        payments.close()
        codes = {answer.result(PATIENCE_S) for answer in answers}
    assert codes <= {"not_open", "answered", "storage_closed", "closing", "closed"}
