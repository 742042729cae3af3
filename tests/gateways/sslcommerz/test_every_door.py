"""The sandbox posts its notification, and a browser its form, at the doors as every kind of host mounts them: WSGI,
Flask, Django's both views, Starlette and FastAPI. Real servers, real sockets.

SSLCommerz sends the browser by POST from its own site: no cookie and no token of the shop's comes along.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.doors.servers import uvicorn_serving, wsgi_serving
from tests.doors.test_blocking import in_django, in_django_asgi, in_flask, in_wsgi
from tests.gateways.sslcommerz.test_end_to_end import config
from tests.sync.world import Sandbox, sandbox_running
from vextrus_payments import Money, PaymentEvent, PaymentRequest
from vextrus_payments import Payments as AsyncPayments
from vextrus_payments.sync import Payments

PATIENCE_S = 30.0
SHOP = "https://shop.example/orders/1"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_running() as running:
        yield running


class Street:
    """A shop behind real doors, and what it was told."""

    def __init__(self, sandbox: Sandbox, url: str, initialize: Callable[[PaymentRequest], Any]) -> None:
        self.sandbox, self.url, self._initialize = sandbox, url, initialize
        self.events: list[PaymentEvent] = []

    def open(self, reference: str) -> Any:
        return self._initialize(
            PaymentRequest(
                operation_id=f"{reference}/pay",
                gateway="sslcommerz",
                amount=Money("100.00"),
                merchant_reference=reference,
                return_url=SHOP,
            )
        )

    def walk(self, session: Any, outcome: str = "success") -> Any:
        """What the payer does; the sandbox posts its notification meanwhile, and says what his browser posts."""
        gateway = self.sandbox.server.world.gateways["sslcommerz"]
        return self.sandbox.ask(lambda: gateway.approve(session.gateway_reference, outcome, None))

    def until(self, kind: str, payment_id: str) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not any(e.kind.value == kind and e.payment_id == payment_id for e in self.events):
            assert time.monotonic() < give_up, f"no {kind} came: {[e.kind.value for e in self.events]}"
            time.sleep(0.02)

    def home(self, reply: httpx.Response) -> str:
        """Where a browser ends up: a door that does not know yet leads it to itself, for it to ask again."""
        give_up = time.monotonic() + PATIENCE_S
        while not reply.headers.get("location", "").startswith("https://shop.example/"):
            assert reply.status_code in (200, 303) and time.monotonic() < give_up, reply.text
            time.sleep(0.1)
            address = str(reply.url.join(reply.headers.get("location", str(reply.url))))
            reply = httpx.get(address, timeout=PATIENCE_S, trust_env=False)
        assert reply.status_code == 303 and "set-cookie" not in reply.headers
        return reply.headers["location"]

    def post(self, address: str, form: dict[str, Any]) -> httpx.Response:
        said = {name: str(value) for name, value in form.items()}
        headers = {"origin": "https://sandbox.sslcommerz.com", "sec-fetch-site": "cross-site"}
        return httpx.post(address, data=said, headers=headers, timeout=PATIENCE_S, trust_env=False)


class Later:
    """An application that is known once its server's address is."""

    def __init__(self) -> None:
        self.app: Any = None

    def __call__(self, *args: Any) -> Any:
        return self.app(*args)


@contextmanager
def blocking(
    host: Callable[[Payments], Any], prefix: str, sandbox: Sandbox, folder: Path
) -> Iterator[Street]:
    """The blocking facade, in this host."""
    later, events = Later(), []

    async def listening(event: PaymentEvent) -> None:
        events.append(event)

    asgi = "asgi" in host.__name__
    with ExitStack() as stack:
        server = uvicorn_serving(later, lifespan="off", interface="asgi3") if asgi else wsgi_serving(later)
        url = stack.enter_context(server) + prefix
        payments = Payments(
            store=f"sqlite:///{folder / 'shop.db'}",
            gateways={"sslcommerz": config(sandbox.server)},
            on_event=listening,
            public_url=url,
            workers=True,
        )
        stack.callback(payments.close)
        later.app = host(payments)
        street = Street(sandbox, url, payments.initialize)
        street.events = events
        yield street


@contextmanager
def mounted(framework: str, sandbox: Sandbox, folder: Path) -> Iterator[Street]:
    """The async one, mounted in an ASGI framework whose lifespan opens it, on the server's own loop."""
    import asyncio

    later, loops, ready = Later(), [], threading.Event()
    events: list[PaymentEvent] = []
    made: list[AsyncPayments] = []

    async def listening(event: PaymentEvent) -> None:
        events.append(event)

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        loops.append(asyncio.get_running_loop())
        ready.set()
        yield
        if made:
            await made[0].aclose()

    if framework == "fastapi":
        app: Any = pytest.importorskip("fastapi").FastAPI(lifespan=lifespan)
    else:
        app = pytest.importorskip("starlette.applications").Starlette(lifespan=lifespan)
    app.mount("/payments", later)
    with uvicorn_serving(app) as root:
        assert ready.wait(PATIENCE_S)

        def run(work: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(work, loops[0]).result(PATIENCE_S)

        async def open_it() -> AsyncPayments:
            payments = AsyncPayments(
                store=f"sqlite:///{folder / 'shop.db'}",
                gateways={"sslcommerz": config(sandbox.server)},
                on_event=listening,
                public_url=f"{root}/payments",
                workers=True,
            )
            await payments.open()
            made.append(payments)
            return payments

        payments = run(open_it())
        later.app = payments.asgi()
        street = Street(sandbox, f"{root}/payments", lambda request: run(payments.initialize(request)))
        street.events = events
        yield street


HOSTS = ["wsgi", "flask", "django", "django_asgi", "starlette", "fastapi"]
BLOCKING: dict[str, tuple[Callable[[Payments], Any], str]] = {
    "wsgi": (in_wsgi, ""),
    "flask": (in_flask, "/payments"),
    "django": (in_django, "/payments"),
    "django_asgi": (in_django_asgi, "/payments"),
}


@pytest.fixture(params=HOSTS)
def street(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Street]:
    if request.param in BLOCKING:
        host, prefix = BLOCKING[request.param]
        with blocking(host, prefix, sandbox, tmp_path) as found:
            yield found
    else:
        with mounted(request.param, sandbox, tmp_path) as found:
            yield found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_a_notification_settles_and_a_browser_is_led_home(street: Street) -> None:
    paid, left = street.open("INV-1"), street.open("INV-2")
    done = street.walk(paid)
    street.until("payment.paid", paid.payment_id)  # on the notification alone: no browser has come back
    assert done["redirect"].startswith(f"{street.url}/sslcommerz/return?")

    assert street.home(street.post(done["redirect"], done["form"])) == f"{SHOP}?payment_id={paid.payment_id}"
    again = httpx.get(done["redirect"], timeout=PATIENCE_S, trust_env=False)  # he looks at the page once more
    assert street.home(again) == f"{SHOP}?payment_id={paid.payment_id}"

    cancelled = street.walk(left, "cancel")
    back = street.post(cancelled["redirect"], cancelled["form"])
    assert street.home(back) == f"{SHOP}?payment_id={left.payment_id}"
    street.until("payment.closed", left.payment_id)

    door = f"{street.url}/sslcommerz/webhook"
    form = {name: str(value) for name, value in done["form"].items()}
    assert street.post(door, form).status_code == 200, "the browser's post is signed as the notification is"
    assert street.post(door, {**form, "amount": "1.00"}).status_code == 401
    assert street.post(door, {name: v for name, v in form.items() if v != ""}).status_code == 401
    assert street.post(door, {"x": "y" * 300_000}).status_code == 413
    assert httpx.get(door, timeout=PATIENCE_S, trust_env=False).status_code == 405
    assert urlsplit(done["redirect"]).hostname == "127.0.0.1"
    assert [e.kind.value for e in street.events].count("payment.paid") == 1
