"""A gateway's ear: the senders of a merchant, made when the first webhook comes, and the transport to ask them by."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from vextrus_payments.clock import Clock
from vextrus_payments.errors import PaymentsError
from vextrus_payments.events import Confirm, Delivery, Events, Ignored
from vextrus_payments.gateways.bkash.config import BkashConfig
from vextrus_payments.gateways.bkash.manners import NAME
from vextrus_payments.transport import Transport
from vextrus_payments.verifier_port import WebhookVerifier

if TYPE_CHECKING:
    from vextrus_payments.gateways.bkash.senders import Senders


class Hearing:
    """See senders.py, whose methods these are; what they raise says whose gateway it was.

    Args:
        transport: gives the gateway's own transport. Where the configuration has a TLS policy of its own, and the
            transport was not passed in from outside, senders are asked over another one: that policy is made for
            bKash's hosts.
    """

    def __init__(
        self,
        config: BkashConfig,
        *,
        tenant: str,
        clock: Clock,
        transport: Callable[[], Transport],
        is_passed_in: bool,
        verifier: WebhookVerifier | None,
    ) -> None:
        self._config = config
        self._tenant = tenant
        self._clock = clock
        self._transport = transport
        self._is_passed_in = is_passed_in
        self._verifier = verifier
        self._senders: Senders | None = None
        self._own_transport: Transport | None = None

    async def read(self, delivery: Delivery) -> Events | Confirm | Ignored:
        """See PaymentGateway.handle_webhook."""
        try:
            return await self._here().read(delivery)
        except PaymentsError as error:
            error.about(gateway=NAME, tenant=self._tenant)
            raise

    async def confirm(self, confirm: Confirm) -> None:
        """See PaymentGateway.confirm_webhook."""
        try:
            await self._here().confirm(confirm)
        except PaymentsError as error:
            error.about(gateway=NAME, tenant=self._tenant)
            raise

    def check(self, delivery: Delivery) -> None:
        """See PaymentGateway.validate_webhook_signature."""
        try:
            self._here().check(delivery)
        except PaymentsError as error:
            error.about(gateway=NAME, tenant=self._tenant)
            raise

    async def aclose(self) -> None:
        """End what is on its way, and close what was opened here."""
        if self._senders is not None:
            await self._senders.aclose()
        if self._own_transport is not None:
            transport, self._own_transport = self._own_transport, None
            await transport.aclose()

    def _here(self) -> "Senders":
        senders = self._senders
        if senders is None:
            # Loaded here: who takes no webhooks does not pay for verifiers.
            from vextrus_payments.gateways.bkash.senders import Senders

            senders = self._senders = Senders(
                self._config,
                tenant=self._tenant,
                clock=self._clock,
                transport=self._to_senders,
                verifier=self._verifier,
            )
        return senders

    def _to_senders(self) -> Transport:
        if self._is_passed_in or self._config.ssl_context is None:
            return self._transport()
        if self._own_transport is None:
            from vextrus_payments.transport import shared_transport

            self._own_transport = shared_transport(clock=self._clock, proxy=self._config.proxy)
        return self._own_transport
