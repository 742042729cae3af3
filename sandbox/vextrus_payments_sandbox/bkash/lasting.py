"""What of bKash is written down, and how it comes back: the indexes are made anew from the payments."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from vextrus_payments_sandbox.bkash.gateway import BkashSandbox
from vextrus_payments_sandbox.bkash.records import GATEWAY, Agreement, Payment, Payout
from vextrus_payments_sandbox.bkash.tokens import Grant, Merchant
from vextrus_payments_sandbox.books import Movement
from vextrus_payments_sandbox.state import manners
from vextrus_payments_sandbox.state.codec import Codec
from vextrus_payments_sandbox.state.sources import (
    Found,
    Lines,
    Source,
    Things,
    Whole,
    line_list,
    only,
)


class BkashLasting:
    """The bKash of one sandbox."""

    def __init__(self, gateway: BkashSandbox) -> None:
        self._gateway = gateway
        holdings, grants, api = gateway.rules.holdings, gateway.grants, gateway.api
        self.sources: Sequence[Source] = (
            Things(f"{GATEWAY}.agreement", holdings, "agreements"),
            Things(f"{GATEWAY}.payment", holdings, "payments"),
            Things(f"{GATEWAY}.walk_in", holdings, "walk_ins"),
            Things(f"{GATEWAY}.payout", gateway.rules.payouts, "payouts"),
            Lines(f"{GATEWAY}.grant", lambda: grants.grants),
            *manners.sources_of(api.manners),
            Whole(f"{GATEWAY}.unheard", lambda: sorted(api.manners.unheard)),
            Whole(f"{GATEWAY}.asked_status", lambda: sorted(api.manners.asked_status)),
            Whole(f"{GATEWAY}.blocks", self._blocks),
            Whole(f"{GATEWAY}.merchants", lambda: list(gateway.merchants)[1:]),
        )

    def named(self) -> Mapping[type, Any]:
        """How other things name a merchant."""
        merchants = self._gateway.merchants
        return {Merchant: (lambda one: one.name, merchants.get)}

    def restore(self, found: Found, codec: Codec, movements: Sequence[Movement]) -> None:
        """Take up what was written."""
        for name in only(found, f"{GATEWAY}.merchants", codec, list[str], []):
            if name not in self._gateway.merchants:
                self._gateway.admit(name)
        holdings, grants = self._gateway.rules.holdings, self._gateway.grants
        for attribute, wanted in (("agreements", Agreement), ("payments", Payment), ("walk_ins", Payment)):
            things = found.get(f"{GATEWAY}.{attribute[:-1]}", {})
            setattr(holdings, attribute, {key: codec.thing(wanted, data) for key, data in things.items()})
        payouts = self._gateway.rules.payouts
        made = found.get(f"{GATEWAY}.payout", {})
        payouts.payouts = {key: codec.thing(Payout, data) for key, data in made.items()}
        grants.grants.extend(line_list(found, f"{GATEWAY}.grant", codec, Grant))
        for app_key, username, until in only(found, f"{GATEWAY}.blocks", codec, list[list[str]], []):
            grants.blocked_until[app_key, username] = datetime.fromisoformat(until)
        watching = self._gateway.api.manners
        manners.restore(watching, found, codec)
        watching.unheard.update(only(found, f"{GATEWAY}.unheard", codec, list[str], []))
        watching.asked_status.update(only(found, f"{GATEWAY}.asked_status", codec, list[str], []))
        holdings.reindex()
        payouts.reindex()

    def _blocks(self) -> list[list[str]]:
        return [[*key, until.isoformat()] for key, until in self._gateway.grants.blocked_until.items()]
