"""What a person is shown of an outcome: whatever a gateway or a payer wrote, it stays in its line."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest

from vextrus_payments.cli.output import console
from vextrus_payments.cli.views import View, outcome_view
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Paid

PAID = Paid(
    payment_id="pay_1",
    transaction_id="CLH30AB1CD",
    amount=Money("15"),
    payer_account="01770618575",
    paid_at=datetime(2026, 1, 15, tzinfo=UTC),
)


def shown(view: View) -> str:
    out = StringIO()
    view.show(console(out))
    return out.getvalue()


@pytest.mark.parametrize("hostile", ["\x1b[2J\x1b[31m", "\r", "\x9b31m", "\u202e", "\u2028", "\x00"])
def test_no_value_steers_the_terminal(hostile: str) -> None:
    text = f"before{hostile}after"
    views = [
        outcome_view(replace(PAID, transaction_id=text)),
        View(title=text, style="good", facts=[("Label", text)], text=text),
    ]
    for view in views:
        assert hostile not in shown(view)
        assert "before" in shown(view) and "after" in shown(view)


def test_a_value_adds_no_line() -> None:
    lines = len(shown(outcome_view(PAID)).splitlines())
    assert len(shown(outcome_view(replace(PAID, transaction_id="a\nb\nc"))).splitlines()) == lines


def test_bangla_keeps_its_joiners() -> None:
    sentence = "র‍্যাব ও শব্দ‌ভাগ"
    assert sentence in shown(View(title="Declined", style="bad", facts=[("In Bangla", sentence)]))
