"""Server-sent events on a real socket: told at once, taken up again, bounded, and over when the server stops."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.sandbox.shop import Shop
from vextrus_payments_sandbox import SandboxServer, feed

WAIT_S = 10.0


class Listener:
    """One connection to the events, read event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def block(self) -> dict[str, str]:
        """The fields up to the next empty line; a comment under the name ``""``."""
        found: dict[str, str] = {}
        async with asyncio.timeout(WAIT_S):
            async for line in self._lines:
                if not line:
                    if found:
                        return found
                    continue
                name, _, value = line.partition(":")
                found[name] = value.strip()
        raise EOFError

    async def entry(self, **wanted: Any) -> dict[str, Any]:
        """The next event of an entry that has all this."""
        while True:
            block = await self.block()
            data: dict[str, Any] = json.loads(block.get("data") or "{}")
            if block.get("event") == "entry" and wanted.items() <= data.items():
                assert block["id"] == str(data["told"])
                return data


@pytest.fixture
async def server() -> AsyncIterator[SandboxServer]:
    async with SandboxServer(seed=1) as server:
        yield server


@pytest.fixture
async def http(server: SandboxServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=WAIT_S) as http:
        yield http


def listening(http: httpx.AsyncClient, query: str = "", **headers: str) -> Any:
    return http.stream("GET", f"/_sandbox/events{query}", headers=headers)


async def gone(server: SandboxServer) -> None:
    """Wait until the server has noticed that nobody listens."""
    async with asyncio.timeout(WAIT_S):
        while server.world.record._waiting:
            await asyncio.sleep(0.01)


async def test_a_payment_is_told_while_it_happens(server: SandboxServer, http: httpx.AsyncClient) -> None:
    shop = await Shop(http).open()
    async with listening(http) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store" and "content-length" not in answer.headers
        listener = Listener(answer)
        assert (await listener.block())["retry"] == "2000"
        payment_id = (await shop.create("10"))["paymentID"]
        made = await listener.entry(title="create: 200")
        assert made["reference"] == payment_id and made["kind"] == "call" and made["gateway"] == "bkash"
        assert made["detail"]["status"] == 200 and not {"request", "answer"} & set(made["detail"])
        await shop.approve(payment_id)
        assert (await listener.entry(kind="page"))["reference"] == payment_id
        await shop.execute(payment_id)
        assert (await listener.entry(kind="money"))["detail"]["amount"] == "10.00"
    await gone(server)


async def test_a_browser_comes_back_and_misses_nothing(
    server: SandboxServer, http: httpx.AsyncClient
) -> None:
    shop = await Shop(http).open()
    async with listening(http) as answer:
        seen = (await Listener(answer).block())["id"]
    payment_id = (await shop.create("10"))["paymentID"]
    for more in ({"query": f"?after={seen}"}, {"Last-Event-ID": seen}):
        async with listening(http, **more) as answer:
            assert (await Listener(answer).entry(title="create: 200"))["reference"] == payment_id
    async with listening(http, "?after=0", **{"Last-Event-ID": str(server.world.record.told)}) as answer:
        listener = Listener(answer)  # the header is the newer one: a browser repeats the address it was given
        await listener.block()
        await http.post("/_sandbox/clock", json={"advance_s": 1})
        assert (await listener.entry(kind="admin"))["title"] == "The clock was moved"


async def test_who_comes_from_another_life_is_told_to_read_again(
    server: SandboxServer, http: httpx.AsyncClient
) -> None:
    await Shop(http).open()
    async with listening(http, "?after=999999") as answer:
        listener = Listener(answer)
        blocks = [await listener.block() for _ in range(2)]
        assert blocks[1]["event"] == "missed"
        await http.post("/_sandbox/reset")
        assert (await listener.entry(kind="admin"))["title"] == "The sandbox started over"


@pytest.mark.parametrize("wrong", ["x", "-1", "1.5", "9" * 40, "１"])
async def test_a_wrong_number_is_refused(http: httpx.AsyncClient, wrong: str) -> None:
    answer = await http.get("/_sandbox/events", params={"after": wrong})
    assert answer.status_code == 400 and answer.json()["error"]


async def test_a_foreign_page_cannot_listen(http: httpx.AsyncClient) -> None:
    answer = await http.get("/_sandbox/events", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


async def test_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT_S", 0.02)
    async with (
        SandboxServer(seed=1) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
        listening(http) as answer,
    ):
        listener = Listener(answer)
        await listener.block()
        assert await listener.block() == {"": "still here"}
        assert await listener.block() == {"": "still here"}


async def test_only_so_many_listen_and_a_place_becomes_free(
    monkeypatch: pytest.MonkeyPatch, server: SandboxServer, http: httpx.AsyncClient
) -> None:
    monkeypatch.setattr(feed, "LISTENERS_MAX", 2)
    async with listening(http) as first, listening(http) as second:
        listeners = [Listener(first), Listener(second)]
        for listener in listeners:
            await listener.block()
        refused = await http.get("/_sandbox/events")
        assert refused.status_code == 503 and refused.headers["retry-after"] == "5"
    await gone(server)
    async with listening(http) as third:
        assert third.status_code == 200
        assert await Listener(third).block()


async def test_the_stop_ends_every_listener() -> None:
    server = SandboxServer(seed=1)
    await server.__aenter__()
    async with (
        httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=WAIT_S) as http,
        listening(http) as first,
        listening(http) as second,
    ):
        listeners = [Listener(first), Listener(second)]
        for listener in listeners:
            await listener.block()
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        for listener in listeners:
            with pytest.raises(EOFError):  # ended as an answer ends, not cut
                await listener.block()
        async with asyncio.timeout(WAIT_S):
            await stopping


async def test_what_was_missed_is_said_once(
    monkeypatch: pytest.MonkeyPatch, server: SandboxServer, http: httpx.AsyncClient
) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT_S", 0.02)
    server.world.record.add("call", "bkash", "A", "t", status=200)
    server.world.record.clear()
    async with listening(http, "?after=0") as answer:
        listener = Listener(answer)
        blocks = [await listener.block() for _ in range(4)]
        assert [block.get("event", "") for block in blocks] == ["", "missed", "", ""]


async def test_who_has_much_to_catch_up_on_gets_all_of_it_in_order(
    server: SandboxServer, http: httpx.AsyncClient
) -> None:
    for index in range(1_000):
        server.world.record.add("call", "bkash", "A", f"{index}", status=200)
    async with listening(http, "?after=0") as answer:
        listener = Listener(answer)
        assert [(await listener.entry())["title"] for _ in range(1_000)] == [
            f"{index}" for index in range(1_000)
        ]


async def test_who_asks_only_for_the_head_is_not_kept_waiting(http: httpx.AsyncClient) -> None:
    answer = await http.head("/_sandbox/events")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")


async def test_what_an_entry_holds_cannot_make_an_event(
    server: SandboxServer, http: httpx.AsyncClient
) -> None:
    async with listening(http) as answer:
        listener = Listener(answer)
        await listener.block()
        hostile = 'A\nevent: entry\ndata: {}\n\r\n\x00  "<script>'
        server.world.record.add("call", "bkash", hostile, hostile, status=None)
        entry = await listener.entry(kind="call")
        assert entry["title"] == hostile and entry["reference"] == hostile
