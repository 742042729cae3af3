"""Browsers at the return door: counted for themselves, told in a page, and never by a sender's lists or blocks."""

import re
from typing import Any

import httpx
import pytest

from tests.webhooks.world import Town, town_open
from tests.webhooks_limits.visitors import OTHER, STRANGER, Post, request
from vextrus_payments import Paid, Pending
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.webhooks import DoorLimits, Rate
from vextrus_payments.webhooks.doorway import Doorway, Errand, Head
from vextrus_payments.webhooks.messages import Incoming, Reply
from vextrus_payments.webhooks.replies import refusal
from vextrus_payments.webhooks.returning import FORM_MAX_BYTES
from vextrus_payments.webhooks.routes import Door

pytest.importorskip("limits", reason="limits is not installed")

TEN = Rate(10, per_s=60)


def browser(
    peer: str | None = STRANGER, *, method: str = "GET", length: int | None = None, **headers: str
) -> Incoming:
    """One that comes back."""
    written = {name.replace("_", "-"): value for name, value in headers.items()}
    if length is not None:
        written["content-length"] = str(length)
    return Incoming(
        gateway="bkash", tenant=None, method=method, query="paymentID=TR1&status=success", headers=written,
        body=b"", peer=peer, door=Door.RETURN,
    )  # fmt: skip


# --- how many -------------------------------------------------------------------------------------------------------


async def test_a_flood_of_returns_from_one_source_hinders_no_other() -> None:
    post = Post(DoorLimits(returns_per_source=TEN))
    assert await post.let_in(browser(), 1_000) == 10
    assert await post.let_in(browser(OTHER), 10) == 10
    assert post.ear.names() == ["doors.return_rate"]
    post.clock.advance(await post.retry_after_s(browser()))
    assert await post.visit(browser()) == 200


async def test_returns_and_webhooks_are_counted_apart() -> None:
    post = Post(DoorLimits(returns_per_source=TEN, per_source=TEN, per_gateway=Rate(20, per_s=60)))
    assert await post.let_in(browser(), 50) == 10
    assert await post.let_in(request(), 50) == 10
    crowd = [await post.visit(browser(f"192.0.2.{number}")) for number in range(50)]
    assert crowd == [200] * 50, "the rate of a gateway's senders is none of payers"


async def test_without_a_rate_of_their_own_returns_are_not_counted() -> None:
    post = Post(DoorLimits(per_source=TEN, per_tenant=Rate(20, per_s=60), per_gateway=Rate(20, per_s=60)))
    assert await post.let_in(browser(), 500) == 500


async def test_returns_count_by_the_source_and_not_by_the_proxy() -> None:
    post = Post(DoorLimits(returns_per_source=TEN, trusted_proxies=("10.0.0.0/8",)))
    spoofed = [browser("10.0.0.1", x_forwarded_for=f"8.8.8.{one}, {STRANGER}") for one in range(50)]
    assert [await post.visit(one) for one in spoofed].count(200) == 10
    assert await post.visit(browser("10.0.0.1", x_forwarded_for=OTHER)) == 200


def test_the_rate_of_returns_is_held_to_its_kind() -> None:
    with pytest.raises(ConfigurationError):
        DoorLimits(returns_per_source=10)  # type: ignore[arg-type]
    DoorLimits(returns_per_source=Rate(1_000, per_s=1), per_gateway=Rate(10, per_s=1))


# --- what is a sender's alone ---------------------------------------------------------------------------------------


async def test_no_list_hook_or_block_of_senders_is_a_payers() -> None:
    async def nobody(_: Any) -> bool:
        return False

    post = Post(DoorLimits(allow_from=(OTHER,), allow=nobody, block_after=1, headers_max=2))
    await post.guard.bad_signature(request())
    assert await post.visit(request()) == 403
    chatty: dict[str, Any] = {f"sec_{number}": "x" for number in range(30)}
    assert await post.visit(browser(**chatty)) == 200
    assert await post.visit(browser(OTHER, **chatty)) == 200


# --- memory ---------------------------------------------------------------------------------------------------------


async def test_a_return_without_a_body_takes_no_place() -> None:
    post = Post(DoorLimits(bodies_max=4, bodies_max_bytes=400_000, body_max_bytes=100_000))
    came = [browser(content_length="99999999999") for _ in range(50)]  # of a GET nothing is read
    assert [await post.visit(one, stay=True) for one in came] == [200] * 50
    assert (post.guard._all.bodies, post.guard._places) == (0, {})
    for one in came:
        post.guard.leave(one)
    assert post.guard._all.bodies == 0


async def test_posted_returns_share_the_strangers_places() -> None:
    post = Post(DoorLimits(bodies_max=8, bodies_max_bytes=4_000_000, body_max_bytes=1_000_000))
    post.guard.good_signature(request(OTHER))
    forms = [browser(OTHER, method="POST"), browser(OTHER, method="POST", length=900)]
    assert [await post.visit(one, stay=True) for one in forms] == [200, 200]
    assert post.guard._all.size == FORM_MAX_BYTES + 900, "of unknown length: the longest form"
    assert await post.visit(browser(OTHER, method="POST")) == 429, "a quarter, whatever else it has proven"
    crowd = [browser(f"192.0.2.{number}", method="POST") for number in range(9)]
    assert [await post.visit(one, stay=True) for one in crowd] == [200] * 4 + [503] * 5
    assert await post.visit(request(OTHER, length=10)) == 429
    assert await post.visit(browser(method="POST", length=FORM_MAX_BYTES + 1)) == 413
    assert await post.visit(browser(method="POST", content_length="-1")) == 400
    for one in forms + crowd[:4]:
        post.guard.leave(one)
    assert (post.guard._all.bodies, post.guard._all.size, post.guard._places) == (0, 0, {})


async def test_a_senders_last_quarter_is_no_payers_at_the_same_address() -> None:
    post = Post(DoorLimits(bodies_max=8, known_senders=("192.0.2.0/24",)))
    post.guard.good_signature(request(OTHER))
    for number in range(6):
        assert await post.visit(request(f"8.8.8.{number}"), stay=True) == 200
    for sender in (OTHER, "192.0.2.1"):
        assert await post.visit(browser(sender, method="POST")) == 503
        assert await post.visit(request(sender)) == 200


async def test_a_return_without_a_body_gives_back_no_place_of_another() -> None:
    post = Post(DoorLimits())
    await post.visit(browser(method="POST", length=900), stay=True)
    assert await post.visit(browser()) == 200
    assert (post.guard._all.bodies, post.guard._all.size) == (1, 900)


async def test_a_refused_form_holds_no_place() -> None:
    post = Post(DoorLimits(returns_per_source=Rate(1, per_s=60)))
    assert await post.let_in(browser(method="POST"), 5) == 1
    assert post.guard._all.bodies == 0


# --- what a browser is shown ----------------------------------------------------------------------------------------


async def back(
    town: Town, reference: str, status: str = "success", source: str = STRANGER, **headers: str
) -> httpx.Response:
    transport = httpx.ASGITransport(app=town.payments.asgi(), client=(source, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.get("/toy/return", params={"ref": reference, "status": status}, headers=named)


async def test_a_browser_of_a_crowd_gets_a_page_and_then_its_payment() -> None:
    limits = DoorLimits(returns_per_source=(Rate(3, per_s=10), Rate(100, per_s=60)))
    async with town_open(door_limits=limits) as town:
        session = await town.approved()
        crowd = [await back(town, "nobody's") for _ in range(5)]
        assert [answer.status_code for answer in crowd] == [404] * 3 + [429] * 2
        page = await back(town, session.gateway_reference, accept_language="bn")
        assert page.status_code == 429 and page.headers["content-type"].startswith("text/html")
        assert int(page.headers["retry-after"]) == int(page.headers["refresh"]) > 1
        assert "Please do not pay again" in page.text and '<html lang="bn">' in page.text
        assert (
            page.headers["referrer-policy"] == "no-referrer" and page.headers["cache-control"] == "no-store"
        )
        assert isinstance(await town.payments.status(session.payment_id), Pending), "nothing was done"
        town.clock.advance(int(page.headers["refresh"]))
        for _ in range(3):  # the page's own look, a refresh, the back button
            again = await back(town, session.gateway_reference)
            assert again.status_code in (200, 303)
            town.clock.advance(20)
        assert isinstance(await town.payments.status(session.payment_id), Paid)
        elsewhere = await back(town, session.gateway_reference, source=OTHER)
        assert elsewhere.status_code in (200, 303)


class Refusing:
    """A keeper that sends everybody away, and fails where it is to fail."""

    def __init__(self, answer: Reply | Exception) -> None:
        self.answer = answer
        self.is_open, self.body_max_bytes, self.read_deadline_s = True, 100_000, 5.0
        self.left: list[Incoming] = []

    async def admit(self, incoming: Incoming) -> Reply | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def leave(self, incoming: Incoming) -> None:
        self.left.append(incoming)


async def sent_away(answer: Reply | Exception, method: str = "GET", **headers: str) -> Reply:
    head = Head(
        method=method, path="/bkash/return", query="paymentID=TR1", header_count=len(headers),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )  # fmt: skip
    begun = await Doorway(Refusing(answer)).begin(head)  # type: ignore[arg-type]
    assert not isinstance(begun, Errand)
    return begun


FORM = {"content_type": "application/x-www-form-urlencoded", "content_length": "12"}


async def test_a_page_looks_again_by_itself_but_not_for_what_was_posted() -> None:
    too_many = refusal(429, "too_many_requests", ("retry-after", "7"))
    page = await sent_away(too_many)
    told = dict(page.headers)
    assert (page.status, told["retry-after"], told["refresh"]) == (429, "7", "7")
    posted = await sent_away(too_many, "POST", **FORM)
    told = dict(posted.headers)
    assert (posted.status, told["retry-after"]) == (429, "7") and "refresh" not in told
    assert b"load this page again" in posted.body


async def test_a_page_does_not_make_a_payer_wait_for_a_day() -> None:
    page = await sent_away(refusal(429, "too_many_requests", ("retry-after", "86400")))
    told = dict(page.headers)
    assert (told["retry-after"], told["refresh"]) == ("86400", "60")


@pytest.mark.parametrize(
    "answer", [refusal(503, "busy", ("retry-after", "1")), RuntimeError("CANARY")], ids=str
)
async def test_what_is_our_own_fault_is_a_page_too(answer: Reply | Exception) -> None:
    page = await sent_away(answer)
    told = dict(page.headers)
    assert page.status == 503 and page.media_type.startswith("text/html")
    assert told["retry-after"] == told["refresh"] and re.fullmatch("[15]", told["retry-after"])
    assert b"Please do not pay again" in page.body and b"CANARY" not in page.body
