"""Lists by state: what is found is what is there, whatever happened since the last look, and hardly any is asked."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep
from vextrus_payments_sandbox import create_app, listing
from vextrus_payments_sandbox.bkash.records import Refusal, Rules
from vextrus_payments_sandbox.listing import BookRow, Register
from vextrus_payments_sandbox.world import World

WALLETS = ("01770618575", "01823074817", "01823074818", "01929918378")
STATES = (
    "Initiated",
    "Completed",
    "Authorized",
    "Cancelled",
    "Failed",
    "Declined",
    "Expired",
    "Success",
    "Aborted",
)
ACTS = (
    "create",
    "hold",
    "page",
    "cancel",
    "execute",
    "capture",
    "void",
    "refund",
    "time",
    "look",
    "walk_in",
    "ahead",
)
FIELDS = {
    "mode": "0011",
    "payerReference": "p",
    "callbackURL": "https://shop.example/back",
    "currency": "BDT",
}


class Town:
    """A sandbox without HTTP, and all that may happen in it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        rules = Rules(duplicate_window_s=0)
        self.app: Starlette = create_app(clock=self.clock, seed=1, sleeper=NoSleep(), bkash=rules)
        self.world: World = self.app.state.world
        self.bkash: Any = self.world.gateways["bkash"]
        self.ids: list[str] = []

    def act(self, what: str, which: int, how: int) -> None:
        """One step; one that the gateway refuses changes what a refusal changes."""
        rules, merchant = self.bkash.rules, self.bkash.merchant
        reference = self.ids[which % len(self.ids)] if self.ids else ""
        try:
            if what in ("create", "hold"):
                intent = "authorization" if what == "hold" else "sale"
                own = {
                    "amount": str(10 + how),
                    "intent": intent,
                    "merchantInvoiceNumber": f"INV-{len(self.ids)}",
                }
                self.ids.append(rules.create(merchant, FIELDS | own).payment_id)
            elif what == "time":
                self.clock.step(seconds=how * 1_000)
            elif what == "look":
                state = STATES[which % len(STATES)]
                assert self.listed(state) == self.by_hand(state)
            elif what == "ahead":
                self.world.catch_up(how)
            elif what == "walk_in":
                self.bkash.walk_in(str(10 + how), "qr", WALLETS[0], "")
            elif reference and what == "page" and self.bkash.page_url(reference, "http://here"):
                self.bkash.approve(reference, "success", WALLETS[how % len(WALLETS)])
            elif reference and what == "cancel" and self.bkash.page_url(reference, "http://here"):
                self.bkash.approve(reference, "cancel", None)
            elif reference and what == "refund":
                payment = rules.payments[reference]
                asked = {"amount": "1", "sku": "s", "reason": "r"}
                rules.refund(merchant, reference, payment.trx_id or "", asked)
            elif reference and what in ("execute", "capture", "void"):
                getattr(rules, what)(merchant, reference)
        except Refusal:
            pass

    def by_hand(self, state: str) -> list[str]:
        """Which payments are in a state: each one asked."""
        rows = [self.world.gateways[name].row(reference) for name, reference in self.world.register.names]
        return [row.reference for row in reversed(rows) if row and row.state.lower() == state.lower()]

    def listed(self, state: str) -> list[str]:
        return [one.row.reference for one in self.world.payments(1_000, state=state).rows]


@pytest.fixture
def few_are_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "HOT", 1)


@given(
    st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 30), st.integers(0, 200)), max_size=40),
    st.permutations(STATES),
)
def test_a_list_by_state_has_just_those_in_it(acts: list[tuple[str, int, int]], states: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "HOT", 1)
        town = Town()
        for act in acts:
            town.act(*act)
        shown = {
            state: town.listed(state) for state in states
        }  # a look at one may learn what the next one shows
        assert shown == {state: town.by_hand(state) for state in STATES}
        assert sum(map(len, shown.values())) == len(town.world.register.names)


@pytest.mark.usefixtures("few_are_hot")
@pytest.mark.usefixtures("few_are_hot")
def test_what_is_remembered_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town()
    for number in range(300):
        town.act("create", number, number)
        town.act("page" if number % 3 else "cancel", number, 0)
    town.world.catch_up(300)
    asked: list[str] = []
    row = town.bkash.row
    monkeypatch.setattr(town.bkash, "row", lambda reference: asked.append(reference) or row(reference))
    assert town.listed("Expired") == [] and len(asked) <= 1  # the newest, whom nobody asked ahead
    asked.clear()
    assert len(town.listed("Cancelled")) == 100 == len(asked)
    asked.clear()
    town.clock.step(hours=25)  # those that waited have all expired by now
    assert len(town.listed("Expired")) == 200 <= len(asked) <= 201
    asked.clear()
    assert town.listed("Initiated") == [] and asked == []


def test_a_look_at_a_list_finds_what_nobody_asked_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town()
    for number in range(130):
        town.act("create", number, 0)
    assert len(town.listed("Initiated")) == 130
    town.world.reset()
    town.ids.clear()
    town.act("create", 0, 0)
    town.act("cancel", 0, 0)
    assert len(town.listed("Cancelled")) == 1 and town.listed("Initiated") == []


def test_a_payment_of_before_a_reset_disturbs_nobody() -> None:
    town = Town()
    for _ in range(3):
        town.act("create", 0, 0)
    assert len(town.listed("Initiated")) == 3
    old = list(town.bkash.rules.payments.values())
    town.world.reset()
    for one in old:
        one.state = one.state  # it still tells somebody, whose list is gone
    assert town.listed("Initiated") == []


def test_a_gateway_whose_payments_tell_nothing_is_asked_each_time() -> None:
    clock = FakeClock()
    register = Register()
    for number in range(3):
        register.add("dumb", f"d{number}", "")
        row = BookRow("dumb", f"d{number}", None, "", "Paid", 1, 1, 0, clock.now())
        register.told(number + 1, row)
    found = register.newest(None, "", "", "paid", now=clock.now())
    assert [reference for _, _, reference in found] == ["d2", "d1", "d0"]
    assert [number for number, _, _ in register.newest(None, "", "", "lost", now=clock.now())] == [3, 2, 1]
    assert register.unasked(clock.now(), 10) == []


def test_words_states_and_gateways_narrow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_BLOCK", 4)
    register, chance, now = Register(), Random(5), FakeClock().now()
    kept = []
    for number in range(1, 60):
        name, invoice = chance.choice(("bkash", "nagad")), f"INV-{chance.randrange(8)}"
        state = chance.choice(("Paid", "Lost"))
        register.add(name, f"r{number}", invoice)
        thing = Town.__new__(Town)  # anything that can be watched
        thing.watched_by = lambda places, place: None  # type: ignore[attr-defined]
        register.told(number, BookRow(name, f"r{number}", None, invoice, state, 1, 0, 0, now, None, thing))  # type: ignore[arg-type]
        kept.append((number, name, invoice, state))
    register.learn("bkash", "r1", "TRX-LATE")
    register.learn("nagad", "r1", "TRX-LATE")
    assert len(list(register.newest(None, text="trx-late", now=now))) == 1
    for gateway in ("", "bkash", "nagad", "nobody"):
        for text in ("", "inv-3", "r1", "none"):
            for state in ("", "paid", "lost", "gone"):
                for before in (None, 1, 2, 5, 33, 60, 99):
                    wanted = [
                        number
                        for number, name, invoice, known in reversed(kept)
                        if gateway in ("", name)
                        and text in f"r{number}\n{invoice}".lower()
                        and state in ("", known.lower())
                        and (before is None or number < before)
                    ]
                    found = register.newest(before, gateway, text, state, now=now)
                    assert [number for number, _, _ in found] == wanted, (gateway, text, state, before)


def test_moments_of_payments_that_have_ended_are_forgotten() -> None:
    town = Town()
    for number in range(700):
        town.act("create", number, 0)
        for _ in range(4):  # each look puts the moment of its end there again
            town.listed("initiated") if number % 100 == 0 else town.world.payments(1)
    assert len(town.world.register._until) <= 2_100
    town.clock.moment += timedelta(hours=25)
    assert len(town.listed("expired")) == 700
    assert town.world.register._until == []
