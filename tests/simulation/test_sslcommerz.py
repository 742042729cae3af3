"""SSLCommerz's world bites: bugs of an SDK are seen in its books, on its wire and at its door; and all that can happen
there does."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.settings import CASES
from vextrus_payments.gateways.sslcommerz import gateway as adapter
from vextrus_payments.gateways.sslcommerz import pictures, protocol
from vextrus_payments.testing.simulation.judge import judge, play
from vextrus_payments.testing.simulation.planted import PLANTED
from vextrus_payments.testing.simulation.simulation import Simulation
from vextrus_payments_sandbox.sslcommerz.simulated import SimulatedSslcommerz


def hunted(case: str, seeds: int = 60) -> set[str]:
    """The rules that are broken by the first seed that shows anything."""
    setting, weather = CASES[case]
    verdicts = (play(setting, seed, weather=weather) for seed in range(seeds))
    found = next((verdict for verdict in verdicts if not verdict.clean), None)
    assert found is not None, "it stayed hidden"
    return {rule for rule, _ in found.wrong}


@pytest.mark.parametrize(
    ("name", "case", "rule"),
    [
        ("amount_unchecked", "sslcommerz-lossy", "unchecked_amount"),
        ("expiry_is_decline", "sslcommerz-lossy", "lost"),
        ("freed_on_unknown", "sslcommerz-lossy", "over_asked"),
        ("second_entry_first", "sslcommerz-books", "out_of_order"),
        ("dedupe_at_seen", "doors-sslcommerz", "ack_lost"),
    ],
)
def test_a_planted_bug_is_found(name: str, case: str, rule: str) -> None:
    with PLANTED[name].plant():
        assert rule in hunted(case)


def test_a_door_that_takes_any_signature_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(fields: dict[str, str], **_: Any) -> dict[str, str]:
        return {name: fields[name] for name in fields["verify_key"].split(",")}

    monkeypatch.setattr(adapter, "verify", taken)
    assert hunted("doors-sslcommerz") & {"forgery_taken", "forgery_kept"}


def test_a_payment_that_is_only_looked_at_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes the first paid attempt for all that came loses the second one."""
    whole = pictures.picture_of

    def first(*given: Any) -> Any:
        return replace(whole(*given), also_paid=())

    monkeypatch.setattr(protocol, "picture_of", first)
    assert "lost" in hunted("sslcommerz-lossy")


def test_the_payers_do_all_that_the_world_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way in which a payment can go is gone by a handful of seeds, and the shop hears of it."""
    told: Counter[str] = Counter()
    tell = SimulatedSslcommerz._tell

    def counted(self: Any, store: Any, fields: dict[str, str], *, is_stray: bool) -> None:
        told[fields["status"]] += 1
        told["risky"] += fields.get("risk_level") == "1"
        tell(self, store, fields, is_stray=is_stray)

    monkeypatch.setattr(SimulatedSslcommerz, "_tell", counted)
    setting, weather = CASES["sslcommerz-lossy"]
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run = Simulation(setting, seed, weather=weather, folder=folder).play()
        assert judge(run).clean
        told["twice"] += sum(one.entry.kind.value == "payment.duplicate" for one in run.events)
        told["on hold"] += sum(one.entry.kind.value == "payment.on_hold" for one in run.events)
    ways = ("VALID", "FAILED", "CANCELLED", "EXPIRED", "UNATTEMPTED", "risky", "twice", "on hold")
    assert all(told[way] for way in ways), told


def test_a_seed_plays_the_same() -> None:
    setting, weather = CASES["sslcommerz-two-foul"]
    first, again = (play(setting, 3, weather=weather) for _ in range(2))
    assert first.fingerprint == again.fingerprint and first.clean
