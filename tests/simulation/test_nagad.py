"""Nagad's world bites: bugs of an SDK are seen in its books and on its wire, and a seed plays the same every time."""

import pytest

from tests.simulation.settings import CASES
from vextrus_payments.testing.simulation.judge import play
from vextrus_payments.testing.simulation.planted import PLANTED


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("amount_unchecked", "unchecked_amount"),
        ("expiry_is_decline", "lost"),
        ("freed_on_unknown", "over_promised"),
    ],
)
def test_a_planted_bug_is_found(name: str, rule: str) -> None:
    setting, weather = CASES["nagad-lossy"]
    with PLANTED[name].plant():
        verdicts = (play(setting, seed, weather=weather) for seed in range(40))
        found = next((verdict for verdict in verdicts if not verdict.clean), None)
    assert found is not None, f"{name} stayed hidden"
    assert rule in {one for one, _ in found.wrong}


def test_random_padding_changes_nothing() -> None:
    setting, weather = CASES["nagad-two-foul"]
    first, again = (play(setting, 3, weather=weather) for _ in range(2))
    assert first.fingerprint == again.fingerprint and first.clean
