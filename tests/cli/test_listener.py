"""The return door of the command line: one page, on loopback, for browsers only."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest

from vextrus_payments.cli import listener
from vextrus_payments.cli.listener import Page, ReturnListener
from vextrus_payments.errors import ConfigurationError

POST = b"POST /bkash/return HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"


class Door:
    """Takes down who came, and answers as told."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, str]]] = []
        self.answer: Page | Exception = Page("Thank <you>", "a & b")

    async def on_return(self, gateway: str, params: Mapping[str, str]) -> Page:
        self.came.append((gateway, dict(params)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def _get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url)


async def _raw(url: str, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(sent)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_a_browser_comes_back() -> None:
    door = Door()
    async with ReturnListener(door.on_return) as listening:
        assert listening.url.startswith("http://127.0.0.1:")
        page = await _get(f"{listening.url}/bkash/return?paymentID=TR1&status=success&empty=&x=%E0%A6%95")
    assert door.came == [("bkash", {"paymentID": "TR1", "status": "success", "empty": "", "x": "ক"})]
    assert page.status_code == 200
    assert "Thank &lt;you&gt;" in page.text
    assert "a &amp; b" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_a_tunnel_may_lead_here_below_a_path() -> None:
    door = Door()
    async with ReturnListener(door.on_return) as listening:
        await _get(f"{listening.url}/payments/bkash/return?a=1")
        await _get(f"{listening.url}/payments/bkash/return/?a=2")
    assert door.came == [("bkash", {"a": "1"}), ("bkash", {"a": "2"})]


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/return", "/bkash", "/bkash/return//", "/bkash/webhook"]
)
async def test_there_is_nothing_else(path: str) -> None:
    door = Door()
    async with ReturnListener(door.on_return) as listening:
        assert (await _get(listening.url + path)).status_code == 404
    assert door.came == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"PUT /bkash/return HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (b"POST /bkash/return HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"POST /bkash/return HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1", b"400"),
        (POST + b"Content-Length: -3\r\n\r\na=1", b"400"),
        (POST + b"Content-Length: 99999\r\n\r\na=1", b"400"),
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\na=1", b"400"),
        (POST + b"Content-Length: 2\r\n\r\n\xff\xfe", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /bkash/return\r\n\r\n", b"400"),
        (b"GET //[/return HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /bkash/return?" + b"a=1&" * 70 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"\xff\xfe / HTTP/1.1\r\n\r\n", b"404"),
    ],
)
async def test_what_no_browser_sends(sent: bytes, status: bytes) -> None:
    door = Door()
    async with ReturnListener(door.on_return) as listening:
        answer = await _raw(listening.url, sent)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert door.came == []


async def test_a_form_that_a_browser_posts_is_read_with_its_address() -> None:
    door = Door()
    async with ReturnListener(door.on_return) as listening, httpx.AsyncClient(trust_env=False) as browser:
        address = f"{listening.url}/sslcommerz/return?vextrus_ref=R1"
        page = await browser.post(address, data={"tran_id": "T 1", "status": "VALID"})
        twice = await browser.post(address, data={"vextrus_ref": "R2"})
    assert (page.status_code, twice.status_code) == (200, 200)
    assert door.came == [
        ("sslcommerz", {"vextrus_ref": "R1", "tran_id": "T 1", "status": "VALID"}),
        ("sslcommerz", {}),  # what is said twice, and differently, is not said
    ]


async def test_half_a_form_is_waited_for_and_then_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_READ_TIMEOUT_S", 0.05)
    door = Door()
    async with ReturnListener(door.on_return) as listening:
        assert await _raw(listening.url, POST + b"Content-Length: 9\r\n\r\na=1") == b""
    assert door.came == []


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\n" + b"x" * 40_000])
async def test_what_is_no_request_gets_nothing_and_harms_nothing(sent: bytes) -> None:
    door = Door()
    async with ReturnListener(door.on_return) as listening:
        assert await _raw(listening.url, sent) == b""
        assert (await _get(f"{listening.url}/bkash/return")).status_code == 200


async def test_a_failure_behind_it_is_no_page_for_the_payer() -> None:
    door = Door()
    door.answer = RuntimeError("canary-secret")
    async with ReturnListener(door.on_return) as listening:
        page = await _get(f"{listening.url}/bkash/return")
    assert page.status_code == 500
    assert "canary-secret" not in page.text


async def test_a_slow_one_does_not_hold_up_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_READ_TIMEOUT_S", 3600)
    async with ReturnListener(Door().on_return) as listening:
        _, writer = await asyncio.open_connection("127.0.0.1", int(listening.url.rpartition(":")[2]))
        writer.write(b"GET /bk")
        await writer.drain()
        await asyncio.sleep(0)
    writer.close()


async def test_one_that_sends_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_READ_TIMEOUT_S", 0.01)
    async with ReturnListener(Door().on_return) as listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(listening.url.rpartition(":")[2]))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_more_than_it_holds_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_MAX_CONNECTIONS", 1)
    async with ReturnListener(Door().on_return) as listening:
        port = int(listening.url.rpartition(":")[2])
        _, first = await asyncio.open_connection("127.0.0.1", port)
        first.write(b"GET")
        await first.drain()
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        first.close()
        second.close()


async def test_a_taken_port_says_which() -> None:
    async with ReturnListener(Door().on_return) as listening:
        port = int(listening.url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"cannot use port {port} of 127.0.0.1: ") as found:
            async with ReturnListener(Door().on_return, port=port):
                pass
        assert found.value.__context__ is None
