"""Who may send webhooks to a bKash merchant: verifiers by configuration, one kind of sender each, and what each says.

==================  ==========================  ==================================================================
configured by       known by                    what it is
==================  ==========================  ==================================================================
sns_topic_arn       (everything else)           bKash's payment notifications through Amazon SNS (dossier §8)
webhook_secret      webhook-signature           news relayed under Standard Webhooks: `whsec_`, `whsk_`, `whpk_`
webhook_secret      x-webhook-signature         news relayed under hex HMAC-SHA256: any other secret
recurring_api_key   x-signature, signature      bKash's recurring payments (dossier §7)
==================  ==========================  ==================================================================

A header only tells which verifier is asked; each believes nothing but its own keys, and no key serves two schemes. A
scheme that is not configured is not there: its header is any header.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vextrus_payments.clock import Clock
from vextrus_payments.errors import SignatureError
from vextrus_payments.events import Confirm, Delivery, Events, GatewayEvent, Ignored
from vextrus_payments.gateways.bkash.config import BkashConfig
from vextrus_payments.gateways.bkash.manners import NAME
from vextrus_payments.gateways.bkash.recurring.news import recurring_event
from vextrus_payments.gateways.bkash.webhook import notification_event
from vextrus_payments.gateways.relayed import relayed_event
from vextrus_payments.transport import Transport
from vextrus_payments.verifier_port import Verified, VerifiedKind, WebhookVerifier
from vextrus_payments.verifiers.recurring import RecurringVerifier
from vextrus_payments.verifiers.relay import RelayVerifier
from vextrus_payments.verifiers.standard import StandardVerifier

if TYPE_CHECKING:
    from vextrus_payments.verifiers.sns import SnsVerifier

_Marked = tuple[
    StandardVerifier | RelayVerifier | RecurringVerifier, Callable[[Verified], GatewayEvent | Ignored]
]
"""A verifier that a header marks, and who reads what it has proven."""

_SNS_HEADER: Final = "x-amz-sns-message-type"


class Senders:
    """The verifiers of one merchant.

    Args:
        transport: gives what fetches certificates and confirms subscriptions.
        verifier: asked in place of Amazon SNS's for everything that no other scheme's header marks; its messages are
            read as bKash's notifications.
    """

    def __init__(
        self,
        config: BkashConfig,
        *,
        tenant: str,
        clock: Clock,
        transport: Callable[[], Transport],
        verifier: WebhookVerifier | None = None,
    ) -> None:
        self._tenant = tenant
        marked: list[tuple[str, _Marked]] = []
        keys, secrets = config.relay_keys()
        if keys:
            standard = StandardVerifier(keys, clock=clock)
            marked.append((standard.header, (standard, relayed_event)))
        if secrets:
            relay = RelayVerifier(secrets, clock=clock)
            marked.append((relay.header, (relay, relayed_event)))
        if recurring_keys := config.recurring_keys():
            recurring = RecurringVerifier(recurring_keys, clock=clock)
            marked += [(header, (recurring, recurring_event)) for header in recurring.headers]
        # In the order in which they are looked for; Amazon's own header is before all of them.
        self._marked = marked
        self._own: SnsVerifier | None = None
        if verifier is None and config.sns_topic_arn:
            verifier = self._own = _sns(config, clock, transport)
        self._unmarked = verifier

    async def read(self, delivery: Delivery) -> Events | Confirm | Ignored:
        """Verify a delivery and read it: see PaymentGateway.handle_webhook."""
        marked = self._marked_by(delivery)
        if marked is not None:
            verifier, read = marked
            return _news(read(verifier.check(delivery)))
        if self._unmarked is None:
            raise self._no_verifier()
        verified = await self._unmarked.verify(delivery)
        match verified.kind:
            case VerifiedKind.MESSAGE:
                return Events((notification_event(verified),), kept_body=verified.kept)
            case VerifiedKind.CONFIRMATION if verified.confirm is not None:
                return verified.confirm
            case VerifiedKind.CONFIRMATION:
                return Ignored("the sender asks whether it may send here, and names no address to answer at")
            case VerifiedKind.FAREWELL:
                # Nothing is fetched: the address in it would subscribe again.
                return Ignored("the subscription has ended: the sender will send no more; ask bKash why")

    def check(self, delivery: Delivery) -> None:
        """Verify a delivery as far as that needs nothing to be fetched.

        Raises:
            WebhookError: it is not proven; or its sender can only be proven by `read`.
        """
        marked = self._marked_by(delivery)
        if marked is not None:
            marked[0].check(delivery)
            return
        if self._unmarked is None:
            raise self._no_verifier()
        raise SignatureError(
            "This sender is proven by a certificate, which may have to be fetched: nothing was checked.",
            code="fetch_needed",
            next_step="Await handle_webhook, which verifies every kind of sender.",
            gateway=NAME,
            tenant=self._tenant,
        )

    async def confirm(self, confirm: Confirm) -> None:
        """Answer a sender that asked: see WebhookVerifier.confirm."""
        if self._unmarked is None:
            raise self._no_verifier()
        await self._unmarked.confirm(confirm)

    async def aclose(self) -> None:
        """End what is on its way."""
        if self._own is not None:
            await self._own.aclose()

    def _marked_by(self, delivery: Delivery) -> _Marked | None:
        if not self._marked:
            return None
        headers = delivery.headers
        if _SNS_HEADER in headers:
            return None
        for header, marked in self._marked:
            if header in headers:
                return marked
        # From a door names come in lower case; from other hands they may come in any.
        lower = {name.lower() for name in headers}
        if _SNS_HEADER in lower:
            return None
        return next((marked for header, marked in self._marked if header in lower), None)

    def _no_verifier(self) -> SignatureError:
        return SignatureError(
            "No verifier for bKash's notifications is configured, so the delivery was refused unread.",
            code="no_verifier",
            next_step="Set BKASH_SNS_TOPIC_ARN to the topic that bKash has told you, or BKASH_WEBHOOK_SECRET.",
            gateway=NAME,
            tenant=self._tenant,
        )


def _news(read: GatewayEvent | Ignored) -> Events | Ignored:
    return Events((read,)) if isinstance(read, GatewayEvent) else read


def _sns(config: BkashConfig, clock: Clock, transport: Callable[[], Transport]) -> "SnsVerifier":
    # Loaded here: who takes no notifications, or relayed ones only, does not pay for certificates.
    from vextrus_payments.verifiers.sns import SnsVerifier

    return SnsVerifier(
        config.sns_topics(),
        transport=transport,
        clock=clock,
        v2_only=config.sns_v2_only,
        anchors=config.sns_anchors(),
        own_hosts=config.sns_own_hosts(),
    )
