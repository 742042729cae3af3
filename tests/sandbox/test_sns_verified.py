"""The SDK's verifier over the sandbox's messages: what it takes, what it refuses, and what it fetches for either."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox.shop import NoSleep, Shop
from tests.sandbox.sns_endpoint import Endpoint, Received
from vextrus_payments.clock import SystemClock
from vextrus_payments.errors import SignatureError
from vextrus_payments.events import Delivery
from vextrus_payments.transport import HttpxTransport
from vextrus_payments.verifier_port import VerifiedKind
from vextrus_payments.verifiers.sns import SnsVerifier, Topic
from vextrus_payments_sandbox import SandboxServer, sns
from vextrus_payments_sandbox.bkash.records import Rules


class Scene:
    """A sandbox on a socket, a shop, an endpoint, and the SDK's transport and verifier."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(lambda: self.shop.http)
        self.server = SandboxServer(
            sleeper=NoSleep(), webhook_transport=self.endpoint, bkash=Rules(duplicate_window_s=0)
        )
        self.transport = HttpxTransport()

    async def open(self) -> None:
        self.shop = await Shop(httpx.AsyncClient(base_url=self.server.url, trust_env=False)).open()
        self.verifier = self.new_verifier()

    def new_verifier(self, *, v2_only: bool = False) -> SnsVerifier:
        return SnsVerifier(
            [Topic(sns.BKASH_TOPIC)],
            transport=lambda: self.transport,
            clock=SystemClock(),
            v2_only=v2_only,
            own_hosts=[urlsplit(self.server.url).netloc],
        )

    async def told(self, version: str = "2", fault: str | None = None) -> tuple[str, Received]:
        url = "http://127.0.0.1/webhook"
        await self.shop.http.put("/_sandbox/webhooks/bkash", json={"url": url, "signature_version": version})
        payment_id = await self.shop.approved("25")
        headers = {"X-Sandbox-Fault": fault} if fault else {}
        trx_id: str = (await self.shop.execute(payment_id, **headers))["trxID"]
        await self.server.courier.drain()
        return trx_id, self.endpoint.notifications[-1]


def delivery(got: Received) -> Delivery:
    return Delivery(method="POST", query="", headers=got.headers, body=got.raw, received_at=datetime.now(UTC))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    async with scene.server:
        await scene.open()
        yield scene
        await scene.verifier.aclose()
        await scene.shop.http.aclose()
    await scene.transport.aclose()


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_notification_is_proven(scene: Scene, version: str) -> None:
    trx_id, got = await scene.told(version)
    for _ in range(2):  # a second time from the verifier's cache
        verified = await scene.verifier.verify(delivery(got))
        assert (verified.kind, verified.scheme) == (VerifiedKind.MESSAGE, f"sns/{version}")
        assert verified.message_id == got.envelope["MessageId"]
        assert f'"trxID":"{trx_id}"'.encode() in verified.message


async def test_a_subscription_is_confirmed_through_the_verifier(scene: Scene) -> None:
    scene.endpoint.confirms = False
    route = "/_sandbox/webhooks/bkash"
    await scene.shop.http.put(route, json={"url": "http://127.0.0.1/webhook"})
    verified = await scene.verifier.verify(delivery(scene.endpoint.received[-1]))
    assert verified.kind is VerifiedKind.CONFIRMATION and verified.confirm is not None
    assert (await scene.shop.http.get(route)).json()["confirmed"] is False
    await scene.verifier.confirm(verified.confirm)
    assert (await scene.shop.http.get(route)).json()["confirmed"] is True


async def test_a_farewell_holds_no_address_to_fetch(scene: Scene) -> None:
    await scene.told()
    await scene.shop.http.delete("/_sandbox/webhooks/bkash")
    verified = await scene.verifier.verify(delivery(scene.endpoint.received[-1]))
    assert (verified.kind, verified.confirm) == (VerifiedKind.FAREWELL, None)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("webhook_bad_signature", "signature"),
        ("webhook_foreign_topic", "foreign_topic"),
        ("webhook_foreign_cert_host", "foreign_certificate"),
    ],
)
async def test_what_is_wrong_on_purpose_is_refused(scene: Scene, fault: str, code: str) -> None:
    _, got = await scene.told("2", fault)
    with pytest.raises(SignatureError) as caught:
        await scene.verifier.verify(delivery(got))
    assert caught.value.code == code


async def test_version_one_is_refused_where_only_version_two_is_taken(scene: Scene) -> None:
    strict = scene.new_verifier(v2_only=True)
    _, first = await scene.told("1")
    with pytest.raises(SignatureError) as caught:
        await strict.verify(delivery(first))
    assert caught.value.code == "signature_version"
    _, second = await scene.told("2")
    assert (await strict.verify(delivery(second))).scheme == "sns/2"
    await strict.aclose()


async def test_a_sandbox_that_is_not_named_is_not_believed(scene: Scene) -> None:
    _, got = await scene.told()
    other = SnsVerifier([Topic(sns.BKASH_TOPIC)], transport=lambda: scene.transport, clock=SystemClock())
    with pytest.raises(SignatureError) as caught:
        await other.verify(delivery(got))
    assert caught.value.code == "foreign_certificate"
    await other.aclose()
