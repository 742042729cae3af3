"""What SSLCommerz's documents would object to in the calls of this sandbox, seen from its wire (``objections.py``)."""

from collections.abc import Mapping

from vextrus_payments_sandbox.manners import MISSES_MAX, Manners, Parting
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Session
from vextrus_payments_sandbox.world import World


class SslcommerzManners(Manners):
    """The merchants' manners, call by call. Whatever it is told, it refuses nothing."""

    __slots__ = ("_objected",)

    def __init__(self, world: World) -> None:
        super().__init__(GATEWAY, world.clock.unskewed)
        self._objected: set[str] = set()

    def clear(self) -> None:
        """Forget all of it."""
        super().clear()
        self._objected.clear()

    def objected(self, code: str, session: Session, words: Mapping[str, object]) -> None:
        """Miss it the first time with these words: a program does it with every session."""
        known = f"{code} {sorted(words.items())}"
        if known not in self._objected and len(self._objected) < MISSES_MAX:
            self._objected.add(known)
            self.miss(code, session.key, **words)

    def looked_at(self, session: Session) -> None:
        """A look-up has shown the payment as it is."""
        if session.paid:
            self.done("unvalidated", session.key)

    def parted(self, operation: str, session: Session | None, parting: Parting) -> None:
        """A call is over for its caller: one who looked and got no answer knows as little as before."""
        if session is None or not parting.is_open:
            return
        if operation in ("validate", "query", "invoice_status") and session.paid:
            self.owe("unvalidated", session.key)
        if operation == "refund_status":
            self.owe("refund_unchecked", session.key)
