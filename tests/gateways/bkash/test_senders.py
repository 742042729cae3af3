"""Who may send webhooks to a bKash merchant: chosen by settings, read into news, and never mixed up."""

import base64
import dataclasses
import json
import ssl
from datetime import timedelta
from typing import Any

import pytest

from tests.verifiers.amazon import (
    ARN,
    CERT_URL,
    NOW,
    SUBSCRIBE_URL,
    TOKEN,
    Amazon,
    certificate,
    delivery,
    envelope,
    intermediate,
    key,
    leaf,
    pem,
)
from tests.verifiers.senders import (
    DATA,
    PRIVATE,
    RECURRING,
    RELAY,
    STANDARD,
    by_recurring,
    by_relay,
    by_standard,
    config,
    gateway,
    relayed,
)
from vextrus_payments.errors import (
    ConfigurationError,
    GatewayError,
    MalformedWebhookError,
    SignatureError,
    UnsupportedOperationError,
)
from vextrus_payments.events import Confirm, Delivery, Events, GatewayEvent, Ignored
from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import RefundState, SnapshotState
from vextrus_payments.testing import FakeClock, ScriptedTransport
from vextrus_payments.verifier_port import Verified, VerifiedKind
from vextrus_payments_sandbox import sns


async def told(sent: Delivery, **more: Any) -> GatewayEvent:
    found = await gateway(**more).handle_webhook(sent)
    assert isinstance(found, Events)
    (event,) = found.events
    return event


# --- what each of them says -------------------------------------------------------------------------------------------


async def test_a_notification_of_bkash() -> None:
    event = await told(delivery(envelope()))
    assert (event.event_id, event.news_key) == (
        "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "payment/DC110AAAA1/paid/125050BDT/INV-8812-1",
    )
    assert event.snapshot is not None and event.refund is None
    assert (event.snapshot.state, event.snapshot.gateway_order_id) == (SnapshotState.PAID, "INV-8812-1")
    assert event.occurred_at == NOW, "Bangladesh time without a zone"


@pytest.mark.parametrize(("by", "scheme"), [(by_relay, "relay"), (by_standard, "standard")])
async def test_relayed_news(by: Any, scheme: str) -> None:
    event = await told(by(relayed()))
    message_id = {"relay": "evt_1", "standard": "msg_1"}[scheme]
    assert event.event_id == f"{scheme}/{message_id}", "two senders' ids never meet"
    assert event.news_key == "payment/DC110AAAA1/paid/125050BDT/INV-8812-1", (
        "the same news as by bKash itself"
    )
    assert event.snapshot is not None
    assert (event.snapshot.state, event.snapshot.amount) == (SnapshotState.PAID, Money("1250.50"))
    assert event.snapshot.gateway_order_id == "INV-8812-1"
    assert event.snapshot.gateway_reference == "TR0011abc"
    assert event.occurred_at == NOW


async def test_a_relayed_failure() -> None:
    event = await told(by_relay(relayed("payment.failed", amount=None, transaction_id=None)))
    assert event.snapshot is not None
    assert (event.snapshot.state, event.news_key) == (SnapshotState.DECLINED, None)
    with pytest.raises(MalformedWebhookError, match="names neither"):
        await told(by_relay(relayed("payment.failed", gateway_order_id=None, gateway_reference="")))


async def test_a_relayed_refund() -> None:
    event = await told(by_relay(relayed("refund.success", refund_transaction_id="DC2", amount="50")))
    assert event.snapshot is None and event.refund is not None
    assert (event.refund.state, event.refund.amount) == (RefundState.COMPLETED, Money("50"))
    assert (event.refund.transaction_id, event.refund.original_transaction_id) == ("DC2", "DC110AAAA1")
    assert event.news_key == "refund/DC2/completed/5000BDT"
    with pytest.raises(MalformedWebhookError, match="refund_transaction_id"):
        await told(by_relay(relayed("refund.success")))


async def test_a_relayed_message_of_another_kind_is_ignored() -> None:
    assert isinstance(await gateway().handle_webhook(by_relay(relayed("customer.created"))), Ignored)
    for kind in ("", None, 5.5, []):
        body = {**relayed(), "type": kind}
        found = gateway().handle_webhook(by_relay(body))
        if kind == 5.5:
            assert isinstance(await found, Ignored)
        else:
            with pytest.raises(MalformedWebhookError):
                await found


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "1,250.50"},
        {"amount": "1e3"},
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": "1.005"},
        {"amount": None},
        {"amount": ["1"]},
        {"currency": None},
        {"currency": "taka"},
        {"transaction_id": None},
        {"transaction_id": "a b"},
        {"transaction_id": "x" * 256},
        {"gateway_order_id": "a\nb"},
        {"gateway_reference": {"a": 1}},
    ],
)
async def test_a_relayed_datum_that_is_wrong(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        await told(by_relay(relayed(**changes)))
    assert caught.value.__context__ is None and caught.value.gateway == "bkash"
    assert caught.value.tenant == "shop"


async def test_a_relayed_amount_may_be_a_number_and_stays_exact() -> None:
    raw = json.dumps(relayed()).replace('"1250.50"', "1250.50").encode()
    event = await told(by_relay(raw))
    assert event.snapshot is not None and event.snapshot.amount == Money("1250.50")


async def test_a_transaction_id_that_no_gateway_has_makes_no_key() -> None:
    """A key is as long as the inbox takes; such news is known by its event id alone."""
    event = await told(by_relay(relayed(transaction_id="X" * 255)))
    assert event.news_key is None and event.snapshot is not None
    assert len((await told(by_relay(relayed(transaction_id="X" * 219)))).news_key or "") == 253


@pytest.mark.parametrize("data", [None, [], "x", 5])
async def test_relayed_data_that_is_no_object(data: Any) -> None:
    with pytest.raises(MalformedWebhookError, match="data is no object"):
        await told(by_relay({**relayed(), "data": data}))


RECURRED = {
    "timeStamp": "2026-03-01T12:00:00.1Z",
    "subscriptionRequestId": "573a44e6",
    "paymentId": 73,
    "paymentStatus": "SUCCEEDED_PAYMENT",
    "trxId": "DC110BBBB2",
    "amount": 51,
    "payer": "8801700000004",
    "trxDate": "2026-03-01T18:00:00",
}


@pytest.mark.parametrize("status", ["SUCCEEDED_PAYMENT", "RE_SUCCEEDED_PAYMENT"])
async def test_a_recurring_payment_names_nothing_of_ours(status: str) -> None:
    event = await told(by_recurring({**RECURRED, "paymentStatus": status}))
    assert event.snapshot is not None
    assert (event.snapshot.gateway_order_id, event.snapshot.gateway_reference) == (None, "")
    assert (event.snapshot.amount, event.snapshot.transaction_id) == (Money("51"), "DC110BBBB2")
    assert event.snapshot.payer_account == "01700000004" and "01700000004" not in repr(event)
    assert event.news_key == "payment/DC110BBBB2/paid/5100BDT/573a44e6%2F73"
    assert event.occurred_at == NOW and event.event_id.startswith("sha256/")


async def test_recurring_news_says_under_which_subscription() -> None:
    paid = await told(by_recurring(RECURRED))
    assert paid.collected is not None and paid.collected.gateway == "bkash_recurring"
    assert paid.collected.gateway_order_id == "573a44e6/73"
    failed = await told(by_recurring({**RECURRED, "paymentStatus": "FAILED_PAYMENT"}))
    assert failed.snapshot is not None and failed.snapshot.state is SnapshotState.DECLINED
    assert failed.news_key is None  # bKash tells of every try, and each is news
    ended = await told(by_recurring({**RECURRED, "paymentStatus": None, "subscriptionStatus": "CANCELLED"}))
    assert ended.snapshot is None and ended.news_key == "subscription/573a44e6/CANCELLED"
    assert ended.collected is not None and ended.collected.payment_reference is None


async def test_a_recurring_refund() -> None:
    refunded = {"paymentStatus": "SUCCEEDED_REFUND", "reverseTrxId": "DC3", "refundedAmount": "20.5"}
    event = await told(by_recurring({**RECURRED, **refunded, "reversTrxDate": "2026-03-01T18:00:00"}))
    assert event.refund is not None and event.snapshot is None
    assert (event.refund.transaction_id, event.refund.original_transaction_id) == ("DC3", "DC110BBBB2")
    assert (event.refund.amount, event.occurred_at) == (Money("20.50"), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"paymentStatus": "INITIALIZED"},
        {"paymentStatus": "PROCESSING_PAYMENT"},
        {"paymentStatus": "A_WORD_OF_TOMORROW", "trxId": None},
        {"paymentStatus": None, "subscriptionStatus": "INITIALIZED"},
        {"paymentStatus": "FAILED_PAYMENT", "subscriptionRequestId": None},
        {"paymentStatus": None, "subscriptionStatus": "SUCCEEDED", "subscriptionRequestId": "a b"},
    ],
)
async def test_what_moves_no_money_and_ends_nothing_of_ours_is_ignored(changes: dict[str, Any]) -> None:
    assert isinstance(await gateway().handle_webhook(by_recurring({**RECURRED, **changes})), Ignored)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "1,5"},
        {"amount": None},
        {"trxId": None},
        {"trxId": ["x"]},
        {"paymentStatus": "A_WORD_OF_TOMORROW"},
    ],
)
async def test_recurring_money_that_cannot_be_read_is_for_a_person(changes: dict[str, Any]) -> None:
    event = await told(by_recurring({**RECURRED, **changes}))
    assert event.snapshot is not None and event.snapshot.state is SnapshotState.REVIEW


def inner(**changes: Any) -> str:
    message = json.loads(envelope()["Message"])
    return json.dumps({k: v for k, v in {**message, **changes}.items() if v is not None})


@pytest.mark.parametrize(
    ("message", "state", "order_id", "trx_id"),
    [
        ("hello", SnapshotState.REVIEW, None, None),
        ("{}", SnapshotState.REVIEW, None, None),
        (inner(amount="1,5"), SnapshotState.REVIEW, "INV-8812-1", "DC110AAAA1"),
        (inner(amount=None, merchantInvoiceNumber=None), SnapshotState.REVIEW, None, "DC110AAAA1"),
        (inner(trxID="a b"), SnapshotState.UNRECOGNIZED, "INV-8812-1", None),
        (inner(trxID=None, merchantInvoiceNumber=None), SnapshotState.REVIEW, None, None),
    ],
)
async def test_a_notification_that_cannot_be_read_is_kept(
    message: str, state: SnapshotState, order_id: str | None, trx_id: str | None
) -> None:
    """bKash signed it, and sends only what has happened: refused it would be lost, for Amazon does not repeat a 4xx."""
    event = await told(delivery(envelope(Message=message)))
    assert event.snapshot is not None and event.news_key is None
    found = (event.snapshot.state, event.snapshot.gateway_order_id, event.snapshot.transaction_id)
    assert found == (state, order_id, trx_id)
    assert event.event_id == envelope()["MessageId"]


# --- subscriptions ----------------------------------------------------------------------------------------------------


async def test_a_subscription_is_confirmed_on_request_only() -> None:
    amazon = Amazon()
    bkash = gateway(amazon)
    found = await bkash.handle_webhook(delivery(envelope("SubscriptionConfirmation")))
    assert isinstance(found, Confirm) and amazon.confirmed == []
    await bkash.confirm_webhook(found)
    assert len(amazon.confirmed) == 1
    amazon.confirms_with = 500
    with pytest.raises(GatewayError) as caught:
        await bkash.confirm_webhook(found)
    assert (caught.value.gateway, caught.value.tenant) == ("bkash", "shop")
    with pytest.raises(SignatureError):
        await bkash.confirm_webhook(Confirm(SUBSCRIBE_URL.replace(TOKEN, "a/../b")))


async def test_an_end_is_ignored_and_nothing_is_fetched_for_it() -> None:
    amazon = Amazon()
    assert isinstance(
        await gateway(amazon).handle_webhook(delivery(envelope("UnsubscribeConfirmation"))), Ignored
    )
    assert amazon.asked == [CERT_URL]


async def test_the_sandboxs_own_envelopes() -> None:
    """Signed by code that knows nothing of ours, served from the address of the API."""
    base = "http://127.0.0.1:28600"
    own = sns.Topic(sns.BKASH_TOPIC, base + sns.signing_key().path, sns.signing_key(), "2")
    amazon = Amazon(served={own.cert_url: sns.signing_key().pem})
    settings = {"api_url": f"{base}/v1.2.0-beta", "sns_topic_arn": sns.BKASH_TOPIC}
    bkash = gateway(amazon, **settings)
    at = "2026-03-01T12:00:00.000Z"
    subscribe_url = sns.action_url(base, "ConfirmSubscription", TopicArn=own.arn, Token="ab12")
    asking = own.confirmation(message_id="m0", at=at, token="ab12", subscribe_url=subscribe_url)
    found = await bkash.handle_webhook(delivery(sns.to_wire(asking), sns.headers_of(asking, "arn:x")))
    assert isinstance(found, Confirm)
    await bkash.confirm_webhook(found)
    assert amazon.confirmed == [subscribe_url]
    for version in ("1", "2"):
        topic = dataclasses.replace(own, version=version)
        one = topic.notification(inner(), message_id=f"m{version}", at=at, unsubscribe_url=base)
        assert isinstance(await bkash.handle_webhook(delivery(sns.to_wire(one))), Events)
        with pytest.raises(SignatureError):
            await bkash.handle_webhook(delivery(sns.to_wire(sns.with_bad_signature(one))))
    one = own.notification(inner(), message_id="m", at=at, unsubscribe_url=base)
    with pytest.raises(SignatureError):
        await gateway(amazon, sns_topic_arn=sns.BKASH_TOPIC).handle_webhook(delivery(sns.to_wire(one)))


# --- which verifier is asked ------------------------------------------------------------------------------------------


async def test_nothing_configured_refuses_everything_unread() -> None:
    bare = {"sns_topic_arn": None, "webhook_secret": None, "recurring_api_key": None}
    amazon = Amazon()
    for sent in (delivery(envelope()), by_relay(relayed()), by_standard(relayed()), by_recurring(RECURRED)):
        with pytest.raises(SignatureError) as caught:
            await gateway(amazon, **bare).handle_webhook(sent)
        assert caught.value.code == "no_verifier" and "BKASH_SNS_TOPIC_ARN" in caught.value.next_step
    with pytest.raises(SignatureError):
        await gateway(amazon, **bare).confirm_webhook(Confirm(SUBSCRIBE_URL))
    assert amazon.asked == []


@pytest.mark.parametrize(
    ("gone", "sent"),
    [
        ("webhook_secret", by_relay(relayed())),
        ("webhook_secret", by_standard(relayed())),
        ("recurring_api_key", by_recurring(RECURRED)),
        ("sns_topic_arn", delivery(envelope())),
    ],
)
async def test_what_is_not_configured_is_not_there(gone: str, sent: Delivery) -> None:
    await told(sent)
    with pytest.raises((SignatureError, MalformedWebhookError)):
        await told(sent, **{gone: None})


async def test_foreign_headers_beside_a_notification_of_bkash() -> None:
    """A proxy of one's own may add `Signature`; what Amazon's header marks is asked of Amazon's verifier."""
    headers = {"x-amz-sns-message-type": "Notification", "signature": "x", "webhook-signature": "y"}
    await told(delivery(envelope(), headers))


async def test_a_verifier_may_be_passed_in() -> None:
    class Believer:
        async def verify(self, sent: Delivery) -> Verified:
            return Verified(kind=VerifiedKind.MESSAGE, message_id="m9", message=sent.body, scheme="believer")

        async def confirm(self, confirm: Confirm) -> None:
            raise AssertionError(confirm)

    bkash = BkashGateway(config(), transport=Amazon(), clock=FakeClock(NOW), verifier=Believer())
    found = await bkash.handle_webhook(delivery(inner().encode()))
    assert isinstance(found, Events) and found.events[0].event_id == "m9"
    assert isinstance(await bkash.handle_webhook(by_relay(relayed())), Events)


def test_the_hook_without_waiting_checks_what_needs_no_fetch() -> None:
    for sent in (by_relay(relayed()), by_standard(relayed()), by_recurring(RECURRED)):
        gateway().validate_webhook_signature(sent)
        with pytest.raises(SignatureError):
            gateway().validate_webhook_signature(dataclasses.replace(sent, body=sent.body + b" "))
    with pytest.raises(SignatureError) as caught:
        gateway().validate_webhook_signature(delivery(envelope()))
    assert caught.value.code == "fetch_needed"


async def test_the_default_of_other_gateways_confirms_nothing() -> None:
    from tests.unit.toy import ToyConfig, ToyGateway  # type: ignore[attr-defined,unused-ignore]

    toy = ToyGateway(ToyConfig(), transport=ScriptedTransport())
    with pytest.raises(UnsupportedOperationError):
        await toy.confirm_webhook(Confirm(SUBSCRIBE_URL))


async def test_a_tls_policy_for_bkash_is_none_for_amazon() -> None:
    """Made for a proxy's or a test's own authority, it would let that one vouch for Amazon's hosts."""
    policy = ssl.create_default_context()
    async with BkashGateway(config(ssl_context=policy), clock=FakeClock(NOW)) as bkash:
        hearing = bkash._hearing
        assert hearing._to_senders() is not bkash._open_transport()
        assert hearing._to_senders() is hearing._to_senders()
    async with BkashGateway(config(), clock=FakeClock(NOW)) as bkash:
        assert bkash._hearing._to_senders() is bkash._open_transport()


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"sns_topic_arn": "bpt_shop"},
        {"sns_topic_arn": ","},
        {"sns_topic_arn": ",".join([ARN] * 9)},
        {"sns_cert_hosts": "evil.example:80"},
        {"sns_cert_hosts": "127.0.0.9"},
        {"sns_anchors_pem": "ceci n'est pas"},
        {"webhook_secret": "brief!"},
        {"webhook_secret": f"{RELAY},brief!"},
        {"webhook_secret": "whsec_notbase64!"},
        {"webhook_secret": "whsec_" + base64.b64encode(b"too short").decode()},
        {"webhook_secret": "whpk_AAAA"},
        {"webhook_secret": " , "},
        {"recurring_api_key": "+/+/+/+/+/+/+/+/+/+/+/+/"},
        {"recurring_api_key": "brief!"},
        {"sns_v2_only": "perhaps"},
    ],
)
def test_settings_that_no_verifier_could_be_made_of(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config(**settings)
    (name, value), *_ = settings.items()
    assert name in str(caught.value)
    assert len(value) < 4 or value not in str(caught.value), "no message shows a value"
    assert "brief!" not in str(caught.value) and ".." not in str(caught.value)
    assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_settings_from_the_environment() -> None:
    environ = {
        "BKASH_APP_KEY": "k" * 20,
        "BKASH_APP_SECRET": "s" * 20,
        "BKASH_USERNAME": "u" * 20,
        "BKASH_PASSWORD": "p" * 20,
        "BKASH_SNS_TOPIC_ARN": f" {ARN} , arn:aws:sns:eu-west-1:1:t ",
        "BKASH_SNS_V2_ONLY": "true",
        "BKASH_SNS_ANCHORS_PEM": pem(intermediate(), leaf()).decode(),
        "BKASH_SNS_CERT_HOSTS": "127.0.0.1:9",
        "BKASH_WEBHOOK_SECRET": f"{RELAY},whsec_{base64.b64encode(STANDARD).decode()},{PRIVATE.public}",
        "BKASH_RECURRING_API_KEY": RECURRING,
    }
    found = BkashConfig.from_env(environ)
    assert [topic.region for topic in found.sns_topics()] == ["ap-southeast-1", "eu-west-1"]
    assert found.sns_v2_only and len(found.sns_anchors()) == 2
    assert found.sns_own_hosts() == ("127.0.0.1:9",)
    keys, secrets = found.relay_keys()
    assert [one.version for one in keys] == ["v1", "v1a"] and secrets == (RELAY.encode(),)
    assert found.recurring_keys() == (b"an API key of 24 bytes 1",)
    for secret in (RELAY, RECURRING, base64.b64encode(STANDARD).decode()):
        assert secret not in repr(found) and secret not in found.model_dump_json()


def test_the_local_sandbox_signs_for_itself() -> None:
    assert config(api_url="http://127.0.0.1:28600/v1.2.0-beta").sns_own_hosts() == ("127.0.0.1:28600",)
    assert config(api_url="http://[::1]:28600/v1.2.0-beta").sns_own_hosts() == ("[::1]:28600",)
    assert config(api_url="http://localhost/v1.2.0-beta").sns_own_hosts() == ("localhost:80",)
    assert config().sns_own_hosts() == (), "the gateway's own sandbox is not on this machine"


LIVE = {
    "mode": Mode.LIVE,
    "app_key": Secret("k" * 26),
    "app_secret": Secret("s" * 50),
    "username": Secret("01812345678"),
    "password": Secret("p" * 12),
}


def test_no_host_of_this_machine_signs_in_live_mode() -> None:
    assert config(**LIVE).sns_own_hosts() == ()
    with pytest.raises(ConfigurationError, match="live"):
        config(**LIVE, sns_cert_hosts="127.0.0.1:9")


@pytest.mark.parametrize(
    "settings",
    [
        {"recurring_api_key": Secret("3EbBE-L30-PEDU-KjkhxpEop8SYsanOa")},
        {"webhook_secret": Secret("changeme-changeme-changeme")},
        {"webhook_secret": Secret(f"{RELAY},sandbox-secret-of-the-relay")},
    ],
)
def test_published_keys_are_refused_in_live_mode(settings: dict[str, Secret]) -> None:
    config(**settings)
    with pytest.raises(ConfigurationError, match="sandbox or of a published sample"):
        config(**LIVE, **settings)


async def test_anchors_of_the_settings_are_asked() -> None:
    await told(delivery(envelope()), sns_anchors_pem=pem(intermediate()).decode())
    other = certificate(key(5).public_key(), issuer="B", subject="B", signer=key(5), names=None, ca=True)
    with pytest.raises(SignatureError, match="lead up"):
        await told(delivery(envelope()), sns_anchors_pem=pem(other).decode())


async def test_version_2_only() -> None:
    with pytest.raises(SignatureError):
        await told(delivery(envelope()), sns_v2_only=True)
    await told(delivery(envelope(SignatureVersion="2")), sns_v2_only=True)


async def test_old_notifications_are_refused() -> None:
    with pytest.raises(Exception, match="too old"):
        await told(delivery(envelope()), clock=FakeClock(NOW + timedelta(days=8)))


def test_the_sample_data_is_what_is_documented() -> None:
    assert set(DATA) == {"gateway_order_id", "gateway_reference", "transaction_id", "amount", "currency"}
