"""What becomes of a browser that comes back: where it is sent, what it is shown, and what it can make happen."""

import asyncio
import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doors.agreements import given_agreement
from tests.doors.keeper import SHOP, ScriptedKeeper, keeper, result
from vextrus_payments import Authorized, Declined, Money, Paid, Pending, Reason, ReasonCode, Review, Unknown
from vextrus_payments.errors import (
    AlreadyPaidError,
    ConfigurationError,
    CredentialsMissingError,
    InvalidRequestError,
    ReconciliationRequiredError,
    StorageError,
    TenantSuspendedError,
    UnknownGatewayError,
)
from vextrus_payments.webhooks import pages, returning
from vextrus_payments.webhooks.messages import Reply
from vextrus_payments.webhooks.pages import Sight, locale_of
from vextrus_payments.webhooks.returning import Back, receive

HUNDRED = Money("100", "BDT")
QUERY = "paymentID=TR001&status=success"


def back(query: str = QUERY, **changes: Any) -> Back:
    return Back(**{"tenant": None, "gateway": "bkash", "query": query, **changes})


def header(reply: Reply, name: str) -> str | None:
    found = [value for key, value in reply.headers if key == name]
    assert len(found) <= 1
    return found[0] if found else None


async def test_the_browser_goes_to_the_stored_address_and_nowhere_else() -> None:
    asked = keeper()
    reply = await receive(asked, back(QUERY + "&return_url=https://evil.example&redirect_to=//evil.example"))
    assert reply.status == 303
    assert header(reply, "location") == f"{SHOP}?payment_id=pay_1"
    assert header(reply, "referrer-policy") == "no-referrer"
    (((tenant, gateway, params, wait_s)),) = asked.returns
    assert (tenant, gateway) == (None, "bkash")
    assert params["paymentID"] == "TR001" and params["status"] == "success"
    assert 0 < wait_s < returning.WAIT_S


@pytest.mark.parametrize(("stored", "wanted"), [
    ("https://s.example", "https://s.example?payment_id=pay_1"),
    ("https://s.example/a?b=c", "https://s.example/a?b=c&payment_id=pay_1"),
    ("https://s.example/a?", "https://s.example/a?payment_id=pay_1"),
    ("https://s.example/a?b=c&", "https://s.example/a?b=c&payment_id=pay_1"),
    ("https://s.example/a#part", "https://s.example/a?payment_id=pay_1#part"),
    ("https://s.example/#/spa?x=1", "https://s.example/?payment_id=pay_1#/spa?x=1"),
    ("https://s.example/%E0%A6%95?q=%20", "https://s.example/%E0%A6%95?q=%20&payment_id=pay_1"),
    ("https://s.example/ক", "https://s.example/%E0%A6%95?payment_id=pay_1"),
    ("https://s.example/[x]|y", "https://s.example/[x]%7Cy?payment_id=pay_1"),
])  # fmt: skip
def test_the_shops_address_is_only_added_to(stored: str, wanted: str) -> None:
    location = header(returning.to_the_shop(result(stored)), "location")
    assert location == wanted and location.isascii()


def test_an_agreement_is_named_by_its_key() -> None:
    reply = returning.to_the_shop(
        result(SHOP, payment_id=None, outcome=None, agreement=given_agreement("agr_1"))
    )
    assert header(reply, "location") == f"{SHOP}?agreement_key=agr_1"


def test_a_name_cannot_change_the_address() -> None:
    """Ours are plain; a store of the host's own may hold others."""
    reply = returning.to_the_shop(result(SHOP, payment_id="1&paid=yes#ক/"))
    assert header(reply, "location") == f"{SHOP}?payment_id=1%26paid%3Dyes%23%E0%A6%95%2F"


@given(query=st.text(max_size=200), form=st.none() | st.binary(max_size=200))
def test_nothing_that_arrives_is_ever_in_an_answer(query: str, form: bytes | None) -> None:
    """Of a redirect: it is the stored address, whatever came."""
    reply = asyncio.run(receive(keeper(), back(query, form=form)))
    assert reply.status in (303, 400)
    if reply.status == 303:
        assert header(reply, "location") == f"{SHOP}?payment_id=pay_1"


NASTY = [
    "paymentID=<script>alert(1)</script>", "paymentID=%3Cscript%3E&status=%22%3E%3Cimg", "a=%0d%0aSet-Cookie:x=1",
    "paymentID=x;url=https://evil.example", "paymentID=%E2%80%AE", "%0d%0aLocation:%20x=1", "x=%27%3B+url%3Dhttps://e",
]  # fmt: skip


@pytest.mark.parametrize("query", NASTY)
async def test_a_page_holds_nothing_that_could_run_or_lead_away(query: str) -> None:
    asked = keeper()
    asked.result = result(None, Unknown(payment_id="pay_1", operation_id="o"))
    reply = await receive(asked, back(query))
    text = reply.body.decode()
    assert reply.status == 200
    assert "<script" not in text and "<img" not in text and "javascript:" not in text
    for name, value in reply.headers:
        assert "\r" not in value and "\n" not in value and value.isascii(), name
    refresh = header(reply, "refresh")
    assert refresh is not None and re.fullmatch(r"[0-9]+; url=\?[A-Za-z0-9_.~%&=+-]+", refresh), refresh
    links = re.findall(r'href="([^"]*)"', text)
    assert links and all(re.fullmatch(r"\?[A-Za-z0-9_.~%&;=+-]+", link) for link in links)


PAGES: list[tuple[Any, Sight, bool]] = [
    (Paid(payment_id="pay_1", amount=HUNDRED, transaction_id="T1"), Sight.PAID, False),
    (Authorized(payment_id="pay_1", amount=HUNDRED), Sight.AUTHORIZED, False),
    (
        Declined(payment_id="pay_1", reason=Reason(code=ReasonCode.INSUFFICIENT_BALANCE)),
        Sight.DECLINED,
        False,
    ),
    (Pending(payment_id="pay_1", sent=True), Sight.PROCESSING, True),
    (Pending(payment_id="pay_1", sent=False), Sight.UNFINISHED, True),
    (Unknown(payment_id="pay_1", operation_id="o"), Sight.PROCESSING, True),
    (Review(payment_id="pay_1", what="the amount is another"), Sight.PROCESSING, True),
]


@pytest.mark.parametrize(("outcome", "sight", "looks_again"), PAGES)
async def test_without_a_shops_address_there_is_a_page(outcome: Any, sight: Sight, looks_again: bool) -> None:
    asked = keeper()
    asked.result = result(None, outcome)
    reply = await receive(asked, back(accept_language="bn-BD,bn;q=0.9,en;q=0.8"))
    assert reply.status == 200 and reply.media_type == "text/html; charset=utf-8"
    assert (header(reply, "refresh") is not None) == looks_again
    assert header(reply, "content-language") == "bn"
    text = reply.body.decode("utf-8")
    for locale in ("bn", "en"):  # both languages stand on it
        assert pages._TEXTS[locale][sight].title in text
    assert text.index(pages._BANGLA[sight].title) < text.index(pages._ENGLISH[sight].title)
    if sight is not Sight.DECLINED:
        assert "failed" not in text and "Nothing was taken" not in text
    else:
        assert "does not have enough balance" in text
    for kept_back in ("pay_1", "T1", "100", "another"):
        assert kept_back not in re.sub(r"<(style|a)\b.*?</\1>|<meta[^>]*>", "", text)
    Balanced().feed(text)


class Balanced(HTMLParser):
    """Fails on tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta",):
            self.open.append(tag)
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs), tag

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_a_gateways_own_words_are_only_words() -> None:
    asked = keeper()
    own = {"en": "<script>alert(1)</script> & more", "bn": "<b>না</b>"}
    reason = Reason(code=ReasonCode.UNKNOWN_ERROR, own_words=own)
    asked.result = result(None, Declined(payment_id="pay_1", reason=reason))
    text = (await receive(asked, back())).body.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text and "&lt;b&gt;না&lt;/b&gt;" in text
    assert "<script" not in text and "<b>" not in text


async def test_the_style_is_the_one_that_the_policy_allows() -> None:
    asked = keeper()
    asked.result = result(None)
    reply = await receive(asked, back())
    style = re.search(r"<style>(.*?)</style>", reply.body.decode(), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = header(reply, "content-security-policy") or ""
    assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy


ERRORS: list[tuple[Exception, str | None, int]] = [
    (InvalidRequestError("not ours", field="params", rule="ours"), None, 404),
    (UnknownGatewayError("no such gateway"), None, 404),
    (UnknownGatewayError("no such gateway"), "acme", 404),
    (CredentialsMissingError("none"), "acme", 404),
    (TenantSuspendedError("suspended"), "acme", 404),
    (CredentialsMissingError("none"), None, 503),
    (ConfigurationError("not open", code="not_open"), None, 503),
    (AlreadyPaidError("paid"), None, 200),
    (ReconciliationRequiredError("restored"), None, 200),
    (StorageError("the disk is full at /var/lib/secret"), None, 200),
    (RuntimeError("a bug that quotes app_secret"), None, 503),
]


@pytest.mark.parametrize(("error", "tenant", "status"), ERRORS)
async def test_whatever_goes_wrong_the_payer_gets_a_page(
    error: Exception, tenant: str | None, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    asked = keeper()
    asked.result = error
    with caplog.at_level("DEBUG", "vextrus_payments"):
        reply = await receive(asked, back(tenant=tenant))
    assert reply.status == status
    assert b"<h1>" in reply.body
    assert b"secret" not in reply.body and "secret" not in caplog.text
    assert (header(reply, "refresh") is not None) == (status == 503 or isinstance(
        error, StorageError | ReconciliationRequiredError
    ))  # fmt: skip
    assert (header(reply, "retry-after") is not None) == (status == 503)


async def test_an_unknown_tenant_looks_like_an_unknown_gateway() -> None:
    replies = []
    for error in (UnknownGatewayError("g"), CredentialsMissingError("t"), TenantSuspendedError("t")):
        asked = keeper()
        asked.result = error
        replies.append(await receive(asked, back(tenant="acme")))
    assert replies[0] == replies[1] == replies[2]


async def test_a_browser_waits_five_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "WAIT_S", 0.05)
    asked, cancelled = keeper(), asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    asked.before_return = forever
    reply = await receive(asked, back())
    assert reply.status == 200 and header(reply, "refresh") is not None
    assert cancelled.is_set(), "only the wait: what the engine owns goes on"


def test_the_limit_is_five_seconds() -> None:
    assert returning.WAIT_S == 5.0


async def test_a_page_looks_again_ever_more_slowly_and_then_waits_for_a_click() -> None:
    asked = keeper()
    asked.result = result(None, Unknown(payment_id="pay_1", operation_id="o"))
    query, paces = QUERY, []
    for _ in range(40):
        reply = await receive(asked, back(query))
        refresh = header(reply, "refresh")
        if refresh is None:
            break
        pace, _, query = refresh.partition("; url=?")
        paces.append(int(pace))
    assert paces == sorted(paces) and 5 <= len(paces) <= 20 and sum(paces) <= 300
    assert b"Look again" in reply.body
    assert all(params == {"paymentID": "TR001", "status": "success"} for _, _, params, _ in asked.returns)


@pytest.mark.parametrize("round_", ["-1", "1e9", "999999999999", "¹", "abc", "", "0x3"])
async def test_nobody_can_make_the_page_count_wrongly(round_: str) -> None:
    asked = keeper()
    asked.result = result(None)
    reply = await receive(asked, back(f"{QUERY}&vextrus_look={round_}"))
    assert header(reply, "refresh") == f"2; url=?{QUERY}&vextrus_look=1"


async def test_a_posted_form_is_read_and_not_put_into_an_address() -> None:
    asked = keeper()
    asked.result = result(None, Unknown(payment_id="pay_1", operation_id="o"))
    reply = await receive(asked, back("lang=bn", form=b"tran_id=T%201&status=VALID&card_brand=VISA"))
    assert asked.returns[0][2] == {"lang": "bn", "tran_id": "T 1", "status": "VALID", "card_brand": "VISA"}
    assert header(reply, "refresh") is None and b"VISA" not in reply.body and b"href" not in reply.body


POSTED = {"query": "vextrus_ref=R1&vextrus_came=success", "form": b"tran_id=T1&status=VALID&card_brand=VISA"}


@pytest.mark.parametrize("outcome", [
    Unknown(payment_id="pay_1", operation_id="o"), Pending(payment_id="pay_1", sent=False),
    Paid(payment_id="pay_1", amount=HUNDRED, transaction_id="T"),
])  # fmt: skip
async def test_who_posted_sees_the_page_by_get_where_the_address_names_his_payment(outcome: Any) -> None:
    asked = keeper()
    asked.result = result(None, outcome)
    reply = await receive(asked, back(**POSTED))
    assert reply.status == 303 and reply.body == b""
    assert header(reply, "location") == "?vextrus_ref=R1&vextrus_came=success", "nothing that was posted"
    assert header(reply, "referrer-policy") == "no-referrer"
    again = await receive(asked, back(POSTED["query"]))
    assert again.status == 200 and b"<h1>" in again.body, "and the way does not lead round in a circle"


async def test_who_posted_goes_to_the_shop_at_once_where_it_is_known() -> None:
    asked = keeper()
    assert header(await receive(asked, back(**POSTED)), "location") == f"{SHOP}?payment_id=pay_1"


async def test_what_takes_too_long_goes_on_by_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "WAIT_S", 0.01)
    asked = keeper()
    asked.before_return = asyncio.Event().wait
    assert (await receive(asked, back(**POSTED))).status == 303


async def test_a_payment_that_nobody_knows_is_said_at_once() -> None:
    asked = keeper()
    asked.result = InvalidRequestError("no such payment", field="f", rule="r")
    assert (await receive(asked, back(**POSTED))).status == 404


@pytest.mark.parametrize("query", ["", "lang=bn", "vextrus_look=3", "vextrus_ref=1&vextrus_ref=2", "a=%FF"])
async def test_an_address_that_names_no_payment_is_not_gone_to(query: str) -> None:
    asked = keeper()
    asked.result = result(None, Unknown(payment_id="pay_1", operation_id="o"))
    reply = await receive(asked, back(query, form=POSTED["form"]))
    assert reply.status in (200, 400) and header(reply, "location") is None


@pytest.mark.parametrize(("query", "form", "wanted"), [
    ("a=1&a=1", None, {"a": "1"}),
    ("a=1&a=2", None, {}),
    ("a=1&a=2&a=1", None, {}),
    ("a=1&a=2&b=3", None, {"b": "3"}),
    ("a=1", b"a=2", {}),
    ("a=1", b"a=1", {"a": "1"}),
    ("a=&b", None, {"a": "", "b": ""}),
    ("a=%E0%A6%95", None, {"a": "ক"}),
    ("a;b=1", None, {"a;b": "1"}),
    ("", None, {}),
])  # fmt: skip
async def test_what_is_said_twice_and_differently_is_not_said(
    query: str, form: bytes | None, wanted: dict[str, str]
) -> None:
    asked = keeper()
    await receive(asked, back(query, form=form))
    assert asked.returns[0][2] == wanted


@pytest.mark.parametrize(("query", "form"), [
    ("a=%FF", None), ("a=" + "x" * 3_000, None), ("n" * 200 + "=1", None), ("x" * 9_000, None),
    ("&".join(f"a{n}=1" for n in range(65)), None), ("", b"\xff\xfe"), ("", b"a=1&" * 20_000), ("a=%00", None),
])  # fmt: skip
async def test_what_no_payment_page_sends_is_not_handed_on(query: str, form: bytes | None) -> None:
    asked = keeper()
    reply = await receive(asked, back(query, form=form))
    assert reply.status == 400 and b"<h1>" in reply.body
    assert asked.returns == []


async def test_a_cancelled_request_is_cancelled() -> None:
    asked = keeper()
    asked.before_return = asyncio.Event().wait
    task = asyncio.ensure_future(receive(asked, back()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("header_", "wanted"), [
    (None, "en"), ("", "en"), ("bn", "bn"), ("bn-BD", "bn"), ("en-US,en;q=0.9,bn;q=0.8", "en"),
    ("bn-BD,bn;q=0.9,en-US;q=0.8", "bn"), ("en;q=0.5, bn;q=0.6", "bn"), ("fr, bn;q=0.1", "bn"), ("fr", "en"),
    ("bn;q=0", "en"), ("*", "en"), ("BN", "bn"), ("bn;q=nan", "en"), ("bn;q=1e9", "en"), (", ,bn", "bn"),
    ("x" * 100_000 + ",bn", "en"), ("bn;q=0.001,en;q=0.002", "en"),
])  # fmt: skip
def test_the_language_is_the_browsers(header_: str | None, wanted: str) -> None:
    assert locale_of(header_) == wanted


def test_the_query_of_a_link_is_read_as_it_was_written() -> None:
    """What a page's own link asks for is what it was asked for."""
    asked: ScriptedKeeper = keeper()
    asked.result = result(None, Unknown(payment_id="pay_1", operation_id="o"))
    reply = asyncio.run(receive(asked, back("a=%26%3D%23%22&b=%E0%A6%95+x")))
    target = (header(reply, "refresh") or "").partition("url=")[2]
    again = parse_qs(urlsplit(target).query)
    assert again == {"a": ['&=#"'], "b": ["ক x"], "vextrus_look": ["1"]}
