"""Both checkers on one run, and what a run that failed says."""

import shutil
import traceback
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vextrus_payments.testing.simulation.audit_books import BooksAudit
from vextrus_payments.testing.simulation.audit_consents import audit_consents
from vextrus_payments.testing.simulation.audit_inbox import audit_inbox
from vextrus_payments.testing.simulation.audit_payouts import audit_payouts
from vextrus_payments.testing.simulation.audit_wire import replay
from vextrus_payments.testing.simulation.faults import Weather
from vextrus_payments.testing.simulation.process import Deaths
from vextrus_payments.testing.simulation.replay_consents import replay_consents
from vextrus_payments.testing.simulation.replay_doors import replay_doors
from vextrus_payments.testing.simulation.replay_payouts import replay_payouts
from vextrus_payments.testing.simulation.simulation import Run, Setting, Simulation

#: What both checkers look for, each in its own sources: here they have to agree.
SHARED: Final = frozenset(
    {
        "called_failed",
        "consent_denied",
        "consent_lost",
        "consent_phantom",
        "contradiction",
        "double_consent",
        "double_charge",
        "double_payout",
        "doubled",
        "lost",
        "mixed",
        "out_of_order",
        "over_refunded",
        "phantom",
        "said_paid",
        "unannounced",
        "wrong_amount",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the two checkers found in one run.

    Attributes:
        wrong: (rule, subject) of everything that is wrong, by either of them.
        disagreement: what only one of them found though both look for it.
    """

    seed: int
    kill_at: tuple[int, ...]
    wrong: frozenset[tuple[str, str]]
    disagreement: frozenset[tuple[str, str]]
    points: int
    kills: int
    fingerprint: str
    struck: int
    settled: bool
    journal: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Nothing is wrong, and the checkers agree."""
        return not self.wrong and not self.disagreement


def judge(run: Run) -> Verdict:
    """Ask both checkers."""
    books = BooksAudit(run).findings() | audit_consents(run) | audit_inbox(run) | audit_payouts(run)
    wire = replay(run) | replay_consents(run) | replay_doors(run) | replay_payouts(run)
    extra = set()
    if run.dead_writes:
        extra.add(("dead_effect", f"{run.dead_writes} writes"))
    extra |= {("complaint", text) for text in run.complaints}
    return Verdict(
        seed=run.seed,
        kill_at=run.kill_at,
        wrong=frozenset(books | wire | extra),
        disagreement=frozenset(one for one in books ^ wire if one[0] in SHARED),
        points=run.points,
        kills=run.kills,
        fingerprint=run.fingerprint,
        struck=run.struck,
        settled=run.settled,
        journal=run.journal,
    )


def play(
    setting: Setting,
    seed: int,
    *,
    kill_at: Collection[int] = (),
    weather: Weather | None = None,
    deaths: Deaths | None = None,
    folder: Path | None = None,
    profile: list[frozenset[tuple[str, int]]] | None = None,
) -> Verdict:
    """Play one run and judge it. A service that hangs or turns in circles is a finding, too."""
    simulation = Simulation(setting, seed, kill_at=kill_at, weather=weather, deaths=deaths, folder=folder)
    simulation.profile = profile
    try:
        return judge(simulation.play())
    except Exception as error:  # noqa: BLE001 - a run that breaks is a finding, with its seed
        return Verdict(
            seed=seed,
            kill_at=tuple(sorted(kill_at)),
            wrong=frozenset({(type(error).__name__, str(error))}),
            disagreement=frozenset(),
            points=simulation.points,
            kills=0,
            fingerprint="",
            struck=0,
            settled=False,
            journal=(*simulation.journal, *traceback.format_exc().splitlines()),
        )
    finally:
        if folder is None and simulation.has_store:
            shutil.rmtree(simulation.store.parent, ignore_errors=True)
