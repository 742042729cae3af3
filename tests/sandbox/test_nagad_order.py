"""The order in which the Nagad sandbox checks a call (dossier §14): of two faults the first one tells."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import CALLBACK, MERCHANT, NagadShop, code
from vextrus_payments.testing import FakeClock


@pytest.fixture
async def nagad(app: Starlette, clock: FakeClock) -> AsyncIterator[NagadShop]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        yield await NagadShop.of(http, clock)


@dataclass
class Call:
    """A call that would go well, and what faults have done to it."""

    path: dict[str, str]
    inside: dict[str, Any]
    outer: dict[str, Any]
    drop: list[str] = field(default_factory=list)
    data: str | None = None
    signature: str | None = None
    signed: bytes | None = None

    async def sent(self, nagad: NagadShop, path: str) -> str:
        """The code that it was refused with."""
        text = json.dumps(self.inside).encode()
        body = {**self.outer, **nagad.sealed(text)}
        if self.signed is not None:
            body["signature"] = nagad.sealed(self.signed)["signature"]
        body |= {k: v for k, v in (("sensitiveData", self.data), ("signature", self.signature)) if v}
        headers = {name: value for name, value in nagad.headers.items() if name not in self.drop}
        address = nagad.prefix + path.format(**self.path)
        return code(await nagad.http.post(address, content=json.dumps(body), headers=headers))


Fault = tuple[str, str, Callable[[Call], Any]]
NONSENSE = base64.b64encode(b"\x01" * 256).decode()
SEALED: list[Fault] = [
    ("no Base64", "069", lambda call: setattr(call, "signature", "%%%")),
    ("no block of ours", "057", lambda call: setattr(call, "data", NONSENSE)),
    ("another text signed", "058", lambda call: setattr(call, "signed", b"{}")),
]
INITIALIZE: list[Fault] = [
    ("a header missing", "064", lambda call: call.drop.append("X-KM-Client-Type")),
    ("an unknown merchant", "052", lambda call: call.path.update(merchant="680000000000002")),
    ("an order id that is none", "068", lambda call: call.path.update(order="a-b")),
    *SEALED,
    ("no datetime", "059", lambda call: call.inside.pop("datetime", None)),
    ("another order inside", "059", lambda call: call.inside.update(orderId="Another1")),
    ("no date", "081", lambda call: call.outer.update(dateTime="2026-01-01")),
    (
        "an old date",
        "076",
        lambda call: "datetime" in call.inside and call.inside.update(datetime="20200101000000"),
    ),
    ("an order id used today", "083", lambda call: None),
]
COMPLETE: list[Fault] = [
    ("a header missing", "064", lambda call: call.drop.append("X-KM-IP-V4")),
    ("an unknown reference", "055", lambda call: call.path.update(reference="bm9ib2R5")),
    *SEALED,
    ("another challenge", "059", lambda call: call.inside.update(challenge="0" * 20)),
    ("dollars", "080", lambda call: call.inside.update(currencyCode="840")),
    ("no amount", "059", lambda call: call.inside.update(amount="1.234")),
    ("a fee in the wrong version", "059", lambda call: call.inside.update(otherAmount={"serviceFee": "1"})),
]


async def test_of_two_faults_of_an_initialize_the_first_tells(nagad: NagadShop) -> None:
    for number, (first, second) in enumerate(combinations(INITIALIZE, 2)):
        order = f"Order{number:05d}"
        if "083" in (first[1], second[1]):
            await nagad.started(order)
        call = Call(
            path={"merchant": MERCHANT, "order": order},
            inside={"merchantId": MERCHANT, "datetime": nagad.now(), "orderId": order, "challenge": "c" * 40},
            outer={"dateTime": nagad.now()},
        )
        for _, _, breaks in (second, first):
            breaks(call)
        told = await call.sent(nagad, "/check-out/initialize/{merchant}/{order}")
        assert told == first[1], (first[0], second[0])


async def test_of_two_faults_of_a_complete_the_first_tells(nagad: NagadShop) -> None:
    for first, second in combinations(COMPLETE, 2):
        reference, challenge, order = await nagad.started()
        call = Call(
            path={"reference": reference},
            inside={
                "merchantId": MERCHANT,
                "orderId": order,
                "currencyCode": "050",
                "amount": "100",
                "challenge": challenge,
            },
            outer={"merchantCallbackURL": CALLBACK},
        )
        for _, _, breaks in (second, first):
            breaks(call)
        told = await call.sent(nagad, "/check-out/complete/{reference}")
        assert told == first[1], (first[0], second[0])
        assert (await nagad.verify(reference))["status"] == "OrderInitiated"
