"""What `doctor` and `explain` say of what a real sandbox does not show: wrong clocks, firewalls, used-up budgets, late
money, payments under review."""

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.unit.test_reconcile_steps import EPOCH, at, facts, operation, receipt
from vextrus_payments.cli.doctor_gateways import gateway_findings, reach_findings, token_findings
from vextrus_payments.cli.explaining import Told, ago
from vextrus_payments.cli.findings import Level, found
from vextrus_payments.cli.in_short import in_short
from vextrus_payments.cli.params import Moment
from vextrus_payments.errors import AnswerTimeoutError, ConfigurationError, StorageError
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.records import Flag, OperationKind, OperationState, PaymentState, ReceiptKind
from vextrus_payments.testing import FakeClock
from vextrus_payments.token_port import TokenHealth
from vextrus_payments.wire import WireResponse


class Door:
    """A gateway of which only the door, the clock and the tokens are known."""

    name = "toy"
    mode = Mode.LIVE
    address = "https://toy.example/v1"

    def __init__(self, answer: WireResponse | Exception, tokens: TokenHealth | None = None) -> None:
        self._answer = answer
        self._tokens = tokens

    async def knock(self) -> WireResponse:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def token_health(self) -> TokenHealth | None:
        return self._tokens


def answer(status: int = 403, *, off_s: float = 0, **headers: str) -> WireResponse:
    date = format_datetime(EPOCH + timedelta(seconds=off_s), usegmt=True)
    return WireResponse(status, {"date": date, **{k.replace("_", "-"): v for k, v in headers.items()}}, b"")


async def levels(door: Door) -> dict[str, Level]:
    found_there = await reach_findings(door, FakeClock(EPOCH))  # type: ignore[arg-type]
    return {finding.check: finding.level for finding in found_there}


@pytest.mark.parametrize(
    ("off_s", "level"),
    [
        (0, Level.OK),
        (-4, Level.OK),
        (12, Level.WARN),
        (-20, Level.WARN),
        (400, Level.FAIL),
        (-90, Level.FAIL),
    ],
)
async def test_clocks_are_compared(off_s: float, level: Level) -> None:
    assert (await levels(Door(answer(off_s=off_s))))["toy.clock"] is level


async def test_an_answer_without_a_date_compares_nothing() -> None:
    for value in ("", "the day before yesterday"):
        door = Door(WireResponse(403, {"date": value}, b""))
        assert (await levels(door))["toy.clock"] is Level.SKIPPED


async def test_a_firewalls_page_is_no_open_door() -> None:
    assert (await levels(Door(answer(403, content_type="text/html"))))["toy.reach"] is Level.WARN
    assert (await levels(Door(answer(403, content_type="application/json"))))["toy.reach"] is Level.OK
    silent = await levels(Door(AnswerTimeoutError("No answer came in 30 s.")))
    assert silent == {"toy.reach": Level.FAIL}


@pytest.mark.parametrize(
    ("used", "has", "level", "says"),
    [
        (1, True, Level.OK, "1 of 2 grants an hour are used"),
        (None, False, Level.OK, "one is being granted"),
        (2, True, Level.WARN, "all 2 grants an hour are used for 900 s more. The last one failed with 2001"),
        (2, False, Level.FAIL, "There is no token yet"),
    ],
)
async def test_budgets(used: int | None, has: bool, level: Level, says: str) -> None:
    health = TokenHealth(
        ends_at=at(3000) if has else None,
        used=used,
        limit=2,
        window_s=3600,
        retry_after_s=900 if used == 2 else None,
        failure="2001" if used == 2 else None,
    )
    (finding,) = await token_findings(Door(answer(), health))  # type: ignore[arg-type]
    assert finding.level is level and says in finding.what
    (none,) = await token_findings(Door(answer()))  # type: ignore[arg-type]
    assert none.level is Level.SKIPPED


async def test_wrong_settings_are_the_only_finding() -> None:
    async def source(name: str) -> Any:
        raise ConfigurationError(
            "BKASH_MODE is live, and the host is a sandbox's.", next_step="Set one of them."
        )

    (finding,) = await gateway_findings("bkash", source, FakeClock())
    assert (finding.level, finding.do) == (Level.FAIL, "Set one of them.")


async def test_a_check_that_fails_is_a_finding_and_shows_no_foreign_text() -> None:
    async def down() -> Any:
        raise StorageError("The database is down.", next_step="Start it.")

    async def worse() -> Any:
        raise RuntimeError("password=hunter2")

    (finding,) = await found("store", down)
    assert (finding.level, finding.what, finding.do) == (Level.FAIL, "The database is down.", "Start it.")
    (finding,) = await found("store", worse)
    assert finding.level is Level.FAIL and "hunter2" not in finding.what + finding.do


# --- a payment in three sentences -----------------------------------------------------------------------------------

NOTHING = Told(events=(), attempts=(), rows=(), next_look=None)


def test_late_money_asks_for_a_decision() -> None:
    late = facts(
        operation(state=OperationState.SUCCEEDED),
        state=PaymentState.PAID,
        flags=frozenset({Flag.LATE}),
        receipts=(receipt(flags=frozenset({Flag.LATE})),),
    )
    short = in_short(late, NOTHING, EPOCH)
    assert "is paid late: after it had been closed" in short.what
    assert "apply it to an order, or refund it" in short.todo[0]


def test_refunds_are_told_with_what_is_left_and_what_nobody_knows() -> None:
    refunded = facts(
        operation(state=OperationState.SUCCEEDED),
        operation(OperationKind.REFUND, OperationState.UNKNOWN, amount=Money("30")),
        state=PaymentState.PAID,
        receipts=(
            receipt(),
            receipt(kind=ReceiptKind.REFUND, transaction_id="R1", amount=Money("20"), operation_id="back/1"),
        ),
    )
    short = in_short(refunded, NOTHING, EPOCH)
    assert short.money.startswith("Money moved: 100.00 BDT came in, 20.00 BDT went back. 50.00 BDT can still")
    assert "Of a refund nobody can tell yet whether it went back" in short.money
    assert any("vextrus-pay resolve pay_1 --operation refund/1" in sentence for sentence in short.todo)


def test_a_payment_under_review_says_who_has_to_look() -> None:
    review = facts(state=PaymentState.PAID, flags=frozenset({Flag.QUARANTINED}), receipts=(receipt(),))
    short = in_short(review, NOTHING, EPOCH)
    assert "is under review" in short.what
    assert any("--cleared" in sentence for sentence in short.todo)
    assert "can still be refunded" not in short.money


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (PaymentState.CLOSED, "is closed"),
        (PaymentState.LAPSED, "has lapsed"),
        (PaymentState.AUTHORIZED, "is authorized: the money is held and not taken"),
        (PaymentState.AWAITING_PAYER, "waits for its payer: nothing is under way"),
    ],
)
def test_every_state_has_words(state: PaymentState, says: str) -> None:
    assert says in in_short(facts(state=state), NOTHING, EPOCH).what
    out = facts(operation(state=OperationState.SUBMITTING))
    assert "is under way at the gateway" in in_short(out, NOTHING, EPOCH).what


def test_when_a_worker_looks_next_is_told_as_a_time_or_as_a_fault() -> None:
    waiting = facts()
    ahead = in_short(waiting, replace(NOTHING, next_look=at(600)), EPOCH)
    assert any("in 10 minutes" in sentence for sentence in ahead.todo)
    now = in_short(waiting, replace(NOTHING, next_look=at(-5)), EPOCH)
    assert any("within moments" in sentence for sentence in now.todo)
    late = in_short(waiting, replace(NOTHING, next_look=at(-7200)), EPOCH)
    assert any("for 2 hours: no worker is running" in sentence for sentence in late.todo)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (3599, "59 minutes")]
    + [(3600, "1 hour"), (7300, "2 hours"), (86_400, "1 day"), (200_000, "2 days")],
)
def test_how_long_ago(seconds: int, words: str) -> None:
    assert ago(EPOCH, at(seconds)) == ago(at(seconds), EPOCH) == words


def test_moments_of_the_command_line() -> None:
    when = Moment()
    convert = lambda text: when.convert(text, None, None)  # noqa: E731
    assert convert("2026-01-31").isoformat() == "2026-01-31T00:00:00+00:00"
    assert convert("2026-01-31T18:00+06:00").isoformat() == "2026-01-31T12:00:00+00:00"
    assert abs((convert("2w") - convert("14d")).total_seconds()) < 5
    assert convert(convert("1h")).tzinfo is not None
