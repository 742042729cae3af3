"""The crash simulator: your service with the real `Payments` in it, killed at any await, and the books judged twice.

Theory of operation. Everything that varies is a port of the SDK, so the real code runs here on virtual time: engine,
reconciler, outbox, adapters, httpx's engine with our stream, tenacity, structlog and SQLite. What stands behind the
ports is simulated and drawn from one seed:

* `loop.py`: a scheduler with one event loop per process; a killed process is a loop that is never run again;
* `network.py`, `faults.py`: connections below httpcore, and what happens to requests on their way;
* `disk.py`, `ports.py`: SQLite on a file in memory, with faults at begin and commit; clocks, sleepers, chance;
* `world.py`: what a gateway's world has to be. It lives on its own time line and finishes what has arrived, whether
  or not the caller still lives;
* `process.py`, `simulation.py`: processes that start, die and start again; a story; then peace, until all has come to
  rest;
* `audit_books.py`, `audit_wire.py`: two checkers that share no code. They read the gateway's books, the wire, the
  ledger and the store's tables, never the SDK's memory;
* `planted.py`: bugs on purpose, to prove that the checkers bite; `sweep.py`: many runs over several processes.
"""

from vextrus_payments.testing.simulation.check import CrashSimulator, SimulationFailedError, installed_worlds
from vextrus_payments.testing.simulation.faults import Faults, Weather, WireFault
from vextrus_payments.testing.simulation.process import ProcessDiedError, ServicePorts, plain_service
from vextrus_payments.testing.simulation.simulation import Run, Setting, Simulation
from vextrus_payments.testing.simulation.story import hard_story, shop_story
from vextrus_payments.testing.simulation.town import Story, Town
from vextrus_payments.testing.simulation.world import (
    CollectsByItself,
    Consent,
    Disbursement,
    HttpAnswer,
    HttpAsk,
    Movement,
    Notice,
    PaysOut,
    SignsWhenSent,
    WireFact,
    World,
    WorldMaker,
    WorldPorts,
)

__all__ = [
    "CollectsByItself",
    "Consent",
    "CrashSimulator",
    "Disbursement",
    "Faults",
    "HttpAnswer",
    "HttpAsk",
    "Movement",
    "Notice",
    "PaysOut",
    "ProcessDiedError",
    "Run",
    "ServicePorts",
    "Setting",
    "SignsWhenSent",
    "Simulation",
    "SimulationFailedError",
    "Story",
    "Town",
    "Weather",
    "WireFact",
    "WireFault",
    "World",
    "WorldMaker",
    "WorldPorts",
    "hard_story",
    "installed_worlds",
    "plain_service",
    "shop_story",
]
