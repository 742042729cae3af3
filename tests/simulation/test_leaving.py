"""Money that leaves, and money that is collected by itself: everything that can happen to it does within a handful of
seeds, and bugs are seen by the checker that should see them."""

from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.settings import CASES
from vextrus_payments.testing.simulation.judge import judge, play
from vextrus_payments.testing.simulation.planted import PLANTED
from vextrus_payments.testing.simulation.shop import PAYING_OUT
from vextrus_payments.testing.simulation.simulation import Run, Simulation
from vextrus_payments.testing.simulation.world import PaysOut


def played(case: str, seeds: int, folder: Path) -> list[Run]:
    """These runs, each of them clean."""
    setting, weather = CASES[case]
    runs = []
    for seed in range(seeds):
        place = folder / f"{case}-{seed}"
        place.mkdir()
        run = Simulation(setting, seed, weather=weather, folder=place).play()
        verdict = judge(run)
        assert verdict.clean, (case, seed, verdict.wrong, verdict.disagreement)
        runs.append(run)
    return runs


def test_whoever_pays_out_meets_every_end(tmp_path: Path) -> None:
    told: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for case in ("paying-lossy", "paying-by-id-lossy", "paying-parted-lossy"):
        for run in played(case, 8, tmp_path):
            told.update(type(one.answer).__name__ for one in run.told if one.verb in PAYING_OUT)
            told.update(type(one.error).__name__ for one in run.told if one.verb in PAYING_OUT)
            told.update(one.verb for one in run.told if one.verb in PAYING_OUT)
            told.update(taken.entry.kind.value for taken in run.entries)
            for world in run.worlds:
                assert isinstance(world, PaysOut)
                lines.update(line.kind for line in world.paid_out())
    ends = ("Sent", "Transferred", "Declined", "Unknown", "Pending", "Payout", "OperationConflictError")
    booked = ("payout.sent", "transfer.made", "payment.fee", "payment.received")
    verbs = ("payout", "transfer", "payout_status", "withdraw_payout", "resolve_payout")
    assert not [one for one in (*ends, *booked, *verbs) if not told[one]], told
    assert all(lines[one] for one in ("payout", "to_disbursement", "to_collection")), lines


def test_whoever_pays_out_loses_what_was_recorded(tmp_path: Path) -> None:
    """The backup is older than some of the payouts: they are refused, found on the statement, and entered by hand."""
    seen: Counter[str] = Counter()
    for run in (*played("paying-restored-books", 6, tmp_path), *played("paying-restored-lossy", 4, tmp_path)):
        restores = run.restores
        assert restores.restored_at_s is not None and restores.compared_at_s is not None
        seen["unrecorded"] += len(restores.unrecorded)
        seen["entered by hand"] += len(run.by_hand)
        seen["refused"] += sum(
            type(told.error).__name__ == "ReconciliationRequiredError" for told in run.told
        )
        seen["left later"] += sum(
            type(told.answer).__name__ in ("Sent", "Transferred") and told.asked_at_s > restores.compared_at_s
            for told in run.told
        )
    words = ("unrecorded", "entered by hand", "refused", "left later")
    assert all(seen[word] for word in words), seen


def test_subscribers_meet_every_end(tmp_path: Path) -> None:
    heard: Counter[str] = Counter()
    for case, seeds in (("club-lossy", 7), ("club-tenants-lossy", 7), ("club-unheard-lossy", 11)):
        for run in played(case, seeds, tmp_path):
            heard.update({taken.entry.id: taken.entry.kind.value for taken in run.events}.values())
            heard.update(f"at {knock.gateway}" for knock in run.knocks if knock.status == 200)
    kinds = ("agreement.active", "agreement.ended", "agreement.closed", "agreement.collection_failed")
    twice = "agreement.duplicate"
    money = ("payment.paid", "payment.quarantined", "refund.succeeded", "receipt.unmatched")
    assert not [one for one in (*kinds, twice, *money, "at bkash", "at bkash_recurring") if not heard[one]], (
        heard
    )


@pytest.mark.parametrize(
    ("name", "case", "rules"),
    [
        ("payout_freed_on_unknown", "paying-lossy", {"double_payout", "sent_again", "said_unsent"}),
        ("timeout_not_sent", "paying-lossy", {"double_payout", "sent_again", "said_unsent"}),
        ("tenant_missing", "paying-by-id", {"mixed", "said_paid", "lost", "phantom"}),
        ("amount_unchecked", "club-unheard-lossy", {"unchecked_amount"}),
        ("payouts_not_compared", "paying-restored-books", {"double_payout"}),
        ("list_unread", "club-unheard-lossy", {"lost"}),
        ("pages_unasked", "club-unheard-lossy", {"consent_unfound"}),
    ],
)
def test_a_planted_bug_is_found_by_its_rule(name: str, case: str, rules: set[str]) -> None:
    setting, weather = CASES[case]
    with PLANTED[name].plant():
        verdicts = (play(setting, seed, weather=weather) for seed in range(60))
        seen = ({rule for rule, _ in verdict.wrong} & rules for verdict in verdicts)
        assert any(seen), "it stayed hidden"
