"""The reconciler's own limits."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileLimits:
    """The reconciler's own limits, in seconds where they are times."""

    at_once: int = 32
    """How many payments are looked at side by side, over all tenants and gateways."""
    at_once_per_gateway: int | None = None
    """Per tenant and gateway; None: what the gateway's capabilities say."""
    held: int = 128
    """How many leased watches are in hand at most, those that wait their turn included."""
    batch: int = 64
    """How many are leased at once, and how many new ones in a `poll_s` at the most while lanes are full."""
    lease_s: int = 300
    """Well beyond the longest look."""
    needs_s: int = 180
    """A look is begun only with so much of its lease left."""
    poll_s: float = 1.0
    """How often the store is asked for what is due."""
    sweep_s: int = 300
    """How often what is open and has no watch is looked for."""
    seen_s: int = 60
    """How often a worker says that it is there."""
    give_back_s: int = 3
    """For how long a busy lane's surplus goes back. Short: what was given back is due after the others anyway."""
    drain_s: float = 10.0
    """How long a stop waits for looks under way. They only read: nothing is lost by leaving them."""

    def __post_init__(self) -> None:
        if min(self.at_once, self.batch, self.lease_s) < 1 or self.held < self.batch:
            raise ValueError("limits are at least 1, and as many are held as are leased at once")
        if self.needs_s > self.lease_s:
            raise ValueError("a look needs no more time than its lease has")
