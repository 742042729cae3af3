"""What of the recurring platform is written down, and how it comes back."""

from collections.abc import Mapping, Sequence
from typing import Any

from vextrus_payments_sandbox.bkash_recurring.gateway import BkashRecurringSandbox
from vextrus_payments_sandbox.bkash_recurring.posting import Message
from vextrus_payments_sandbox.bkash_recurring.records import GATEWAY, Collection, Merchant, Subscription
from vextrus_payments_sandbox.books import Movement
from vextrus_payments_sandbox.state import manners
from vextrus_payments_sandbox.state.codec import Codec
from vextrus_payments_sandbox.state.sources import Found, Source, Things, Whole, only


class RecurringLasting:
    """The recurring platform of one sandbox."""

    def __init__(self, gateway: BkashRecurringSandbox) -> None:
        self._gateway = gateway
        rules = gateway.rules
        self.sources: Sequence[Source] = (
            Things(f"{GATEWAY}.subscription", rules, "subscriptions"),
            Things(f"{GATEWAY}.collection", rules, "collections"),
            Things(f"{GATEWAY}.message", gateway.post, "waiting"),
            *manners.sources_of(gateway.api.manners),
            Whole(f"{GATEWAY}.refund_ids", lambda: dict(rules.refund_ids)),
            Whole(f"{GATEWAY}.endpoint", lambda: gateway.post.url),
            Whole(f"{GATEWAY}.merchants", lambda: list(gateway.merchants)[1:]),
        )

    def named(self) -> Mapping[type, Any]:
        """How other things name a merchant."""
        return {Merchant: (lambda one: one.name, self._gateway.merchants.get)}

    def restore(self, found: Found, codec: Codec, movements: Sequence[Movement]) -> None:
        """Take up what was written."""
        gateway = self._gateway
        for name in only(found, f"{GATEWAY}.merchants", codec, list[str], []):
            if name not in gateway.merchants:
                gateway.admit(name)

        def things(shelf: str, wanted: type[Any]) -> dict[str, Any]:
            return {
                key: codec.thing(wanted, data) for key, data in found.get(f"{GATEWAY}.{shelf}", {}).items()
            }

        gateway.rules.subscriptions = things("subscription", Subscription)
        gateway.rules.collections = things("collection", Collection)
        gateway.post.waiting = things("message", Message)
        gateway.rules.refund_ids = only(found, f"{GATEWAY}.refund_ids", codec, dict[str, str], {})
        gateway.post.url = only(found, f"{GATEWAY}.endpoint", codec, str, "")
        manners.restore(gateway.api.manners, found, codec)
        gateway.rules.reindex()
