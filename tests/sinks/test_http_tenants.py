"""Many tenants behind one HttpSink: one whose endpoint swallows everything keeps nobody else waiting."""

import asyncio
from typing import Any

import pytest

from tests.flows.queue_world import fill
from tests.flows.test_outbox_lanes import World, virtual
from tests.sinks.entries import entry, row
from tests.sinks.test_http import NEW
from vextrus_payments.errors import AnswerTimeoutError, DeliveryError
from vextrus_payments.sinks import HttpEndpoint, HttpSink
from vextrus_payments.testing import FakeClock
from vextrus_payments.wire import Safety, WireRequest, WireResponse


class Net:
    """Answers 204 at once, but for hosts that swallow what they get."""

    def __init__(self, *swallowing: str) -> None:
        self.swallowing = set(swallowing)
        self.posted: list[tuple[float, str]] = []

    async def send(self, request: WireRequest, *, safety: Safety, timeout_s: float, **_: Any) -> WireResponse:
        host = request.url.split("/")[2]
        self.posted.append((asyncio.get_running_loop().time(), host))
        if host in self.swallowing:
            await asyncio.sleep(timeout_s)
            raise AnswerTimeoutError("No answer.")
        return WireResponse(204, {}, b"")

    async def aclose(self) -> None:
        """Nothing to let go of."""


async def of_tenant(tenant: str) -> HttpEndpoint:
    return HttpEndpoint(f"https://{tenant}.example/", [NEW])


def test_an_endpoint_that_swallows_everything_keeps_no_other_tenant_waiting() -> None:
    async def play() -> None:
        world = await World.opened()
        sink = HttpSink(of_tenant, transport=Net("bad.example"), clock=world.clock)
        outbox = world.outbox(sink)  # type: ignore[arg-type]
        waited_s: list[float] = []
        async with world.running(outbox):
            for minute in range(12):
                for second in range(60):
                    await fill(world.store, [1, 1], tenant="bad", name=f"b{minute}-{second}-")
                    outbox.wake()
                    await asyncio.sleep(1)
                await fill(world.store, [1], tenant="good", name=f"g{minute}-")
                outbox.wake()
                begun = world.clock.monotonic()
                while not (await world.store.outbox_rows("good", [f"ent_g{minute}-0-1"]))[0].delivered_at:
                    await asyncio.sleep(0.1)
                    assert world.clock.monotonic() - begun < 60, f"in minute {minute}"
                waited_s.append(world.clock.monotonic() - begun)
        assert max(waited_s[1:]) < 20

    virtual(play())


async def test_it_rests_and_is_tried_by_one_row_and_then_by_all() -> None:
    clock, net = FakeClock(), Net("acme.example")
    sink = HttpSink(of_tenant, transport=net, clock=clock, timeout_s=0.001)

    async def codes(count: int) -> list[str]:
        ends = await asyncio.gather(
            *(sink.take_row(row(entry())) for _ in range(count)), return_exceptions=True
        )
        return [end.code if isinstance(end, DeliveryError) else "taken" for end in ends]

    assert await codes(3) == ["not_delivered"] * 3
    with pytest.raises(DeliveryError) as caught:
        await sink.take_row(row(entry()))
    assert (caught.value.code, caught.value.retry_after_s, len(net.posted)) == ("endpoint_rests", 30.0, 3)
    await sink.take_row(row(entry(tenant="other")))
    clock.advance(30)
    assert sorted(await codes(4)) == [*["endpoint_rests"] * 3, "not_delivered"]
    clock.advance(30)
    net.swallowing.clear()
    assert await codes(4) == ["taken"] * 4


async def test_a_probe_that_is_cut_off_leaves_its_place() -> None:
    clock, net = FakeClock(), Net("acme.example")
    sink = HttpSink(of_tenant, transport=net, clock=clock, timeout_s=0.001)
    for _ in range(3):
        with pytest.raises(DeliveryError):
            await sink.take_row(row(entry()))
    clock.advance(30)
    sink._timeout_s = 60
    probe = asyncio.create_task(sink.take_row(row(entry())))
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    probe.cancel()
    await asyncio.wait({probe})
    net.swallowing.clear()
    await sink.take_row(row(entry()))


async def test_the_one_endpoint_of_everybody_never_rests() -> None:
    net = Net("hooks.example")
    sink = HttpSink("https://hooks.example/", [NEW], transport=net, timeout_s=0.001)
    for _ in range(6):
        with pytest.raises(DeliveryError):
            await sink.take_row(row(entry()))
    assert len(net.posted) == 6
