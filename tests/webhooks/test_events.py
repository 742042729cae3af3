"""What an event changes: it says where to look, and decides only where the look cannot."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.toy import ToyConfig
from tests.webhooks.world import Town, town_open, toy_config
from vextrus_payments import Authorized, Intent, Money, Paid, Pending, RefundRequest, Review, Unknown
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import StorageError
from vextrus_payments.events import payment_news_key
from vextrus_payments.inbox import InboxState
from vextrus_payments.mode import Mode
from vextrus_payments.records import ResolutionVerdict
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.webhooks import DoorLimits
from vextrus_payments.webhooks.messages import Incoming


async def test_the_news_is_looked_up_and_recorded(town: Town) -> None:
    session = await town.approved()
    trx = town.paid_there(session)
    assert (await town.deliver(town.told(session))).status == 200
    assert (await town.payments.get(session.payment_id)).payment.state == "awaiting_payer", "news is no proof"
    assert await town.payments.process_inbox() == 1
    outcome = await town.payments.status(session.payment_id)
    assert isinstance(outcome, Paid) and outcome.transaction_id == trx
    assert await town.fired() == ["payment.paid"]
    assert await town.booked() == {("payment.received", trx): 1}
    row = await town.row()
    assert (row.state, row.payment_id, row.note) == (
        InboxState.DONE,
        session.payment_id,
        "A look-up shows it.",
    )
    assert town.server.sent("execute") == 0


async def test_what_is_recorded_asks_nobody(town: Town) -> None:
    session = await town.approved()
    assert isinstance(await town.payments.execute(session.payment_id), Paid)
    asked = town.server.sent("query")
    await town.deliver(town.told(session))
    await town.payments.process_inbox()
    assert town.server.sent("query") == asked
    assert await town.fired() == ["payment.paid"]
    assert (await town.row()).note == "Recorded already."


async def test_an_approved_payment_is_never_executed_by_a_webhook(town: Town) -> None:
    session = await town.approved()
    for number, state in enumerate(("paid", "authorized", "declined", "approved", "expired", "cancelled")):
        await town.deliver(town.told(session, f"e-{number}", state=state, trx=f"T{number}"))
    await town.payments.process_inbox()
    assert town.server.sent("execute") == 0 and town.server.moves == 0
    assert isinstance(await town.payments.status(session.payment_id), Pending)
    assert await town.booked() == {}


@pytest.mark.parametrize("state", ["declined", "cancelled", "expired", "voided", "initiated", "unrecognized"])
async def test_paid_never_becomes_anything_else(town: Town, state: str) -> None:
    session = await town.approved()
    assert isinstance(await town.payments.execute(session.payment_id), Paid)
    asked = town.server.sent("query")
    await town.deliver(town.told(session, state=state))
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert (await town.row()).state is InboxState.DONE
    assert town.server.sent("query") == asked
    assert await town.fired() == ["payment.paid"]


async def test_a_failure_is_only_a_reason_to_look(town: Town) -> None:
    """The payer is done, and money moved: a forged or stale failure changes nothing."""
    session = await town.approved()
    town.paid_there(session)
    await town.deliver(town.told(session, state="declined", trx=None))
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Paid)


async def test_another_transaction_than_the_look_up_shows_is_a_duplicate(town: Town) -> None:
    session = await town.approved()
    trx = town.paid_there(session)
    await town.deliver(town.told(session, trx="OTHER1"))
    await town.payments.process_inbox()
    assert sorted(await town.fired()) == ["payment.duplicate", "payment.paid"]
    assert await town.booked() == {("payment.received", trx): 1, ("payment.received", "OTHER1"): 1}
    assert town.account("accounts_receivable") == -10_000
    assert town.account("unapplied_receipts") == -10_000
    assert isinstance(await town.payments.status(session.payment_id), Paid)


@pytest.mark.parametrize(("amount", "quarantined"), [("100", False), ("90", True)])
async def test_the_hold_of_a_capture_is_not_booked_as_other_money(
    town: Town, amount: str, quarantined: bool
) -> None:
    """Here the capture has a transaction id of its own; news that names the hold's tells of the same money."""
    session = await town.approved("INV-1", intent=Intent.AUTHORIZATION)
    held = await town.payments.execute(session.payment_id)
    assert isinstance(held, Authorized)
    paid = await town.payments.capture(session.payment_id)
    assert isinstance(paid, Paid) and paid.transaction_id != held.transaction_id
    await town.deliver(town.told(session, trx=held.transaction_id, amount=amount))
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.DONE
    assert await town.booked() == {("payment.received", paid.transaction_id): 1}
    more = ["payment.quarantined"] if quarantined else []
    assert await town.fired() == ["payment.authorized", "payment.paid", *more]


async def test_another_amount_than_is_booked_is_quarantined(town: Town) -> None:
    """Two authenticated sources differ about one transaction: nothing more is booked, and a person has to look."""
    session = await town.approved()
    trx = town.paid_there(session)
    await town.deliver(town.told(session, amount="1"))
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Review)
    assert await town.booked() == {("payment.received", trx): 1}
    assert sorted(await town.fired()) == ["payment.paid", "payment.quarantined"]
    assert "Booked otherwise" in ((await town.row()).note or "")


async def test_no_amount_told_is_no_contradiction(town: Town) -> None:
    session = await town.approved()
    town.paid_there(session)
    event = town.told(session)
    del event["amount"]
    await town.deliver(event)
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Paid)


async def test_money_that_came_at_another_amount_goes_to_suspense(town: Town) -> None:
    session = await town.approved()
    trx = town.paid_there(session, amount="90")
    await town.deliver(town.told(session))
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Review)
    assert await town.booked() == {("payment.received", trx): 1}
    assert town.account("suspense") == -9_000
    assert (await town.row()).state is InboxState.DONE


async def test_what_the_look_up_denies_is_given_time_then_quarantined(town: Town) -> None:
    session = await town.approved()
    await town.deliver(town.told(session, trx="NEVER1"))
    await town.payments.process_inbox()
    row = await town.row()
    assert row.state is InboxState.WAITING and row.payment_id == session.payment_id
    assert row.due_at is not None and row.due_at > town.clock.now()
    assert isinstance(await town.payments.status(session.payment_id), Pending)
    for _ in range(40):
        town.clock.advance(60)
        await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.DONE
    assert isinstance(await town.payments.status(session.payment_id), Review)
    assert await town.booked() == {}, "nothing is booked on a word that the gateway's own look-up denies"
    assert await town.fired() == ["payment.quarantined"]
    assert town.events[0].transaction_id == "NEVER1"


async def test_what_the_look_up_shows_late_is_recorded(town: Town) -> None:
    session = await town.approved()
    await town.deliver(town.told(session, trx="TRX1"))
    await town.payments.process_inbox()
    assert town.paid_there(session) == "TRX1"
    town.clock.advance(5)
    assert await town.payments.process_inbox() == 1
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert await town.fired() == ["payment.paid"]


async def test_money_after_the_end_is_late(town: Town) -> None:
    session = await town.approved()
    town.clock.advance(2 * 3600)
    await town.payments.reconcile_due()
    assert (await town.payments.get(session.payment_id)).payment.state == "closed"
    trx = town.paid_there(session)
    await town.deliver(town.told(session))
    await town.payments.process_inbox()
    assert (await town.fired())[-1] == "payment.late"
    assert await town.booked() == {("payment.received", trx): 1}


async def test_a_gateway_that_gives_no_answer_is_asked_again(town: Town) -> None:
    session = await town.approved()
    town.paid_there(session)
    await town.deliver(town.told(session))
    town.server.down = True
    for _ in range(5):
        await town.payments.process_inbox()
        row = await town.row()
        assert row.state is InboxState.WAITING and row.due_at is not None
        town.clock.advance(60)
    town.server.down = False
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert await town.fired() == ["payment.paid"]


async def test_news_that_overtakes_the_executes_answer_waits_for_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await town.approved()
    seen: list[Any] = []
    real = town.server._execute

    def execute(body: dict[str, str]) -> dict[str, Any]:
        found = dict(real(body))
        seen.append(found)
        return found

    monkeypatch.setattr(town.server, "_execute", execute)
    send = town.server.send

    async def slow(request: Any, **named: Any) -> Any:
        answer = await send(request, **named)
        if request.url.endswith("/execute"):
            asked = town.server.sent("query")
            await town.deliver(town.told(session))
            await town.payments.process_inbox()
            assert (await town.row()).state is InboxState.WAITING
            assert town.server.sent("query") == asked, "nobody asks beside what is on the wire"
        return answer

    monkeypatch.setattr(town.server, "send", slow)
    assert isinstance(await town.payments.execute(session.payment_id), Paid)
    town.clock.advance(5)
    await town.payments.process_inbox()
    assert (await town.row()).note == "Recorded already."
    assert await town.fired() == ["payment.paid"]


# --- news of what is not known here -------------------------------------------------------------------------------


async def test_an_early_event_waits_and_is_applied(town: Town) -> None:
    first = await town.approved("INV-7")
    order = "INV-8"
    await town.deliver({"id": "e-1", "order": order, "amount": "100", "trx": "TRX1"})
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.PARKED
    assert (await town.payments.health()).inbox.parked == 1
    session = await town.approved("INV-8")
    assert session.gateway_order_id == order
    assert town.paid_there(session) == "TRX1"
    town.clock.advance(400)
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert isinstance(await town.payments.status(first.payment_id), Pending)
    assert await town.fired() == ["payment.paid"]


async def test_after_a_day_it_is_unmatched_and_announced_once(town: Town) -> None:
    await town.deliver({"id": "e-1", "order": "INV-none", "amount": "12.50", "trx": "TRX9"})
    for _ in range(24 * 12 + 2):
        await town.payments.process_inbox()
        town.clock.advance(300)
    row = await town.row()
    assert row.state is InboxState.UNMATCHED
    assert await town.fired() == ["receipt.unmatched"]
    told = town.events[0]
    assert (told.payment_id, told.amount, told.transaction_id) == (None, Money("12.50", "BDT"), "TRX9")
    assert told.metadata == {"inbox_event_id": "e-1", "gateway_order_id": "INV-none"}
    await town.payments.store.replay_event("default", "toy", row.mode, "e-1")
    town.clock.advance(1)
    await town.payments.process_inbox()
    assert await town.fired() == ["receipt.unmatched"], "replayed, it is the same announcement"


async def test_without_our_reference_it_is_unmatched_at_once(town: Town) -> None:
    """bKash notifies QR and USSD payments too, which name nothing of ours."""
    await town.deliver({"id": "e-1", "amount": "40", "trx": "QR1"}, {"id": "e-2", "state": "declined"})
    assert await town.payments.process_inbox() == 2
    assert (await town.row("e-1")).state is InboxState.UNMATCHED
    assert (await town.row("e-2")).state is InboxState.DONE, "no money, no announcement"
    assert await town.fired() == ["receipt.unmatched"]


@pytest.mark.parametrize("order", [None, "no order of ours!", "INV-1"])
async def test_what_nobody_can_read_and_names_nothing_of_ours_is_for_a_person(
    town: Town, order: str | None
) -> None:
    """Gateways tell of money; a status that nobody has documented is no reason to keep silent about it."""
    await town.deliver({"id": "e-1", "order": order, "amount": "100", "trx": "TRX9", "state": "unrecognized"})
    await town.payments.process_inbox()
    town.clock.advance(25 * 3600)
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.UNMATCHED
    assert await town.fired() == ["receipt.unmatched"]


@pytest.mark.parametrize("name", ["order", "ref", "trx"])
async def test_an_id_that_no_database_can_be_asked_for_is_nobodys(
    town: Town, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """PostgreSQL refuses a NUL in a text: asked for it, it would fail at every try."""
    find = town.payments.store.find

    async def as_postgres(tenant: str, **by: Any) -> Any:
        if any("\0" in str(value) for value in by.values()):
            raise StorageError("The database refused a value.", code="storage_bad_value")
        return await find(tenant, **by)

    monkeypatch.setattr(town.payments.store, "find", as_postgres)
    await town.deliver({"id": "e-1", "amount": "100", "trx": "TRX9", name: "INV\0-1"})
    await town.payments.process_inbox()
    town.clock.advance(25 * 3600)
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.UNMATCHED


async def test_a_receipt_that_the_books_have_is_known_without_a_reference(town: Town) -> None:
    session = await town.approved()
    assert isinstance(await town.payments.execute(session.payment_id), Paid)
    await town.deliver({"id": "e-1", "amount": "100", "trx": "TRX1"})
    await town.payments.process_inbox()
    assert (await town.row()).payment_id == session.payment_id
    assert await town.fired() == ["payment.paid"]


async def test_an_order_id_that_nobody_could_have_given_is_not_waited_for(town: Town) -> None:
    await town.deliver({"id": "e-1", "order": "not an order id!", "amount": "40", "trx": "X1"})
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.UNMATCHED


async def test_a_session_that_never_reached_us_is_booked_as_told(town: Town) -> None:
    """Its answer was lost, so there is nothing to ask by; its order id is ours all the same."""
    send, lost = town.server.send, []

    async def losing(request: Any, **named: Any) -> Any:
        answer = await send(request, **named)
        if request.url.endswith("/create") and not lost:
            lost.append(answer)
            town.server.down = True
            try:
                await send(request, **named)
            finally:
                town.server.down = False
        return answer

    town.server.send = losing  # type: ignore[method-assign]
    session = await town.payments.initialize(_request())
    assert session.submission_no == 2
    await town.deliver({"id": "e-1", "order": "INV-1", "amount": "100", "trx": "LOST1"})
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert await town.booked() == {("payment.received", "LOST1"): 1}
    await town.deliver({"id": "e-2", "order": "INV-1", "state": "declined"})
    await town.payments.process_inbox()
    assert (await town.row("e-2")).state is InboxState.DONE


def _request() -> Any:
    from tests.unit.toy import a_request

    return a_request("INV-1")


# --- refunds ------------------------------------------------------------------------------------------------------


async def test_news_of_a_refund_of_ours_changes_nothing(town: Town) -> None:
    session = await town.approved()
    await town.payments.execute(session.payment_id)
    await town.payments.refund(
        RefundRequest(operation_id="r-1", payment_id=session.payment_id, amount=Money("30", "BDT"))
    )
    await town.deliver({"id": "e-1", "refund_of": "TRX1", "trx": "RFD2", "amount": "30"})
    await town.payments.process_inbox()
    assert (await town.row()).note == "Recorded already."
    assert await town.booked() == {("payment.received", "TRX1"): 1, ("payment.refunded", "RFD2"): 1}


async def test_a_refund_made_in_the_portal_is_adopted(town: Town) -> None:
    session = await town.approved()
    await town.payments.execute(session.payment_id)
    made = town.server._refund({"ref": session.gateway_reference, "amount": "25"})
    for number in range(3):
        await town.deliver({"id": f"e-{number}", "refund_of": "TRX1", "trx": made["trx"], "amount": "25"})
        await town.payments.process_inbox()
        assert (await town.row(f"e-{number}")).state is InboxState.DONE
    assert await town.booked() == {("payment.received", "TRX1"): 1, ("payment.refunded", made["trx"]): 1}
    assert (await town.fired()).count("refund.adopted") == 1


async def test_a_refund_that_nobody_can_find_is_announced_after_a_day(town: Town) -> None:
    session = await town.approved()
    await town.payments.execute(session.payment_id)
    await town.deliver({"id": "e-1", "refund_of": "TRX1", "trx": "GONE", "amount": "30"})
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.PARKED
    town.clock.advance(timedelta(days=1).total_seconds())
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.UNMATCHED
    assert (await town.fired())[-1] == "receipt.unmatched"
    assert town.events[-1].after == "unmatched_refund"
    assert await town.booked() == {("payment.received", "TRX1"): 1}, "never booked on the event's word"


async def test_a_refund_that_is_not_made_is_only_looked_up(town: Town) -> None:
    session = await town.approved()
    await town.payments.execute(session.payment_id)
    await town.deliver({"id": "e-1", "refund_of": "TRX1", "trx": "R9", "amount": "30", "state": "declined"})
    await town.deliver({"id": "e-2", "refund_of": "NOBODY", "trx": "R9", "amount": "30", "state": "declined"})
    await town.payments.process_inbox()
    assert (await town.row("e-1")).state is InboxState.DONE


# --- tenants and settings -----------------------------------------------------------------------------------------


async def test_tenants_never_meet() -> None:
    async def credentials(tenant: str, gateway: str) -> GatewayConfig:
        return toy_config()

    async with town_open(gateways=None, credentials=credentials) as town:
        from tests.unit.toy import a_request

        ours = await town.payments.for_tenant("a").initialize(a_request("INV-1"))
        theirs = await town.payments.for_tenant("b").initialize(a_request("INV-1"))
        assert ours.gateway_order_id == theirs.gateway_order_id, "each tenant counts for itself"
        town.paid_there(ours)
        town.paid_there(theirs)
        told = town.told(ours)
        forged = {"x-toy": "signed for b"}
        assert (await town.deliver(told, tenant="a", headers=forged)).status == 401
        assert (await town.deliver(told, tenant="a")).status == 200
        assert (await town.deliver(told, tenant="b")).status == 200, (
            "the same event id is another tenant's own"
        )
        assert await town.payments.process_inbox() == 2
        paid = await town.payments.for_tenant("a").get(ours.payment_id)
        assert paid is not None and paid.payment.state == "paid"
        # b's own payment is paid too, by its own transaction; a's news told it of another one beside that.
        other = await town.payments.for_tenant("b").get(theirs.payment_id)
        assert other is not None and {r.tenant for r in other.receipts} == {"b"}
        assert await town.payments.for_tenant("b").get(ours.payment_id) is None


async def test_a_gateway_that_is_for_the_other_mode_now_is_waited_for(town: Town) -> None:
    session = await town.approved()
    town.paid_there(session)
    await town.deliver(town.told(session))
    gateway = await town.payments.gateway_of("default", "toy")
    sandbox = gateway._config
    gateway._config = sandbox.model_copy(update={"mode": Mode.LIVE})
    await town.payments.process_inbox()
    row = await town.row()
    assert row.state is InboxState.WAITING and (row.note or "").startswith("ConfigurationError")
    gateway._config = sandbox
    town.clock.advance(5)
    await town.payments.process_inbox()
    assert isinstance(await town.payments.status(session.payment_id), Paid)


# --- what else is in the records ----------------------------------------------------------------------------------


async def test_what_only_an_operator_has_said_is_looked_up_still(town: Town) -> None:
    session = await town.approved()
    town.server.lose("execute")
    assert isinstance(await town.payments.execute(session.payment_id), Unknown)
    town.clock.advance(300)
    facts = await town.payments.get(session.payment_id)
    assert facts is not None
    await town.payments.resolve(
        ResolveRequest(
            payment_id=session.payment_id,
            operation_id=f"execute/{session.payment_id}/1",
            verdict=ResolutionVerdict.MADE,
            actor="asha",
            reason="It stands in the statement.",
            evidence=("statement",),
            reviewed_version=facts.payment.version,
            transaction_id="TRX1",
            amount=Money("100", "BDT"),
        )
    )
    town.paid_there(session, "TRX1")
    asked = town.server.sent("query")
    await town.deliver(town.told(session))
    await town.payments.process_inbox()
    assert town.server.sent("query") == asked + 1
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert await town.booked() == {("payment.received", "TRX1"): 1}
    assert (await town.row()).state is InboxState.DONE


async def test_modes_never_meet(tmp_path: Path) -> None:
    """The same tenant and the same order id, in sandbox and live: each mode's news is its own."""
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    live = ToyConfig(mode=Mode.LIVE)
    async with town_open(store) as testing, town_open(store, gateways={"toy": live}, seed=9) as real:
        ours = await testing.approved("INV-1")
        theirs = await real.approved("INV-2")
        assert (ours.gateway_order_id, theirs.gateway_order_id) == ("INV-1", "INV-2")
        testing.paid_there(ours)
        await real.deliver(testing.told(ours))
        assert await real.payments.process_inbox() == 1
        assert (await real.row()).state is InboxState.PARKED, "live knows no such order"
        paid = await real.payments.get(ours.payment_id)
        assert paid is not None and paid.payment.state == "awaiting_payer"
        await testing.deliver(testing.told(ours))
        rows = (await testing.payments.store.list_inbox(None)).rows
        assert {row.mode for row in rows} == {Mode.SANDBOX, Mode.LIVE}


async def test_the_guard_learns_who_forges_and_who_has_proven_himself() -> None:
    limits = DoorLimits(block_after=3, block_window_s=60, block_s=600)
    async with town_open(door_limits=limits) as town:
        news = {"id": "e-1", "amount": "1", "trx": "T"}

        def incoming(peer: str) -> Incoming:
            return Incoming(
                gateway="toy", tenant=None, method="POST", query="", headers={}, body=b"", peer=peer
            )

        async def knock(peer: str, header: str) -> int:
            refused = await town.payments.keeper.admit(incoming(peer))
            if refused is not None:
                return refused.status
            reply = await town.deliver(news, headers={"x-toy": header}, peer=peer)
            town.payments.keeper.leave(incoming(peer))
            return reply.status

        assert [await knock("192.0.2.1", "forged") for _ in range(5)] == [401, 401, 401, 429, 429]
        assert [await knock("192.0.2.2", "late") for _ in range(5)] == [401] * 5, "late is not forged"
        assert [await knock("192.0.2.4", "guessed") for _ in range(4)] == [401, 401, 401, 429]
        assert await knock("192.0.2.3", "signed for default") == 200
        assert [await knock("192.0.2.3", "forged") for _ in range(5)] == [401] * 5, "it may be shared"


async def test_news_that_names_nothing_keeps_no_news_out_that_names_the_payment(town: Town) -> None:
    """A relay tells of a transaction without our order id: for a person. Then the gateway tells of it, with the id."""
    session = await town.approved()
    trx = town.paid_there(session)
    unnamed = PaymentSnapshot(
        state=SnapshotState.PAID,
        gateway_reference="",
        raw_state="told",
        amount=Money("100"),
        transaction_id=trx,
    )
    named = replace(unnamed, gateway_order_id=session.gateway_order_id)
    one = {"id": "relay/1", "amount": "100", "trx": trx, "key": payment_news_key(unnamed)}
    assert (await town.deliver(one)).status == 200
    await town.payments.process_inbox()
    assert (await town.row("relay/1")).state is InboxState.UNMATCHED
    assert (await town.deliver(town.told(session, "sns-1", key=payment_news_key(named)))).status == 200
    await town.payments.process_inbox()
    assert (await town.row("sns-1")).state is InboxState.DONE
    assert await town.booked() == {("payment.received", trx): 1}
