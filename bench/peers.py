"""The others, each as its own documentation shows it, at the same server with the same answer.

Each function opens one contender and returns (call, close). They are imported only by `make bench`, from the
versions of requirements/bench.txt.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from bench.wire import API_ROOT, APP_KEY, BEARER, CALLBACK, CREATE_PATH, INVOICE, PAYER, QUESTION

Opened = tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]


async def bare_httpx(url: str, **limits: int) -> Opened:
    """The base of the ratios: one AsyncClient that posts the 7 fields with the 900-byte token. The answer is read
    whole, and not even parsed."""
    import httpx

    client = httpx.AsyncClient(limits=httpx.Limits(**limits)) if limits else httpx.AsyncClient()
    target = url + CREATE_PATH
    headers = {"Authorization": BEARER, "X-App-Key": APP_KEY, "Accept": "application/json"}

    async def call() -> None:
        response = await client.post(target, json=QUESTION, headers=headers)
        if response.status_code != 200:
            raise RuntimeError("the server did not answer")

    return call, client.aclose


async def plain_wrapper(url: str) -> Opened:
    """What a team would write in an afternoon: pydantic in and out, tenacity around it, two log lines, on httpx."""
    import httpx
    import structlog
    from pydantic import BaseModel
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    class Question(BaseModel):
        mode: str
        payerReference: str
        callbackURL: str
        amount: str
        currency: str
        intent: str
        merchantInvoiceNumber: str

    class Answer(BaseModel):
        statusCode: str
        statusMessage: str
        paymentID: str
        bkashURL: str
        amount: str
        currency: str
        intent: str
        transactionStatus: str
        merchantInvoiceNumber: str

    client = httpx.AsyncClient()
    target = url + CREATE_PATH
    headers = {"Authorization": BEARER, "X-App-Key": APP_KEY, "Content-Type": "application/json"}
    log = structlog.get_logger()  # as the host configured it: see log_lines.py
    retrying = AsyncRetrying(
        stop=stop_after_attempt(3),
        wait=wait_exponential_jitter(),
        retry=retry_if_exception_type(httpx.TransportError),
        reraise=True,
    )

    async def call() -> None:
        question = Question(**QUESTION)
        log.info("request", operation="create", invoice=question.merchantInvoiceNumber)

        async def once() -> httpx.Response:
            return await client.post(target, content=question.model_dump_json(), headers=headers)

        response = await retrying(once)
        answer = Answer.model_validate_json(response.content)
        log.info("response", operation="create", status=response.status_code, reference=answer.paymentID)

    return call, client.aclose


async def aiohttp_client(url: str) -> Opened:
    """aiohttp alone: no SDK, for scale."""
    import aiohttp

    client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100))
    target = url + CREATE_PATH
    headers = {"Authorization": BEARER, "X-App-Key": APP_KEY, "Accept": "application/json"}

    async def call() -> None:
        async with client.post(target, json=QUESTION, headers=headers) as response:
            await response.read()

    return call, client.close


async def httpx_on_aiohttp(url: str) -> Opened:
    """httpx's API over aiohttp's transport: what a faster transport could bring (docs/benchmarks.md says why the SDK
    does not send money by it)."""
    import httpx_aiohttp

    client = httpx_aiohttp.HttpxAiohttpClient()
    target = url + CREATE_PATH
    headers = {"Authorization": BEARER, "X-App-Key": APP_KEY, "Accept": "application/json"}

    async def call() -> None:
        await client.post(target, json=QUESTION, headers=headers)

    return call, client.aclose


async def stripe_httpx(url: str) -> Opened:
    """stripe's async client over its httpx transport."""
    import stripe

    return await _stripe(url, stripe.HTTPXClient())


async def stripe_aiohttp(url: str) -> Opened:
    """stripe's async client over its aiohttp transport: the fastest real SDK of the field."""
    import stripe

    return await _stripe(url, stripe.AIOHTTPClient())


async def _stripe(url: str, http_client: Any) -> Opened:
    import stripe

    client = stripe.StripeClient("example-" + "s" * 100, http_client=http_client, base_addresses={"api": url})

    async def call() -> None:
        await client.v1.payment_intents.create_async(
            {
                "amount": 125050,
                "currency": "bdt",
                "description": INVOICE,
                "metadata": {"invoice": INVOICE, "payer": PAYER},
                "return_url": CALLBACK,
                "confirm": True,
            }
        )

    return call, http_client.close_async


async def square_async(url: str) -> Opened:
    """Square's generated async client."""
    import httpx
    from square import AsyncSquare

    transport = httpx.AsyncClient(timeout=60)
    client = AsyncSquare(base_url=url, token=BEARER, httpx_client=transport)
    number = 0

    async def call() -> None:
        nonlocal number
        number += 1
        await client.payments.create(
            source_id="cnon:card-nonce-ok",
            idempotency_key=f"order-{number}",
            amount_money={"amount": 125050, "currency": "BDT"},
            reference_id=INVOICE,
            note=CALLBACK,
        )

    return call, transport.aclose


async def pybkash_async(url: str) -> Opened:
    """pybkash's async client, its token already granted."""
    import pybkash

    token = pybkash.AsyncToken(
        username="example-user",
        password="example-password",
        app_key=APP_KEY,
        app_secret="example-app-secret",
        sandbox=True,
    )
    token.base_url = url + API_ROOT
    client = pybkash.AsyncClient(token)

    async def call() -> None:
        await client.create_payment(
            callback_url=CALLBACK, payer_reference=PAYER, amount=1250.50, invoice_number=INVOICE
        )

    return call, client._client.aclose


async def bkash_pgw(url: str) -> Opened:
    """bkash-pgw-tokenized, with its own token store. It makes a new HTTP client, with a new TLS context, per call."""
    from bkash_pgw_tokenized import Bkash
    from bkash_pgw_tokenized.token import MemoryTokenStore, ensure_id_token

    client = Bkash(
        {
            "app_key": APP_KEY,
            "app_secret": "example-app-secret",
            "username": "example-user",
            "password": "example-password",
            "base_url": url + API_ROOT,
        }
    )
    tokens = MemoryTokenStore()

    async def call() -> None:
        await client.create_payment(
            await ensure_id_token(tokens, client),
            mode="0011",
            payer_reference=PAYER,
            callback_url=CALLBACK,
            amount="1250.50",
            currency="BDT",
            intent="sale",
            merchant_invoice_number=INVOICE,
        )

    async def close() -> None:
        return None

    return call, close
