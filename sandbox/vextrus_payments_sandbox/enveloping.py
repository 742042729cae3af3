"""The messages of SNS as a subscription's endpoint gets them: its question, its news, its farewell, and the forgeries.

What a fault changes in an envelope stands here; when it is sent, and how often, in ``delivery.py``.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from vextrus_payments_sandbox import sns
from vextrus_payments_sandbox.subscriptions import Notice, Subscription
from vextrus_payments_sandbox.world import World, iso, to_paisa, to_text

FORGERY: Final = "forgery"
"""In place of a fault's name: the message that a stranger sends before the true one."""
_HEX: Final = "0123456789abcdef"
_TOKEN_LENGTH: Final = 256


class Envelopes:
    """Makes them for one sandbox, dated by its clock, numbered by its randomness."""

    def __init__(self, world: World) -> None:
        self._world = world

    def new_id(self) -> str:
        """A message's, or the last part of a subscription's ARN."""
        return str(UUID(int=self._world.random.getrandbits(128), version=4))

    def new_token(self) -> str:
        """What an address to visit proves itself with."""
        return self._world.text(_HEX, _TOKEN_LENGTH)

    def confirmation(self, subscription: Subscription) -> Mapping[str, str]:
        """Whether the endpoint wants to be told."""
        return subscription.topic.confirmation(
            message_id=self.new_id(),
            at=iso(self._world.now()),
            token=subscription.token,
            subscribe_url=_subscribe_url(subscription),
        )

    def farewell(self, subscription: Subscription) -> Mapping[str, str]:
        """It is told no more; an address in there would take the subscription up again."""
        return subscription.topic.farewell(
            message_id=self.new_id(),
            at=iso(self._world.now()),
            token=subscription.token,
            subscribe_url=_subscribe_url(subscription),
            subscription_arn=subscription.arn,
        )

    def notification(
        self, subscription: Subscription, notice: Notice, fault: str | None, skew_s: float = 0.0
    ) -> Mapping[str, str]:
        """The news, as the fault of this name spoils it."""
        topic, message = subscription.topic, dict(notice.message)
        if fault == "webhook_foreign_topic":
            topic = sns.Topic(sns.FOREIGN_TOPIC, topic.cert_url, topic.key, topic.version)
        if fault == "webhook_foreign_cert_host":
            foreign = f"https://{sns.FOREIGN_CERT_HOST}{topic.key.path}"
            topic = sns.Topic(topic.arn, foreign, topic.key, topic.version)
        if fault == "webhook_other_amount":
            message["amount"] = to_text((to_paisa(message["amount"]) or 0) + 100)
        if fault == FORGERY:
            topic = sns.Topic(topic.arn, topic.cert_url, sns.strangers_key(), topic.version)
            message["amount"] = to_text(2 * (to_paisa(message["amount"]) or 0))
        envelope = topic.notification(
            json.dumps(message, ensure_ascii=False, separators=(",", ":")),
            message_id=self.new_id(),
            at=iso(self._world.now() + timedelta(seconds=skew_s)),
            unsubscribe_url=sns.action_url(
                subscription.base_url, "Unsubscribe", SubscriptionArn=subscription.arn
            ),
        )
        return sns.with_bad_signature(envelope) if fault == "webhook_bad_signature" else envelope


def _subscribe_url(subscription: Subscription) -> str:
    return sns.action_url(
        subscription.base_url,
        "ConfirmSubscription",
        TopicArn=subscription.topic.arn,
        Token=subscription.token,
    )
