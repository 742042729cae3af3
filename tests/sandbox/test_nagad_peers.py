"""What two released Nagad clients and the widely copied PHP sample send and insist on reading, replayed.

Taken from the sources of nagadpy 0.0.2 (Python) and nagad-payment-gateway 2.0.2 (Node), both of which were also run
unmodified (base URL and keys only) against the sandbox under both mounts, and from the dossier's account of the PHP
sample (§4, §6, §13). They write the bytes that they seal themselves: none is sealed here in another form.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import CALLBACK, CONTEXT, MERCHANT, NagadShop
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.serve import SandboxServer

MOUNTS = [CONTEXT + "/api/dfs", "/api/dfs"]


@pytest.fixture(params=MOUNTS)
async def mounted(
    app: Starlette, clock: FakeClock, request: pytest.FixtureRequest
) -> AsyncIterator[NagadShop]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        nagad = await NagadShop.of(http, clock)
        nagad.prefix = request.param
        yield nagad


def decrypted(nagad: NagadShop, answer: httpx.Response) -> dict[str, Any]:
    """As most clients read the answer: by their own key, without a look at the signature."""
    found: dict[str, Any] = json.loads(nagad.opened(answer.json()))
    return found


def refuses_like_node(answer: httpx.Response) -> dict[str, Any]:
    """The Node client throws wherever `devMessage` or `reason` is there, whatever the status says."""
    found: dict[str, Any] = answer.json()
    assert "devMessage" not in found and "reason" not in found
    return found


async def test_nagadpy(mounted: NagadShop) -> None:
    """JSON with blanks inside and outside, 40 lower-case letters for a challenge, verify without any X-KM header."""
    nagad = mounted
    headers = {
        "User-Agent": "python-requests/2.34.2",
        "Accept-Encoding": "gzip, deflate",
        "Accept": "*/*",
        "Connection": "keep-alive",
        "Content-Type": "application/json",
        "X-KM-IP-V4": "127.0.0.1",
        "X-KM-Client-Type": "PC_WEB",
        "X-KM-Api-Version": "v-0.2.0",
    }
    asked = {"merchantId": MERCHANT, "orderId": "PYP1042", "challenge": "qz" * 20, "datetime": nagad.now()}
    body: dict[str, Any] = {"dateTime": nagad.now(), **nagad.sealed(json.dumps(asked).encode())}
    begun = await nagad.http.post(
        f"{nagad.prefix}/check-out/initialize/{MERCHANT}/PYP1042", content=json.dumps(body), headers=headers
    )
    assert begun.status_code == 200
    said = decrypted(nagad, begun)
    priced = {
        "merchantId": MERCHANT,
        "orderId": "PYP1042",
        "currencyCode": "050",
        "amount": "100.50",
        "challenge": said["challenge"],
    }
    body = {
        "dateTime": nagad.now(),
        **nagad.sealed(json.dumps(priced).encode()),
        "merchantCallbackURL": CALLBACK,
        "additionalMerchantInfo": {},
    }
    completed = await nagad.http.post(
        f"{nagad.prefix}/check-out/complete/{said['paymentReferenceId']}",
        content=json.dumps(body),
        headers=headers,
    )
    assert completed.status_code == 200
    assert list(completed.json()) == ["callBackUrl", "status"] and completed.json()["status"] == "Success"
    assert completed.json()["callBackUrl"].endswith(f"/check-out/{said['paymentReferenceId']}")
    await nagad.approve(said["paymentReferenceId"])
    bare = {name: value for name, value in headers.items() if not name.startswith(("X-KM", "Content"))}
    seen = await nagad.http.get(f"{nagad.prefix}/verify/payment/{said['paymentReferenceId']}", headers=bare)
    shown = seen.json()
    assert (shown["status"], shown["statusCode"], shown["amount"]) == ("Success", "000", "100.50")
    assert shown["additionalMerchantInfo"] == "{}"


async def test_nagad_payment_gateway_of_node(mounted: NagadShop) -> None:
    """Compact JSON in UTF-8, a challenge of 40 upper-case hex digits, `paymentRefId` too much, one header on verify."""
    nagad = mounted
    headers = {
        "content-type": "application/json",
        "Accept": "application/json",
        "User-Agent": "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
        "X-KM-Api-Version": "v-0.2.0",
        "X-KM-IP-V4": "203.0.113.9",
        "X-KM-Client-Type": "PC_WEB",
    }

    def written(fields: Any) -> bytes:
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    async def ask(path: str, fields: Any) -> httpx.Response:
        return await nagad.http.post(nagad.prefix + path, content=written(fields), headers=headers)

    asked = {"merchantId": MERCHANT, "datetime": nagad.now(), "orderId": "NPM1042", "challenge": "A9" * 20}
    body: dict[str, Any] = {
        "accountNumber": "01000000000",
        "dateTime": nagad.now(),
        **nagad.sealed(written(asked)),
    }
    begun = await ask(f"/check-out/initialize/{MERCHANT}/NPM1042", body)
    refuses_like_node(begun)
    said = decrypted(nagad, begun)
    reference = said["paymentReferenceId"]
    priced = {
        "merchantId": MERCHANT,
        "orderId": "NPM1042",
        "amount": "100.00",
        "currencyCode": "050",
        "challenge": said["challenge"],
    }
    body = {
        "paymentRefId": reference,
        **nagad.sealed(written(priced)),
        "merchantCallbackURL": CALLBACK,
        "additionalMerchantInfo": {"shop": "দোকান", "lines": 2},
    }
    page = refuses_like_node(await ask(f"/check-out/complete/{reference}", body))["callBackUrl"]
    assert page.split("/").pop() == reference
    await nagad.approve(reference)
    headers = {name: value for name, value in headers.items() if name != "X-KM-IP-V4"}
    shown = refuses_like_node(
        await nagad.http.get(f"{nagad.prefix}/verify/payment/{reference}", headers=headers)
    )
    assert shown["status"] == "Success"
    assert shown["additionalMerchantInfo"] == '{"shop":"দোকান","lines":2}'
    # What it throws with, where it is refused: it reads `devMessage` before `message`.
    unknown = (await nagad.http.get(f"{nagad.prefix}/verify/payment/nope", headers=headers)).json()
    assert unknown["devMessage"] and unknown["reason"] == "16_0006_055"


async def test_the_php_sample(mounted: NagadShop) -> None:
    """An unknown address, `/` written as `\\/`, a number for an amount, a doubled slash, and parameters by position."""
    nagad = mounted
    headers = {
        "Content-Type": "application/json",
        "X-KM-Api-Version": "v-0.2.0",
        "X-KM-IP-V4": "UNKNOWN",
        "X-KM-Client-Type": "PC_WEB",
    }

    def written(fields: Any) -> bytes:
        return json.dumps(fields, separators=(",", ":")).replace("/", "\\/").encode()

    async def ask(path: str, fields: Any) -> dict[str, Any]:
        answer = await nagad.http.post(f"{nagad.prefix}/{path}", content=written(fields), headers=headers)
        found: dict[str, Any] = answer.json()
        assert "reason" not in found, found
        return found

    asked = {"merchantId": MERCHANT, "datetime": nagad.now(), "orderId": "Order1042", "challenge": "x1" * 20}
    body = {"accountNumber": "01000000000", "dateTime": nagad.now(), **nagad.sealed(written(asked))}
    begun = await ask(f"/check-out/initialize/{MERCHANT}/Order1042", body)
    said = json.loads(nagad.opened(begun))
    priced = {
        "merchantId": MERCHANT,
        "orderId": "Order1042",
        "currencyCode": "050",
        "amount": 50.1,
        "challenge": said["challenge"],
    }
    body = {**nagad.sealed(written(priced)), "merchantCallbackURL": CALLBACK}
    page = await ask(f"/check-out/complete/{said['paymentReferenceId']}", body)
    assert page["status"] == "Success" and page["callBackUrl"]
    redirect = (await nagad.approve(said["paymentReferenceId"]))["redirect"]
    # explode("&", $query)[2], and its first 15 characters cut off: "payment_ref_id=".
    reference = redirect.partition("?")[2].split("&")[2][15:]
    assert reference == said["paymentReferenceId"] == unquote(reference)
    assert base64.b64decode(reference).decode().split(".")[1:3] == [MERCHANT, "Order1042"]
    shown = (await nagad.http.get(f"{nagad.prefix}/verify/payment/{reference}")).json()
    assert (shown["status"], shown["amount"]) == ("Success", "50.1")


async def test_a_client_of_http_1_0_may_name_no_host(clock: FakeClock) -> None:
    """HTTP/1.0 knows no Host, and one WordPress plug-in speaks it; nobody's browser does without."""
    async with SandboxServer(clock=clock, seed=1) as server:
        port = urlsplit(server.url).port
        for asked, status in (
            ("", 400),
            (f"Host: 127.0.0.1:{port}\r\n", 400),
            ("Host: evil.example\r\n", 421),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {CONTEXT}/api/dfs/verify/payment/nope HTTP/1.0\r\n{asked}\r\n".encode())
            answer = (await reader.read()).decode()
            writer.close()
            assert answer.split(" ")[1] == str(status)
            assert ("16_0006_055" in answer) is (status == 400)
