"""The dashboard's pages: what they show, that each is whole without script, and that nothing foreign gets out."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.dashboard_page import look, press
from tests.sandbox.shop import CUSTOMER, FakeClock, Shop
from vextrus_payments_sandbox.dashboard import reading
from vextrus_payments_sandbox.dashboard.frame import ROWS, TOLD
from vextrus_payments_sandbox.world import SandboxGateway, World

PAGES = ("/", "/wallets", "/wire", "/faults", "/manners", "/webhooks", "/start")
HOSTILE = "\"'}}{{7*7}}${7*7};alert(1)//\u202e"
MARKUP = "<script>alert('1')</script><b id=pulse onmouseover=alert(1)>"


def path_of(reference: str) -> str:
    return f"/payments/bkash/{quote(reference, safe='')}"


# ------------------------------------------------------------------------------------------------ empty states


@pytest.mark.parametrize("path", PAGES)
async def test_a_fresh_sandbox_shows_every_page(shop: Shop, path: str) -> None:
    page = await look(shop.http, path)
    assert {"/", "/wallets", "/wire", "/faults", "/manners", "/webhooks", "/start"} <= set(page.links)


async def test_what_is_empty_says_what_to_do_next(app: Starlette) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        first, wire = await look(http, "/"), await look(http, "/wire")
        for page in (first, wire):
            for words in (
                "Python",
                "curl",
                "Node",
                "PHP",
                "http://127.0.0.1:28600/v1.2.0-beta",
                "680000000000001",
            ):
                assert words in page.text
        assert "No payments yet" in first.text and "No calls yet" in wire.text
        assert "Nobody is told" in (await look(http, "/webhooks")).text
        assert "Nothing to object to" in (await look(http, "/manners")).text
        assert "/_sandbox/faults" in (await look(http, "/faults")).text


async def test_the_examples_name_the_address_under_which_the_sandbox_was_asked(app: Starlette) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:4711") as http:
        text = (await look(http, "/")).text
        assert "http://localhost:4711/v1.2.0-beta" in text and "127.0.0.1:28600" not in text


# ------------------------------------------------------------------------------------------------ the list


async def test_the_list_has_the_newest_payment_first(shop: Shop, clock: FakeClock) -> None:
    await shop.paid("1499.50", merchantInvoiceNumber="INV-OLD")
    clock.step(minutes=3)
    await shop.create("20", merchantInvoiceNumber="INV-NEW")
    page = await look(shop.http, "/")
    assert page.text.index("INV-NEW") < page.text.index("INV-OLD")
    for words in ("1,499.50", "Completed", "Initiated", "3 min", "just now", "2 payments in all", "bkash"):
        assert words in page.text
    assert page.live == ["payments"]


async def test_refunds_and_totals_are_shown(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("2000")
    await shop.refund(payment_id, trx_id, "500.50")
    page = await look(shop.http, "/")
    assert "500.50" in page.text and trx_id in page.text
    assert "Received: 2,000.00 BDT, given back: 500.50 BDT" in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"INV-A", "INV-B"}),
        ("gateway=bkash", {"INV-A", "INV-B"}),
        ("gateway=nagad", set()),
        ("gateway=nobody", set()),
        ("state=Completed", {"INV-A"}),
        ("state=Initiated", {"INV-B"}),
        ("text=inv-b", {"INV-B"}),
        ("text=%00", set()),
        ("text=INV-A&state=Completed&gateway=bkash", {"INV-A"}),
        ("before=nonsense", {"INV-A", "INV-B"}),
        ("before=-1", {"INV-A", "INV-B"}),
        ("before=2", {"INV-A"}),
        ("before=1", set()),
        ("before=999999999999999", {"INV-A", "INV-B"}),
    ],
)
async def test_filters(shop: Shop, query: str, found: set[str]) -> None:
    await shop.paid("10", merchantInvoiceNumber="INV-A")
    await shop.create("20", merchantInvoiceNumber="INV-B")
    page = await look(shop.http, f"/?{query}")
    assert {name for name in ("INV-A", "INV-B") if name in page.text.split("Age")[-1]} == found
    if not found:
        assert ("No older payments" if query == "before=1" else "fits these filters") in page.text
        assert "Show all payments" in page.text


async def test_the_list_is_paged_and_keeps_its_filter(shop: Shop) -> None:
    for index in range(ROWS + 3):
        await shop.create("10", merchantInvoiceNumber=f"INV-{index:03d}")
    first = await look(shop.http, "/?gateway=bkash")
    assert first.tags.count("tr") == ROWS + 1 and "INV-052" in first.text and "INV-002" not in first.text
    older = next(link for link in first.links if "before=" in link)
    assert "gateway=bkash" in older
    second = await look(shop.http, older)
    assert second.tags.count("tr") == 4 and "INV-002" in second.text and "INV-003" not in second.text
    assert "/?gateway=bkash" in second.links and not any("before=" in link for link in second.links)


class Counting:
    """A gateway that counts how many payments were looked at one by one, and refuses to list them all."""

    def __init__(self, inner: SandboxGateway) -> None:
        self.inner = inner
        self.asked = 0

    def row(self, handle: str) -> Any:
        self.asked += 1
        return self.inner.row(handle)

    def rows(self) -> Any:
        raise AssertionError("the dashboard never goes through all payments")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_no_page_goes_through_all_payments(shop: Shop, app: Starlette) -> None:
    payment_id, _ = await shop.paid("10")
    for _ in range(3 * ROWS):
        await shop.create("10")
    world: World = app.state.world
    counting = Counting(world.gateways["bkash"])
    world.gateways["bkash"] = counting  # type: ignore[assignment]
    for path in (*PAGES, path_of(payment_id)):
        counting.asked = 0
        await look(shop.http, path)
        assert counting.asked <= ROWS


# --------------------------------------------------------------------------------------------- one payment


async def test_a_payment_s_page_tells_its_whole_story(shop: Shop) -> None:
    created = await shop.create("700", merchantInvoiceNumber="INV-8812")
    payment_id = created["paymentID"]
    await shop.approve(payment_id)
    trx_id = (await shop.execute(payment_id))["trxID"]
    await shop.refund_v2(payment_id, trx_id, "200.25")
    await shop.query(payment_id)
    page = await look(shop.http, path_of(payment_id))
    told = page.text[page.text.index("What happened") :]
    places = [
        told.index(word) for word in ("create", "Wallet number", "Code: right", "PIN: right", "execute")
    ]
    assert places == sorted(places)
    assert (
        told.index("execute")
        < told.index("debit: 700.00")
        < told.index("refund: 200.25")
        < told.index("query")
    )
    for words in (payment_id, trx_id, "INV-8812", "wallet:01770618575", "merchant:bkash", "money moved"):
        assert words in page.text
    assert '"merchantInvoiceNumber": "INV-8812"' in page.text  # the request's body, set out in lines
    for secret in (CUSTOMER["otp"], CUSTOMER["pin"], "sandboxAppKey", shop.token[:40], "sandbox@Password"):
        assert secret not in page.text
    assert page.live == ["facts", "hand", "timeline"]


async def test_a_lost_answer_is_shown_as_lost_and_as_what_it_was(shop: Shop) -> None:
    payment_id = await shop.approved("30")
    with pytest.raises(httpx.HTTPError):
        await shop.execute(payment_id, **{"X-Sandbox-Fault": "drop_after"})
    text = (await look(shop.http, path_of(payment_id))).text
    for words in ("no answer", "drop_after", "money moved", "Answer that never left", '"trxID"'):
        assert words in text


async def test_a_transaction_id_leads_to_its_payment(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("10")
    answer = await shop.http.get(path_of(trx_id))
    assert answer.status_code == 303 and answer.headers["location"] == path_of(payment_id)


@pytest.mark.parametrize(
    "path", ["/payments/bkash/TR0011nothing", "/payments/nobody/x", "/payments/bkash/a/b%2Fc"]
)
async def test_a_payment_that_is_not_there_is_said_so(shop: Shop, path: str) -> None:
    assert "No such payment" in (await look(shop.http, path, 404)).text


async def test_a_reference_that_is_no_payment_s_still_shows_what_named_it(shop: Shop) -> None:
    await shop.query("TR0011nothing")
    page = await look(shop.http, "/payments/bkash/TR0011nothing", 404)
    assert "No such payment" in page.text and "query" in page.text and "2002" in page.text


async def test_books_and_gateway_that_disagree_are_shown(shop: Shop, app: Starlette) -> None:
    payment_id, _ = await shop.paid("10")
    world: World = app.state.world
    world.books.move(
        world.now(),
        gateway="bkash",
        kind="debit",
        source="wallet:01770618575",
        target="merchant:bkash",
        amount_minor=100,
        reference=payment_id,
        transaction_id="",
    )
    text = (await look(shop.http, path_of(payment_id))).text
    assert "received 11.00 by the books, 10.00 by the gateway" in text


async def test_a_long_story_is_cut_at_its_beginning(shop: Shop) -> None:
    payment_id = (await shop.create("10"))["paymentID"]
    for _ in range(105):
        await shop.query(payment_id)
    page = await look(shop.http, path_of(payment_id))
    assert "6 earlier entries are left out" in page.text and page.tags.count("li") < 115


@pytest.mark.parametrize(
    ("how", "offered"),
    [
        ("new", {"success", "cancel", "failure"}),
        ("verified", set()),
        ("held", {"capture", "void"}),
        ("paid", {"refund"}),
        ("refunded", set()),
        ("cancelled", set()),
    ],
)
async def test_only_what_can_be_done_is_offered(shop: Shop, how: str, offered: set[str]) -> None:
    intent = "authorization" if how == "held" else "sale"
    payment_id = (await shop.create("10", intent=intent))["paymentID"]
    if how == "cancelled":
        await shop.approve(payment_id, "cancel")
    elif how != "new":
        await shop.approve(payment_id)
    if how in ("held", "paid", "refunded"):
        trx_id = (await shop.execute(payment_id))["trxID"]
        if how == "refunded":
            await shop.refund(payment_id, trx_id, "10")
    page = await look(shop.http, path_of(payment_id))
    assert {value for form in page.forms for name, value in form.buttons if name == "act"} == offered
    assert ("your shop's turn" in page.text) == (how == "verified")
    if how == "new":
        link = next(link for link in page.links if "paymentId=" in link)
        assert "Sandbox: not real money" in (await shop.http.get(link)).text


async def test_nagad_payments_have_pages_too(shop: Shop, app: Starlette) -> None:
    from vextrus_payments_sandbox.dashboard.snippets import snippets

    world: World = app.state.world
    assert [one.language for one in snippets(world.gateways["nagad"], "http://127.0.0.1:1")] == [
        "Python",
        "curl",
        "Node",
        "PHP",
    ]


async def test_no_gateway_heads_an_empty_list_of_examples(shop: Shop) -> None:
    for path in ("/", "/start"):
        found = re.findall(
            r'<section class="kit">\s*<h3>(\w+)</h3>\s*(<[^>]+>)', (await shop.http.get(path)).text
        )
        assert {name for name, _ in found} == {"bkash", "nagad", "sslcommerz"}
        assert all(first.startswith("<details") for _, first in found)


async def test_merchants_and_what_they_have_received_are_shown(shop: Shop, app: Starlette) -> None:
    payment_id, trx_id = await shop.paid("1000")
    await shop.refund(payment_id, trx_id, "0.50")
    world: World = app.state.world
    world.gateways["bkash"].admit("SecondShop")
    wallets, start = await look(shop.http, "/wallets"), await look(shop.http, "/start")
    assert "999.50" in wallets.text and "SecondShop" in wallets.text and "99,999,000.50" in wallets.text
    facts = world.gateways["bkash"].merchants_at("http://127.0.0.1:28600")[1].facts
    assert "Merchant SecondShop" in start.text and all(value in start.text for value in facts.values())


# -------------------------------------------------------------------------------------------- the wire log


async def test_the_wire_log_and_its_filters(shop: Shop) -> None:
    payment_id, _ = await shop.paid("10", merchantInvoiceNumber="INV-W")
    await shop.query("TR0011nothing")
    with pytest.raises(httpx.HTTPError):
        await shop.execute(payment_id, **{"X-Sandbox-Fault": "drop_before"})
    rows = (await look(shop.http, "/wire")).text
    for words in ("grant", "create", "execute", "query", "INV-W", "money moved", "drop_before", "no answer"):
        assert words in rows
    for query, there, absent in (
        ("operation=create", "/create", "/execute"),
        ("status=none", "drop_before", "/create"),
        ("text=TR0011nothing", "/payment/status", "/create"),
        ("gateway=nagad", "Nothing fits", "/create"),
        ("kind=money", "debit: 10.00", "/create"),
        ("kind=page", "PIN: right", "/create"),
        ("kind=all", "PIN: right", "nothing fits"),
        ("kind=nonsense", "Nothing fits", "/create"),
    ):
        text = (await look(shop.http, f"/wire?{query}")).text
        assert there in text and absent not in text, query


async def test_the_wire_log_is_paged(shop: Shop) -> None:
    for _ in range(ROWS + 5):
        await shop.query("TR0011nothing")
    first = await look(shop.http, "/wire?operation=query")
    older = next(link for link in first.links if "before=" in link)
    second = await look(shop.http, older)
    assert first.tags.count("tr") == ROWS + 1 and second.tags.count("tr") == 6
    assert "/wire?kind=call&operation=query" in second.links


async def test_an_entry_shows_request_and_answer_without_secrets(shop: Shop) -> None:
    page = await look(shop.http, "/wire?operation=grant")
    entry = await look(shop.http, next(link for link in page.links if link.startswith("/wire/")))
    assert "POST /v1.2.0-beta/tokenized/checkout/token/grant" in entry.text and "Answer" in entry.text
    for secret in (shop.token[:30], "sandboxAppSecret", "sandbox@Password"):
        assert secret not in entry.text
    assert "No such entry" in (await look(shop.http, "/wire/999999", 404)).text


# --------------------------------------------------------------------------------------- manners, webhooks


async def test_missed_manners_and_grants_are_shown(shop: Shop) -> None:
    payment_id, _ = await shop.paid("10", merchantInvoiceNumber="INV-RUDE")
    await shop.query(payment_id)
    await shop.grant()
    await shop.grant()
    text = (await look(shop.http, "/manners")).text
    assert "query after execute had answered" in text and "INV-RUDE" in text
    assert "granted" in text and "over two an hour" in text


async def test_what_is_owed_after_a_lost_answer_is_shown(shop: Shop) -> None:
    payment_id = await shop.approved("30", merchantInvoiceNumber="INV-OWED")
    with pytest.raises(httpx.HTTPError):
        await shop.execute(payment_id, **{"X-Sandbox-Fault": "drop_after"})
    page = await look(shop.http, "/manners")
    assert "Still to be done" in page.text and "INV-OWED" in page.text
    assert "`" not in page.text and "code" in page.tags  # words in back quotes are code


# --------------------------------------------------------------------------------------------- hostile texts


async def test_no_text_of_a_caller_becomes_markup(shop: Shop) -> None:
    payment_id, _ = await shop.paid("10", merchantInvoiceNumber=HOSTILE, payerReference=HOSTILE)
    for reference in (
        MARKUP,
        HOSTILE,
        "..",
        ".",
        "a/../../wallets",
        "\x00",
        "x" * 5000,
        "javascript:alert(1)",
    ):
        await shop.query(reference)
    await shop.http.get(f"/v1.2.0-beta/{quote(MARKUP)}?{quote(MARKUP)}")
    await shop.http.post("/_sandbox/approve", json={"reference": MARKUP})
    plain = {path: (await look(shop.http, path)).tags for path in ("/wallets", "/faults", "/start")}
    for path in (*PAGES, path_of(payment_id), "/wire?kind=all", path_of(MARKUP), path_of(HOSTILE)):
        status = 404 if path in (path_of(MARKUP), path_of(HOSTILE)) else 200
        page = await look(shop.http, path, status)
        assert page.tags.count("script") == 1 and "b" not in page.tags
        if path in plain:
            assert page.tags == plain[path]
        for link in page.links:
            parts = urlsplit(urljoin("http://127.0.0.1:28600/", link))
            assert parts.scheme == "http" and parts.hostname == "127.0.0.1", link
    wire = await look(shop.http, "/wire")
    assert MARKUP[:40] in wire.text and HOSTILE in wire.text


@pytest.mark.parametrize(
    "name", ["gateway", "state", "text", "before", "kind", "operation", "status", "told"]
)
async def test_no_parameter_becomes_markup(shop: Shop, name: str) -> None:
    await shop.create()
    for path in PAGES:
        plain = (await look(shop.http, f"{path}?{name}=zzz")).tags
        for hostile in (MARKUP, HOSTILE):
            page = await look(shop.http, f"{path}?{name}={quote(hostile)}")
            assert page.tags == plain
            if name == "told":
                assert hostile not in page.text


async def test_a_broken_query_breaks_no_page(shop: Shop) -> None:
    for path in PAGES:
        for query in ("text=%ff%fe", "text=%ed%a0%80", "a=b&a=c&text", "told=reset&told=%00", "=&&&="):
            await look(shop.http, f"{path}?{query}")


async def test_references_that_a_browser_would_take_for_folders_are_no_links(shop: Shop) -> None:
    for reference in ("..", "."):
        await shop.query(reference)
    page = await look(shop.http, "/wire")
    assert not [link for link in page.links if link.startswith("/payments/")]


@pytest.mark.parametrize(
    "reference", ["a?b=c", "a#b", "a%2Fb", "a/b/../c", "//evil.example/x", "ক é", "a&b;c"]
)
async def test_a_link_names_its_payment_whatever_that_is_called(shop: Shop, reference: str) -> None:
    await shop.query(reference)
    page = await look(shop.http, "/wire?operation=query")
    (link,) = [link for link in page.links if link.startswith("/payments/")]
    told = (await look(shop.http, link, 404)).text
    assert f"bkash has no payment with the reference {reference}." in told and "But it was named" in told


async def test_every_link_leads_somewhere(shop: Shop) -> None:
    await shop.create(merchantInvoiceNumber="a/b?c#d%20 e")
    await shop.paid("20")
    seen, ahead = set(), {*PAGES}
    while ahead - seen:
        path = sorted(ahead - seen)[0]
        seen.add(path)
        answer = await shop.http.get(path)
        assert answer.status_code in (200, 303), path
        if answer.headers.get("content-type", "").startswith("text/html") and "/live.js" in answer.text:
            links = (await look(shop.http, path)).links
            ahead |= {link for link in links if link.startswith("/") and "paymentId" not in link}
    assert len(seen) > 15


# ------------------------------------------------------------------------------------------------ the script


async def test_the_script_is_served_as_one_and_only_the_dashboard_may_run_it(shop: Shop) -> None:
    script = await shop.http.get("/_sandbox/live.js")
    assert script.headers["content-type"].startswith("text/javascript")
    for forbidden in ("innerHTML =", "eval(", "document.write", "insertAdjacentHTML", "http://", "https://"):
        assert forbidden not in script.text
    checkout = (await shop.create())["bkashURL"]
    assert "script-src" not in (await shop.http.get(checkout)).headers["content-security-policy"]


async def test_a_page_listens_to_its_own_payment_only(shop: Shop) -> None:
    payment_id, _ = await shop.paid("10")
    text = (await shop.http.get(path_of(payment_id))).text
    assert f'data-events="/_sandbox/events" data-gateway="bkash" data-reference="{payment_id}"' in text
    assert 'data-gateway="" data-reference=""' in (await shop.http.get("/")).text
    assert "data-events" not in (await shop.http.get("/start")).text


# --------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (0.9, "just now"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (2 * 86_400 - 1, "47 h"),
        (2 * 86_400, "2 d"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    then = datetime(2026, 1, 31, tzinfo=UTC)
    assert reading.age(then, then + timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("paisa", "text"),
    [(0, "0.00"), (99_999, "999.99"), (100_000, "1,000.00"), (123456789012, "1,234,567,890.12")],
)
def test_money_is_exact_and_readable(paisa: int, text: str) -> None:
    assert reading.money(paisa) == text


@pytest.mark.parametrize(
    "body",
    [
        '{"amount":100.00,"big":123456789012345678901234567890,"e":1E5}',
        '{"a":{},"b":[],"c":[1,{"d":"x\\"{}[],:\\u00e9"}],"e":null,"f":true}',
        "[]",
        '[{"a":"ক"}]',
    ],
)
def test_json_is_set_out_as_it_was_written(body: str) -> None:
    shown = reading.pretty(body)
    assert json.loads(shown) == json.loads(body)
    assert "".join(shown.split()) == "".join(body.split())
    assert reading.pretty(shown) == shown


@pytest.mark.parametrize("body", ["", "a=b", '{"cut":"of', "{" * 100_000, "[NaN", '{"a":1} [... 50 more]'])
def test_what_is_no_json_stays_as_it_is(body: str) -> None:
    assert reading.pretty(body) == body


def test_numbers_of_the_body_are_indented() -> None:
    assert reading.pretty('{"a":1.50,"b":[2]}') == '{\n  "a": 1.50,\n  "b": [\n    2\n  ]\n}'


async def test_what_a_page_tells_after_a_form_is_one_of_ours(shop: Shop) -> None:
    assert TOLD["reset"] in (await look(shop.http, "/start?told=reset")).text
    assert "You won" not in (await look(shop.http, "/start?told=You+won")).text


async def test_simultaneous_reads_disturb_nothing(shop: Shop) -> None:
    await shop.paid("10")
    await asyncio.gather(*(look(shop.http, path) for path in PAGES * 3))
    assert (await press(shop.http, "/start", "/reset", sure="yes")).status_code == 303


async def test_a_fault_of_some_gateways_is_said_to_be_theirs(shop: Shop) -> None:
    page = (await shop.http.get("/faults")).text
    assert "random_nonce (nagad)" in page and "(&#39;" not in page and "('" not in page
