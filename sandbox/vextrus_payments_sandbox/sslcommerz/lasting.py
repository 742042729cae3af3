"""What of SSLCommerz is written down, and how it comes back: the indexes are made anew from the sessions."""

from collections.abc import Mapping, Sequence
from typing import Any

from vextrus_payments_sandbox.books import Movement
from vextrus_payments_sandbox.sslcommerz.gateway import SslcommerzSandbox
from vextrus_payments_sandbox.sslcommerz.ipn import Ipn
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Invoice, Merchant, Refund, Session
from vextrus_payments_sandbox.state import manners
from vextrus_payments_sandbox.state.codec import Codec
from vextrus_payments_sandbox.state.sources import Found, Source, Things, Whole, only


class SslcommerzLasting:
    """The SSLCommerz of one sandbox."""

    def __init__(self, gateway: SslcommerzSandbox) -> None:
        self._gateway = gateway
        self.sources: Sequence[Source] = (
            Things(f"{GATEWAY}.session", gateway.rules, "sessions"),
            Things(f"{GATEWAY}.refund", gateway.refunds, "refunds"),
            Things(f"{GATEWAY}.invoice", gateway.invoices, "invoices"),
            Things(f"{GATEWAY}.ipn", gateway.ipn, "waiting"),
            Whole(f"{GATEWAY}.panel", lambda: gateway.ipn.url),
            *manners.sources_of(gateway.api.manners),
            Whole(f"{GATEWAY}.merchants", lambda: [one.name for one in gateway.merchants.values()][1:]),
        )

    def named(self) -> Mapping[type, Any]:
        """How other things name a store."""
        return {Merchant: (lambda one: one.store_id, self._gateway.merchants.get)}

    def restore(self, found: Found, codec: Codec, movements: Sequence[Movement]) -> None:
        """Take up what was written."""
        gateway = self._gateway
        known = {one.name for one in gateway.merchants.values()}
        for name in only(found, f"{GATEWAY}.merchants", codec, list[str], []):
            if name not in known:
                gateway.admit(name)

        def things(shelf: str, wanted: type[Any]) -> dict[str, Any]:
            return {
                key: codec.thing(wanted, data) for key, data in found.get(f"{GATEWAY}.{shelf}", {}).items()
            }

        gateway.rules.sessions = things("session", Session)
        gateway.refunds.refunds = things("refund", Refund)
        gateway.invoices.invoices = things("invoice", Invoice)
        gateway.ipn.waiting = things("ipn", Ipn)
        gateway.ipn.url = only(found, f"{GATEWAY}.panel", codec, str, gateway.ipn.url)
        manners.restore(gateway.api.manners, found, codec)
        gateway.rules.reindex()
        gateway.refunds.reindex()
