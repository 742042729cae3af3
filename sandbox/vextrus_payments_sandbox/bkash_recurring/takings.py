"""The platform's money: what moves between payers and merchants, and under which trxID."""

from datetime import datetime
from typing import Final

from vextrus_payments.gateways.bkash.models import trx_date_prefix
from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments_sandbox.bkash_recurring.records import GATEWAY, Collection, Merchant
from vextrus_payments_sandbox.world import InsufficientFundsError, World, merchant_account

_TRX: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Takings:
    """What moves."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.by_trx: dict[str, Collection] = {}
        """By the trxID of the payment, or of a refund of it."""

    def move(self, kind: str, source: str, target: str, amount_minor: int, key: str, trx_id: str) -> bool:
        """Move it, if it is there."""
        try:
            self._world.books.move(
                self._world.now(),
                gateway=GATEWAY,
                kind=kind,
                source=source,
                target=target,
                amount_minor=amount_minor,
                reference=key,
                transaction_id=trx_id,
            )
        except InsufficientFundsError:
            return False
        return True

    def new_trx_id(self, at: datetime) -> str:
        """Ten characters, the first three of which are the day in Bangladesh (§12.3)."""
        prefix = trx_date_prefix(at.astimezone(m.DHAKA).date())
        trx_id = prefix + self._world.text(_TRX, 7)
        while trx_id in self.by_trx:
            trx_id = prefix + self._world.text(_TRX, 7)
        return trx_id


def till(merchant: Merchant) -> str:
    """The account in which a merchant collects."""
    return merchant_account(GATEWAY, merchant.till)
