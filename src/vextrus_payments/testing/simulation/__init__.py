"""The crash simulator."""

from vextrus_payments.testing.simulation.faults import Faults as Faults
from vextrus_payments.testing.simulation.faults import Weather as Weather
from vextrus_payments.testing.simulation.faults import WireFault as WireFault
from vextrus_payments.testing.simulation.process import ProcessDiedError as ProcessDiedError
from vextrus_payments.testing.simulation.process import ServicePorts as ServicePorts
from vextrus_payments.testing.simulation.process import plain_service as plain_service
from vextrus_payments.testing.simulation.simulation import Run as Run
from vextrus_payments.testing.simulation.simulation import Setting as Setting
from vextrus_payments.testing.simulation.simulation import Simulation as Simulation
from vextrus_payments.testing.simulation.town import Story as Story
from vextrus_payments.testing.simulation.town import Town as Town
from vextrus_payments.testing.simulation.world import (
    HttpAnswer as HttpAnswer,
)
from vextrus_payments.testing.simulation.world import (
    HttpAsk as HttpAsk,
)
from vextrus_payments.testing.simulation.world import (
    Movement as Movement,
)
from vextrus_payments.testing.simulation.world import (
    WireFact as WireFact,
)
from vextrus_payments.testing.simulation.world import (
    World as World,
)
from vextrus_payments.testing.simulation.world import (
    WorldMaker as WorldMaker,
)
from vextrus_payments.testing.simulation.world import (
    WorldPorts as WorldPorts,
)
