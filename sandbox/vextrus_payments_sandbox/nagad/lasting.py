"""What of Nagad is written down, and how it comes back: the indexes are made anew from the payments. Its keys lie in
their own folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from vextrus_payments_sandbox.books import Movement
from vextrus_payments_sandbox.nagad.gateway import NagadSandbox
from vextrus_payments_sandbox.nagad.records import GATEWAY, Merchant, Payment
from vextrus_payments_sandbox.state import manners
from vextrus_payments_sandbox.state.codec import Codec
from vextrus_payments_sandbox.state.sources import Found, Source, Things, Whole, only


class NagadLasting:
    """The Nagad of one sandbox."""

    def __init__(self, gateway: NagadSandbox) -> None:
        self._gateway = gateway
        self.sources: Sequence[Source] = (
            Things(f"{GATEWAY}.payment", gateway.rules, "payments"),
            *manners.sources_of(gateway.api.manners),
            Whole(f"{GATEWAY}.merchants", lambda: gateway.names[1:]),
        )

    def named(self) -> Mapping[type, Any]:
        """How other things name a merchant; nothing but a payment needs its keys."""
        return {Merchant: (lambda one: one.merchant_id, lambda name: self._gateway.merchants.get(name))}

    def restore(self, found: Found, codec: Codec, movements: Sequence[Movement]) -> None:
        """Take up what was written."""
        for name in only(found, f"{GATEWAY}.merchants", codec, list[str], []):
            if name not in self._gateway.names:
                self._gateway.admit(name)
        things = found.get(f"{GATEWAY}.payment", {})
        rules = self._gateway.rules
        rules.payments = {key: codec.thing(Payment, data) for key, data in things.items()}
        manners.restore(self._gateway.api.manners, found, codec)
        rules.reindex()
