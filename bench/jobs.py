"""What runs inside the measuring processes: each function is one job, made and measured in a process of its own."""

import asyncio
import os
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from bench.blocks import Samples, block, interleaved

Call = Callable[[], Awaitable[Any]]
Found = dict[str, Any]


def _told(samples: dict[str, Samples]) -> Found:
    return {name: {"cpu": one.cpu, "wall": one.wall} for name, one in samples.items()}


# ------------------------------------------------------------------------------------------- one task (P1, P4, P5)


def layers(url: str, rounds: int, level: int) -> Found:
    """P1, P5: the full call, our transport alone, bare httpx and the plain wrapper; log lines pass from `level` on
    (20: the two lines of a call are emitted, 30: they are filtered)."""
    return asyncio.run(_layers(url, rounds, level))


async def _layers(url: str, rounds: int, level: int) -> Found:
    from bench import ours, peers
    from bench.log_lines import configured, observer
    from vextrus_payments.transport import HttpxTransport

    sink = configured(level)
    transport = HttpxTransport()
    full = ours.FullCall(ours.gateway(url, transport=transport, observer=observer()), tell=observer())
    base, close_base = await peers.bare_httpx(url)
    plain, close_plain = await peers.plain_wrapper(url)
    contenders: dict[str, Call] = {
        "httpx": base,
        "full": full,
        "transport": ours.TransportCall(transport, url),
        "two models on the transport": ours.ModelsCall(transport, url),
        "plain wrapper": plain,
    }
    await full()
    before = sink.lines
    await full()
    if sink.lines - before != (2 if level <= 20 else 0):
        raise RuntimeError(f"a full call emitted {sink.lines - before} lines")
    found = _told(await interleaved(contenders, rounds=rounds))
    await close_base()
    await close_plain()
    await transport.aclose()
    return found


def peers_alone(url: str, rounds: int) -> Found:
    """P4: the full call beside the other SDKs, one task each."""
    return asyncio.run(_peers_alone(url, rounds))


async def _peers_alone(url: str, rounds: int) -> Found:
    from bench import ours, peers
    from bench.log_lines import configured, observer
    from vextrus_payments.transport import HttpxTransport

    configured()
    transport = HttpxTransport()
    contenders: dict[str, Call] = {
        "full": ours.FullCall(ours.gateway(url, transport=transport, observer=observer()), tell=observer())
    }
    closers: list[Call] = [transport.aclose]
    for name, opened in (
        ("httpx", peers.bare_httpx(url)),
        ("stripe on httpx", peers.stripe_httpx(url)),
        ("stripe on aiohttp", peers.stripe_aiohttp(url)),
        ("square", peers.square_async(url)),
        ("pybkash", peers.pybkash_async(url)),
        ("bkash-pgw-tokenized", peers.bkash_pgw(url)),
        ("httpx on aiohttp", peers.httpx_on_aiohttp(url)),
        ("aiohttp alone", peers.aiohttp_client(url)),
    ):
        contenders[name], close = await opened
        closers.append(close)
    # It builds a TLS context per call, 40 times the cost of the others: fewer rounds tell enough.
    found = _told(await interleaved(contenders, rounds=rounds, sparse={"bkash-pgw-tokenized": 20}))
    for close in closers:
        await close()
    return found


# ------------------------------------------------------------------------------------------ many tasks (P2, P3)


def concurrent_pair(url: str, rounds: int, calls: int, concurrency: int, seed: int) -> Found:
    """P2: the full call and bare httpx, `concurrency` at a time, blocks interleaved and shuffled."""
    return asyncio.run(_concurrent_pair(url, rounds, calls, concurrency, seed))


async def _concurrent_pair(url: str, rounds: int, calls: int, concurrency: int, seed: int) -> Found:
    from bench import ours, peers
    from bench.log_lines import configured, observer
    from vextrus_payments.transport import HttpxTransport

    configured()
    transport = HttpxTransport()
    full = ours.FullCall(ours.gateway(url, transport=transport, observer=observer()), tell=observer())
    base, close_base = await peers.bare_httpx(
        url, max_connections=concurrency, max_keepalive_connections=concurrency
    )
    found = _told(
        await interleaved(
            {"httpx": base, "full": full},
            rounds=rounds,
            calls=calls,
            concurrency=concurrency,
            warm_up=2,
            seed=seed,
        )
    )
    await close_base()
    await transport.aclose()
    return found


def concurrent_one(url: str, who: str, rounds: int, calls: int, concurrency: int) -> Found:
    """One contender alone, many tasks: for the peers' column of P2."""
    return asyncio.run(_concurrent_one(url, who, rounds, calls, concurrency))


async def _concurrent_one(url: str, who: str, rounds: int, calls: int, concurrency: int) -> Found:
    from bench import peers

    call, close = await getattr(peers, who)(url)
    found = _told(
        await interleaved({who: call}, rounds=rounds, calls=calls, concurrency=concurrency, warm_up=1)
    )
    await close()
    return found


def flatness(url: str, rounds: int, concurrency: int, places: int) -> Found:
    """P3: the full call, one at a time and `concurrency` at a time, in turns. `places` is the transport's limit."""
    return asyncio.run(_flatness(url, rounds, concurrency, places))


async def _flatness(url: str, rounds: int, concurrency: int, places: int) -> Found:
    from bench import ours
    from bench.log_lines import configured, observer
    from vextrus_payments.transport import HttpxTransport

    configured()
    transport = HttpxTransport(max_connections=places)
    full = ours.FullCall(ours.gateway(url, transport=transport, observer=observer()), tell=observer())
    one, many = Samples(), Samples()
    for number in range(-2, rounds):
        turns = [(one, 60, 1), (many, concurrency, concurrency)]
        for samples, calls, at_once in turns if number % 2 else turns[::-1]:
            cpu, wall = await block(full, calls, at_once)
            if number >= 0:
                samples.cpu.append(cpu)
                samples.wall.append(wall)
    await transport.aclose()
    return _told({"one": one, "many": many})


# ------------------------------------------------------------------------------------------------- grants (P12)


def cold_calls(
    url: str, who: str, calls: int, backend: str = "memory", place: str = "", wait: bool = False
) -> Found:
    """P12: `calls` calls at once on a client that has no token yet. With `wait`, it says that it is ready and starts
    when a line arrives, so that several processes start together."""
    if wait:
        print("ready", flush=True)
    return asyncio.run(_cold_calls(url, who, calls, backend, place, wait))


async def _cold_calls(url: str, who: str, calls: int, backend: str, place: str, wait: bool) -> Found:
    from bench import ours, peers

    if who != "ours":
        call, close = await getattr(peers, who)(url)
        await asyncio.gather(*(call() for _ in range(calls)))
        await close()
        return {"calls": calls}
    from vextrus_payments.transport import HttpxTransport

    async with ours.token_backend(backend, place) as tokens:
        transport = HttpxTransport()
        full = ours.FullCall(ours.gateway(url, transport=transport, tokens=ours.token_cache(tokens)))
        if wait:
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        sessions = await asyncio.gather(*(full() for _ in range(calls)))
        await transport.aclose()
    return {"calls": len(sessions)}


# -------------------------------------------------------------------------------------- connections, TLS (P18)


def connections(url: str, who: str, callers: int, calls: int, cafile: str) -> Found:
    """P18: `calls` calls by `callers` tasks over TLS; how many SSL contexts this process has built."""
    import certifi

    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        os.environ.pop(variable, None)
    # The test server's own authority in the place of the well-known ones: the SDK's default TLS policy, built by its
    # own code, then trusts it. Nothing of the SDK is changed.
    certifi.where = lambda: cafile
    counted: list[int] = [0]
    genuine = ssl.SSLContext.__new__

    def counting(kind: type[ssl.SSLContext], *arguments: Any, **named: Any) -> ssl.SSLContext:
        counted[0] += 1
        return genuine(kind, *arguments, **named)

    ssl.SSLContext.__new__ = counting  # type: ignore[method-assign, assignment]
    asyncio.run(_connections(url, who, callers, calls))
    return {"contexts": counted[0]}


async def _connections(url: str, who: str, callers: int, calls: int) -> None:
    from bench import ours, peers

    left = iter(range(calls))
    opened: list[Call]
    if who == "ours":
        # Three merchants in one process, each with a gateway of its own, as Payments makes them.
        gateways = [ours.gateway(url, app_key=f"example-app-key-{n}") for n in range(3)]
        opened = [ours.FullCall(gateway) for gateway in gateways]
        closers: list[Call] = [gateway.aclose for gateway in gateways]
    else:
        call, close = await getattr(peers, who)(url)
        opened, closers = [call], [close]

    async def caller(number: int) -> None:
        for _ in left:
            await opened[number % len(opened)]()

    async with asyncio.timeout(120):
        await asyncio.gather(*(caller(number) for number in range(callers)))
    for close in closers:
        await close()
