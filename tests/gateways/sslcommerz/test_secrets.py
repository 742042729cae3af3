"""The password stands in every query: over real sockets, with every logger wide open, it is found nowhere else."""

import asyncio
import hashlib
import json
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.gateways.sslcommerz.hand import STORE
from tests.gateways.sslcommerz.little import Little
from vextrus_payments import Money, PaymentRequest, Payments, PaymentsError, RefundRequest
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeSleeper
from vextrus_payments.wire import WireRequest

PASSWORD = "canary+Qk7&wZ 3=xT9/vB"
FORMS = (
    PASSWORD,
    "Qk7&wZ",
    "xT9/vB",
    "xT9%2FvB",
    quote(PASSWORD, safe=""),
    quote(PASSWORD),
    PASSWORD.replace(" ", "+"),
    hashlib.md5(PASSWORD.encode()).hexdigest(),
    hashlib.sha256(PASSWORD.encode()).hexdigest(),
)


@asynccontextmanager
async def serving(little: Little, mode: list[str]) -> AsyncIterator[str]:
    """A real HTTP server; the first word of `mode` says how it answers."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        length = next(
            (
                int(one.split(":")[1])
                for one in head.lower().split("\r\n")
                if one.startswith("content-length")
            ),
            0,
        )
        body = await reader.readexactly(length) if length else b""
        made = little(WireRequest(method, f"http://x{path}", (), body)).response
        assert made is not None
        echoed = f"<html>The requested URL {path} was rejected. {body.decode()}</html>".encode()
        answers = {
            "well": (200, made.body),
            "echo": (200, echoed),
            "echo502": (502, echoed),
            "words": (
                200,
                json.dumps(
                    {"status": "FAILED", "failedreason": f"bad store_passwd={PASSWORD}", "APIConnect": "FAILED",
                     "errorReason": f"for {path}"}
                ).encode(),
            ),
        }  # fmt: skip
        if mode[0] != "drop":
            status, content = answers[mode[0]]
            start = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
            writer.write(start.encode() + content)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def test_the_password_is_found_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    left: list[Any] = []
    little, mode = Little(), ["well"]

    async def tried(call: Any) -> Any:
        try:
            result = await call
        except PaymentsError as error:
            left.append([str(error), repr(error), vars(error), traceback.format_exception(error)])
            return None
        left.append(result)
        return result

    async with serving(little, mode) as root:
        config = SslcommerzConfig(
            store_id=STORE,
            store_password=Secret(PASSWORD),
            api_url=root,
            callback_url="https://s.example/back",
        )
        left.append([repr(config), config.model_dump_json()])
        payments = Payments(
            store=f"sqlite:///{tmp_path / 'shop.db'}",
            gateways={"sslcommerz": config},
            workers=False,
            sleeper=FakeSleeper(FakeClock()),
        )
        async with payments:
            for word in ("well", "echo", "echo502", "words", "drop"):
                mode[0] = word
                asked = PaymentRequest(
                    operation_id=f"{word}/pay",
                    gateway="sslcommerz",
                    amount=Money("100.00"),
                    merchant_reference=f"INV-{word}",
                )
                session = await tried(payments.initialize(asked))
                if session is None:
                    mode[0] = "well"
                    session = await tried(payments.initialize(replace(asked, operation_id=f"{word}/again")))
                little.pay()
                mode[0] = word
                await tried(payments.status(session.payment_id))
                mode[0] = "well"
                await tried(payments.execute(session.payment_id))
                mode[0] = word
                refund = RefundRequest(
                    operation_id=f"{word}/r", payment_id=session.payment_id, amount=Money("40")
                )
                await tried(payments.refund(refund))
                await tried(payments.refund_status(f"{word}/r"))
                left.append(await payments.history(session.payment_id))
            gateway = await payments.gateway_of("default", "sslcommerz")
            left.append([repr(gateway), repr(vars(gateway))])
    left.append([record.getMessage() + repr(record.__dict__) for record in caplog.records])
    assert any("/validator/api/" in line for line in left[-1]), "nothing was logged: the test proves nothing"
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir()).decode("utf-8", "replace")
    for form in FORMS:
        assert form not in repr(left) and form not in kept
    assert {"session", "query", "validate", "refund"} <= set(little.asked)
