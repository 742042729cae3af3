"""`CrashSimulator`: what a test of your own calls, by the fixture `crash_simulator` or directly."""

from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from typing import Final

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.testing.simulation.faults import Weather
from vextrus_payments.testing.simulation.judge import Verdict, play
from vextrus_payments.testing.simulation.process import Service, plain_service
from vextrus_payments.testing.simulation.simulation import DEFAULT_TENANT, Setting
from vextrus_payments.testing.simulation.sweep import Tally, Task, play_task
from vextrus_payments.testing.simulation.town import Story
from vextrus_payments.testing.simulation.world import WorldMaker

GROUP: Final = "vextrus_payments.simulated_gateways"


class SimulationFailedError(AssertionError):
    """A promise about money was broken in a run; the text says in which, how to play it again, and what happened."""


def installed_worlds(names: Iterable[str] | None = None) -> tuple[WorldMaker, ...]:
    """The worlds that are installed (the extra `sandbox` brings bKash's), by gateway name; None: all of them.

    Raises:
        ConfigurationError: one that is named is not installed.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    wanted = sorted(found) if names is None else list(names)
    missing = [name for name in wanted if name not in found]
    if missing or not wanted:
        raise ConfigurationError(
            f"No simulated gateway named {', '.join(missing) or 'anything'} is installed.",
            next_step="Install vextrus-payments[sandbox], or pass worlds of your own.",
        )
    return tuple(found[name].load() for name in wanted)


class CrashSimulator:
    """Plays a story against your service, over and over: with faults, and with a kill at any await.

    Args:
        seed: play this seed only (what `--crash-seed` gives).
        kill_at: kill at these points only (what `--crash-kill` gives).

    Attributes:
        tally: what was played so far.
    """

    def __init__(self, *, seed: int | None = None, kill_at: Sequence[int] | None = None) -> None:
        self._seed = seed
        self._kill_at = kill_at
        self.tally: Tally = Tally()

    def check(
        self,
        story: Story,
        *,
        service: Service = plain_service,
        worlds: Sequence[WorldMaker] | None = None,
        tenants: tuple[str, ...] = (DEFAULT_TENANT,),
        processes: int = 1,
        doors: bool = False,
        epoch: bool = False,
        seeds: Iterable[int] = range(20),
        kills: int | None = 10,
        weather: Weather | None = None,
    ) -> Tally:
        """Play the story with each seed: once with faults only, then with kills, and judge the books each time.

        Args:
            story: what happens; an async function of the `Town`.
            service: builds your `Payments` from the ports it is given.
            worlds: the gateways; None: those that are installed.
            tenants: whose payments there are.
            processes: how many processes of the service share the store.
            doors: whether the gateways send webhooks, and strangers forge some, to the service's own doors.
            epoch: whether the store's epoch is marked outside of it, so that a restored backup is noticed.
            kills: runs with a kill for each seed; None: one for every point, which may be thousands.
            weather: how bad things are; None: each seed's own.

        Raises:
            SimulationFailedError: a promise was broken.
        """
        setting = Setting(
            worlds=installed_worlds() if worlds is None else worlds,
            story=story,
            service=service,
            tenants=tenants,
            processes=processes,
            doors=doors,
            epoch=epoch,
        )
        for seed in seeds if self._seed is None else (self._seed,):
            if self._kill_at is not None:
                verdict = play(setting, seed, kill_at=self._kill_at, weather=weather)
                self.tally.took("", verdict)
            else:
                task = Task(name="", setting=setting, seed=seed, kills=kills, weather=weather)
                self.tally.add(play_task(task, self.tally.awaits))
            for _, failed in self.tally.failures:
                raise SimulationFailedError(_told(failed))
        return self.tally


def _told(verdict: Verdict) -> str:
    kills = ",".join(map(str, verdict.kill_at))
    again = f"--crash-seed {verdict.seed}" + (f" --crash-kill {kills}" if kills else "")
    wrong = [f"  {rule}: {subject}" for rule, subject in sorted(verdict.wrong | verdict.disagreement)]
    lines = [
        f"seed {verdict.seed}" + (f", killed at {kills}" if kills else "") + ", broke a promise about money:",
        *wrong,
        f"play it again: pytest {again} (the same test)",
        "what happened:",
        *(f"  {line[:300]}" for line in verdict.journal),
    ]
    return "\n".join(lines)
