"""A whole initialize at each gateway without crypto of its own, beside as many bare calls of the same body."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlencode

from bench.wire import APP_KEY, BEARER, CALLBACK, INVOICE, PAYER

Call = Callable[[], Awaitable[Any]]
Bare = tuple[str, bytes, dict[str, str]]
"""Path, body and headers of the bare call."""

STORE: Final = "examplestore001"
_SSL_CALLBACK: Final = "https://shop.example/payments/sslcommerz/return"
_SESSION_KEY: Final = "0123456789ABCDEF0123456789ABCDEF"
_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}


def answers() -> dict[str, str]:
    """What the server says to a path that has the key in it."""
    reference = "TR0011exampleBench001"
    v2 = {
        "paymentId": reference,
        "bkashURL": f"https://sandbox.payment.bkash.com/?paymentId={reference}&mode=0011&apiVersion=v2/&hash="
        + "h" * 200,
        "callbackURL": CALLBACK,
        "amount": "1250.50",
        "currency": "BDT",
        "intent": "sale",
        "paymentCreateTime": "2026-01-15T12:00:00:000 GMT+0600",
        "transactionStatus": "Initiated",
        "merchantInvoiceNumber": INVOICE,
        "signature": "example-signature",
    }
    page = f"https://sandbox.sslcommerz.com/EasyCheckOut/testcde{_SESSION_KEY.lower()}"
    session = {
        "status": "SUCCESS",
        "failedreason": "",
        "sessionkey": _SESSION_KEY,
        "GatewayPageURL": page,
        "redirectGatewayURL": "https://sandbox.sslcommerz.com/gwprocess/v4/bankgw/indexhtml.php?mamount=1250.50&Q=PAY",
        "storeLogo": "",
        "store_name": "Example",
        "desc": [
            {"name": name, "type": "visa", "logo": "", "gw": name.lower()}
            for name in ("VISA", "MASTER", "AMEX")
        ],
        "is_direct_pay_enable": "0",
    }
    return {"tokenized-checkout/payment/create": json.dumps(v2), "gwprocess/v4/api.php": json.dumps(session)}


def openings(url: str, rounds: int) -> dict[str, Any]:
    """CPU microseconds of each gateway's initialize and of its bare call, interleaved in one process."""
    return asyncio.run(_openings(url, rounds))


async def _openings(url: str, rounds: int) -> dict[str, Any]:
    import httpx

    from bench import ours, peers
    from bench.blocks import interleaved
    from bench.log_lines import configured, observer
    from vextrus_payments.gateways.bkash import BkashGateway
    from vextrus_payments.gateways.sslcommerz import SslcommerzConfig, SslcommerzGateway
    from vextrus_payments.secret import Secret
    from vextrus_payments.transport import HttpxTransport

    configured()
    transport = HttpxTransport()
    client = httpx.AsyncClient()

    def bare(path: str, body: bytes, headers: dict[str, str]) -> Call:
        async def call() -> None:
            response = await client.post(url + path, content=body, headers=headers)
            if response.status_code != 200:
                raise RuntimeError("the server did not answer")

        return call

    store = SslcommerzGateway(
        SslcommerzConfig(
            api_url=url, store_id=STORE, store_password=Secret("example-password"), callback_url=_SSL_CALLBACK
        ),
        transport=transport,
        observer=observer(),
    )
    v2 = BkashGateway(
        ours.config(url, api_url=f"{url}/v2", api_version="v2"), transport=transport, observer=observer()
    )
    v1_bare, close = await peers.bare_httpx(url)
    contenders: dict[str, Call] = {
        "bkash": ours.FullCall(ours.gateway(url, transport=transport, observer=observer())),
        "bare bkash": v1_bare,
        "bkash v2": ours.FullCall(v2),
        "bare bkash v2": bare(*_bkash_v2()),
        "sslcommerz": _at(store),
        "bare sslcommerz": bare(*_sslcommerz()),
    }
    samples = await interleaved(contenders, rounds=rounds, calls=20)
    await close()
    await client.aclose()
    await transport.aclose()
    return {name: one.cpu for name, one in samples.items()}


def _at(gateway: Any) -> Call:
    from vextrus_payments.money import Money
    from vextrus_payments.payment import Customer, PaymentRequest

    async def call() -> None:
        await gateway.initialize_payment(
            PaymentRequest(
                operation_id="order-8812/pay",
                gateway="sslcommerz",
                amount=Money("1250.50", "BDT"),
                merchant_reference=INVOICE,
                return_url="https://shop.example/orders/8812",
                customer=Customer(name="Example Payer", email="payer@shop.example", msisdn=PAYER),
            )
        )

    return call


def _bkash_v2() -> Bare:
    body = {
        "payerReference": PAYER,
        "callbackURL": CALLBACK,
        "amount": "1250.50",
        "currency": "BDT",
        "intent": "sale",
        "merchantInvoiceNumber": INVOICE,
    }
    headers = {"Authorization": BEARER, "X-App-Key": APP_KEY, **_JSON}
    return "/v2/tokenized-checkout/payment/create", json.dumps(body).encode("ascii"), headers


def _sslcommerz() -> Bare:
    fields = {
        "store_id": STORE,
        "store_passwd": "example-password",
        "total_amount": "1250.50",
        "currency": "BDT",
        "tran_id": INVOICE,
        **{f"{way}_url": f"{_SSL_CALLBACK}?status={way}" for way in ("success", "fail", "cancel")},
        "product_name": INVOICE,
        "product_category": "general",
        "product_profile": "general",
        "cus_name": "Example Payer",
        "cus_email": "payer@shop.example",
        "cus_add1": "Dhaka",
        "cus_city": "Dhaka",
        "cus_postcode": "1000",
        "cus_country": "Bangladesh",
        "cus_phone": PAYER,
        "shipping_method": "NO",
        "num_of_item": "1",
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return "/gwprocess/v4/api.php", urlencode(fields).encode("ascii"), headers
