"""HttpSink over real sockets: what is posted and signed, what counts as taken, and where it refuses to post."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sinks.entries import NOW, entry, event, row
from tests.sinks.receiver import Answer, Receiver, receiving
from vextrus_payments.errors import ConfigurationError, DeliveryError, UndeliverableError
from vextrus_payments.secret import Secret
from vextrus_payments.signing import Ed25519Key, verify, verifying_key
from vextrus_payments.sinks import HttpEndpoint, HttpSink
from vextrus_payments.sinks.http import MAX_BODY_BYTES
from vextrus_payments.testing import FakeClock, ScriptedTransport, SecretCanary
from vextrus_payments.testing.scripted import answer


def secret(name: str) -> Secret:
    return Secret("whsec_" + base64.b64encode(name.encode().ljust(32, b".")).decode())


OLD, NEW = secret("old"), secret("new")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def sinks() -> AsyncIterator[list[HttpSink]]:
    made: list[HttpSink] = []
    yield made
    for sink in made:
        await sink.aclose()


def posting(receiver: Receiver, sinks: list[HttpSink], *secrets: Secret, **changes: Any) -> HttpSink:
    sink = HttpSink(f"{receiver.url}/hooks", secrets or (NEW,), **{"clock": FakeClock(), **changes})
    sinks.append(sink)
    return sink


# --- what is posted -------------------------------------------------------------------------------------------------


async def test_an_entry_is_posted_whole_and_signed(receiver: Receiver, sinks: list[HttpSink]) -> None:
    await posting(receiver, sinks).take_row(row(entry(metadata={"order": "৮৮১২"})))
    (came,) = receiver.arrived
    assert (came.method, came.path, came.headers["content-type"]) == ("POST", "/hooks", "application/json")
    document = json.loads(came.body)
    assert document.pop("data") == json.loads(row(entry(metadata={"order": "৮৮১২"})).document)
    assert document == {"type": "ledger.payment.received", "timestamp": "2026-01-15T06:00:00Z"}
    assert came.headers["webhook-id"] == "ent_1"
    # as the specification has it, without the code under test
    signed = f"ent_1.{came.headers['webhook-timestamp']}.".encode() + came.body
    key = base64.b64decode(NEW.reveal().removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert came.headers["webhook-signature"] == f"v1,{expected}"
    assert int(came.headers["webhook-timestamp"]) == int(NOW.timestamp())


async def test_an_event_goes_under_its_own_kind(receiver: Receiver, sinks: list[HttpSink]) -> None:
    await posting(receiver, sinks).take_row(row(event()))
    assert json.loads(receiver.arrived[0].body)["type"] == "payment.paid"


async def test_every_try_has_the_same_id_and_its_own_time(receiver: Receiver, sinks: list[HttpSink]) -> None:
    clock = FakeClock()
    sink = posting(receiver, sinks, clock=clock)
    receiver.answers = [Answer(500)]
    with pytest.raises(DeliveryError):
        await sink.take_row(row(entry()))
    clock.advance(60)
    await sink.take_row(row(entry()))
    first, second = (came.headers for came in receiver.arrived)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60


async def test_secrets_are_exchanged_without_a_gap(receiver: Receiver, sinks: list[HttpSink]) -> None:
    """While both are live, a receiver with either believes it."""
    await posting(receiver, sinks, OLD, NEW).take_row(row(entry()))
    (came,) = receiver.arrived
    for live in (OLD, NEW):
        verify([verifying_key(live)], came.headers, came.body, now=NOW)
    assert came.headers["webhook-signature"].count("v1,") == 2


async def test_an_asymmetric_key_may_sign(receiver: Receiver, sinks: list[HttpSink]) -> None:
    key = Ed25519Key(hashlib.sha256(b"a test's own seed").digest())
    text = Secret("whsk_" + base64.b64encode(key.key).decode())
    await posting(receiver, sinks, text, NEW).take_row(row(entry()))
    (came,) = receiver.arrived
    verify([verifying_key(str(key.public))], came.headers, came.body, now=NOW)


async def test_what_is_too_long_goes_without_its_metadata(receiver: Receiver, sinks: list[HttpSink]) -> None:
    long = entry(metadata={f"key-{n}": "ক" * 500 for n in range(50)})
    await posting(receiver, sinks).take_row(row(long))
    (came,) = receiver.arrived
    document = json.loads(came.body)
    assert len(came.body) <= MAX_BODY_BYTES
    assert document["metadata_omitted"] is True
    whole = json.loads(row(long).document)
    assert document["data"] == {**whole, "metadata": {}}
    verify([verifying_key(NEW)], came.headers, came.body, now=NOW)


# --- what counts as taken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_2xx_is_taken(receiver: Receiver, sinks: list[HttpSink], status: int) -> None:
    receiver.answers = [Answer(status)]
    await posting(receiver, sinks).take_row(row(entry()))


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 400, 401, 404, 409, 429, 500, 502, 503, 504])
async def test_nothing_else_is(receiver: Receiver, sinks: list[HttpSink], status: int) -> None:
    receiver.answers = [Answer(status, {"location": f"{receiver.url}/elsewhere"})]
    with pytest.raises(DeliveryError, match=str(status)) as caught:
        await posting(receiver, sinks).take_row(row(entry()))
    assert not isinstance(caught.value, UndeliverableError)
    assert [came.path for came in receiver.arrived] == ["/hooks"]
    assert caught.value.__context__ is None and caught.value.__cause__ is None


async def test_an_endpoint_that_is_gone_parks(receiver: Receiver, sinks: list[HttpSink]) -> None:
    receiver.answers = [Answer(410)]
    with pytest.raises(UndeliverableError, match="410"):
        await posting(receiver, sinks).take_row(row(entry()))


@pytest.mark.parametrize(
    ("status", "said", "waits_s"),
    [
        (429, "120", 120),
        (503, "0", 0),
        (500, "7", 7),
        (429, "999999", 3600),
        (429, "Thu, 15 Jan 2026 06:02:00 GMT", 120),
        (429, "Thu, 15 Jan 2026 05:02:00 GMT", 0),
        (503, "Thu, 15 Jan 2099 06:02:00 GMT", 3600),
        (429, "soon", None),
        (429, "-5", None),
        (429, "1.5", None),
        (429, "99999999999999999999", None),
        (429, "\u0661", None),
        (400, "120", None),
    ],
)
async def test_the_other_side_may_say_when_to_come_again(
    sinks: list[HttpSink], status: int, said: str, waits_s: float | None
) -> None:
    async with receiving() as receiver:
        receiver.answers = [Answer(status, {"Retry-After": said.encode("utf-8").decode("latin-1")})]
        with pytest.raises(DeliveryError) as caught:
            await posting(receiver, sinks).take_row(row(entry()))
    assert caught.value.retry_after_s == waits_s


async def test_an_endpoint_that_says_nothing_is_given_up(receiver: Receiver, sinks: list[HttpSink]) -> None:
    receiver.answers = [Answer(silent=True)]
    with pytest.raises(DeliveryError, match="answer_timeout"):
        await posting(receiver, sinks, timeout_s=0.05).take_row(row(entry()))


async def test_an_endpoint_where_nobody_listens_is_tried_again(sinks: list[HttpSink]) -> None:
    sink = HttpSink("http://127.0.0.1:1/hooks", [NEW], clock=FakeClock())
    sinks.append(sink)
    with pytest.raises(DeliveryError, match="could not be reached") as caught:
        await sink.take_row(row(entry()))
    assert not isinstance(caught.value, UndeliverableError)


async def test_a_cancelled_post_is_cancelled(receiver: Receiver, sinks: list[HttpSink]) -> None:
    receiver.answers = [Answer(silent=True)]
    task = asyncio.create_task(posting(receiver, sinks).take_row(row(entry())))
    while not receiver.arrived:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_closing_the_next_row_opens_a_connection_anew(
    receiver: Receiver, sinks: list[HttpSink]
) -> None:
    sink = posting(receiver, sinks)
    await sink.take_row(row(entry(1)))
    await sink.aclose()
    await sink.aclose()
    await sink.take_row(row(entry(2)))
    assert len(receiver.arrived) == 2


# --- tenants --------------------------------------------------------------------------------------------------------


async def test_each_tenant_has_an_endpoint_and_secrets_of_its_own(sinks: list[HttpSink]) -> None:
    async with receiving() as one, receiving() as two:
        places = {
            "acme": HttpEndpoint(f"{one.url}/a", [OLD]),
            "bravo": HttpEndpoint(f"{two.url}/b", [NEW]),
        }

        async def resolve(tenant: str) -> HttpEndpoint | None:
            return places.get(tenant)

        sink = HttpSink(resolve, allow_private=True, clock=FakeClock())
        sinks.append(sink)
        for tenant in ("acme", "bravo"):
            await sink.take_row(row(entry(tenant=tenant)))
        for receiver, key in ((one, OLD), (two, NEW)):
            (came,) = receiver.arrived
            verify([verifying_key(key)], came.headers, came.body, now=NOW)
        # nobody wants the event; an entry is never dropped
        await sink.take_row(row(event(tenant="nobody")))
        with pytest.raises(UndeliverableError, match="no endpoint"):
            await sink.take_row(row(entry(tenant="nobody")))
        assert len(one.arrived) == len(two.arrived) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/in",
        "https://127.0.0.1/in",
        "http://127.0.0.1/in",
        "https://localhost/in",
        "https://LOCALHOST./in",
        "https://[::1]/in",
        "https://[::ffff:127.0.0.1]/in",
        "https://10.0.0.5/in",
        "https://192.168.0.1:8443/in",
        "https://169.254.169.254/latest/meta-data",
        "https://user:word@hooks.example/in",
        "ftp://hooks.example/in",
        "hooks.example",
        "https:///in",
        "https://h\u00f6oks.example/in",
        "https://hooks\u3002example/in",
        "",
    ],
)
async def test_a_tenant_cannot_lead_it_inside(sinks: list[HttpSink], url: str) -> None:
    async def resolve(tenant: str) -> HttpEndpoint | None:
        return HttpEndpoint(url, [NEW])

    sink = HttpSink(resolve, clock=FakeClock())
    sinks.append(sink)
    with pytest.raises(UndeliverableError) as caught:
        await sink.take_row(row(entry()))
    assert not url or url not in str(caught.value)


async def test_a_name_that_resolves_inside_is_not_connected_to(
    receiver: Receiver, sinks: list[HttpSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transport itself looks at the address it connects to: whatever the name said when it was checked."""
    loop = asyncio.get_running_loop()
    port = int(receiver.url.rpartition(":")[2])

    async def resolved(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", resolved)

    async def resolve(tenant: str) -> HttpEndpoint | None:
        return HttpEndpoint(f"https://hooks.example:{port}/in", [NEW])

    sink = HttpSink(resolve, clock=FakeClock())
    sinks.append(sink)
    with pytest.raises(UndeliverableError, match="not a public address"):
        await sink.take_row(row(entry()))
    assert receiver.arrived == []


async def test_a_list_of_hosts_is_kept(sinks: list[HttpSink]) -> None:
    wish = [""]

    async def resolve(tenant: str) -> HttpEndpoint | None:
        return HttpEndpoint(wish[0], [NEW])

    transport = ScriptedTransport(then=answer(204))
    sink = HttpSink(
        resolve, allowed_hosts=["Hooks.example", ".allowed.example"], transport=transport, clock=FakeClock()
    )
    for wish[0] in ("https://hooks.example/a", "https://HOOKS.example./a", "https://a.allowed.example/"):
        await sink.take_row(row(entry()))
    assert len(transport.sends) == 3
    transport.sends.clear()
    for wish[0] in (
        "https://other.example/",
        "https://hooks.example.evil.example/",
        "https://notallowed.example/",
        "https://allowed.example/",
        "https://xhooks.example/",
    ):
        with pytest.raises(UndeliverableError, match="list of allowed hosts"):
            await sink.take_row(row(entry()))
    assert transport.sends == []


async def test_a_resolver_that_answers_nonsense_is_asked_again(sinks: list[HttpSink]) -> None:
    async def resolve(tenant: str) -> Any:
        return "https://hooks.example"

    with pytest.raises(DeliveryError, match="HttpEndpoint") as caught:
        await HttpSink(resolve).take_row(row(entry()))
    assert not isinstance(caught.value, UndeliverableError)


# --- what is refused at once ----------------------------------------------------------------------------------------


def plain(tenant: str) -> HttpEndpoint:
    return HttpEndpoint("https://hooks.example", [NEW])


@pytest.mark.parametrize(
    ("endpoint", "secrets", "changes"),
    [
        ("http://hooks.example/in", [NEW], {}),
        ("hooks.example", [NEW], {}),
        ("https://user:word@hooks.example/", [NEW], {}),
        ("https://hooks.example/", [], {}),
        ("https://hooks.example/", NEW, {}),
        ("https://hooks.example/", [NEW] * 6, {}),
        ("https://hooks.example/", [Secret("not one")], {}),
        ("https://hooks.example/", [NEW], {"timeout_s": 0}),
        ("https://hooks.example/", [NEW], {"allowed_hosts": ["other.example"]}),
        ("https://hooks.example/", [NEW], {"allowed_hosts": "hooks.example"}),
        (plain, (), {}),
        (7, (), {}),
    ],
)
def test_what_cannot_work_is_refused_at_once(endpoint: Any, secrets: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpSink(endpoint, secrets, **changes)
    assert "word@" not in str(caught.value)


def test_a_resolver_brings_the_secrets_itself() -> None:
    async def resolve(tenant: str) -> HttpEndpoint | None:
        return None

    with pytest.raises(ConfigurationError, match="resolver"):
        HttpSink(resolve, [NEW])


async def test_no_secret_is_shown_by_anything(receiver: Receiver, sinks: list[HttpSink]) -> None:
    key = b"a-secret-that-must-not-be-seen.."
    text = "whsec_" + base64.b64encode(key).decode()
    canary = SecretCanary()
    for label, planted in (("secret", text), ("raw", key.decode()), ("path", "hook-token-0000")):
        canary.plant(label, planted)
    sink = HttpSink(f"{receiver.url}/hook-token-0000", [Secret(text)], clock=FakeClock())
    sinks.append(sink)
    receiver.answers = [Answer(500), Answer(410), Answer(302, {"location": "/hook-token-0000"})]
    for _ in range(3):
        with pytest.raises(DeliveryError) as caught:
            await sink.take_row(row(entry()))
        canary.assert_absent(caught.value)
    canary.assert_absent(repr(sink), repr(HttpEndpoint(f"{receiver.url}/hook-token-0000", [Secret(text)])))


async def test_a_transport_of_the_callers_own_is_left_open(receiver: Receiver) -> None:
    transport = ScriptedTransport()
    sink = HttpSink("https://hooks.example/", [NEW], transport=transport)
    await sink.aclose()
    assert not transport.closed
