"""The doors of the blocking facade under servers that block: real payments, a real sandbox, real sockets."""

import asyncio
import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doors.keeper import ScriptedKeeper, keeper
from tests.doors.servers import Wire, uvicorn_serving, wsgi_serving
from tests.sync.world import Sandbox, sandbox_running, wanted
from vextrus_payments import PaymentSession
from vextrus_payments.sync import Payments
from vextrus_payments.testing import FakeClock
from vextrus_payments.webhooks.blocking import BlockingDoors, Question, head_of
from vextrus_payments.webhooks.django import django_async_view
from vextrus_payments.webhooks.wsgi import WsgiDoors

SHOP = "https://shop.example/orders/INV-1"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_running() as running:
        yield running


@pytest.fixture
def payments(sandbox: Sandbox, tmp_path: Path) -> Iterator[Payments]:
    made = sandbox.payments(tmp_path / "shop.db")
    yield made
    made.close()


def in_wsgi(payments: Payments) -> Any:
    return payments.wsgi()


def in_flask(payments: Payments) -> Any:
    flask = pytest.importorskip("flask", reason="Flask is not installed")
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = flask.Flask("shop")
    return DispatcherMiddleware(app.wsgi_app, {"/payments": payments.wsgi()})


def django_urls(view: Any) -> Any:
    """Django's handlers read one URL configuration per process: each test makes its own."""
    django = pytest.importorskip("django", reason="Django is not installed")
    from django.conf import settings
    from django.urls import path

    if not settings.configured:
        settings.configure(
            SECRET_KEY="none",
            ALLOWED_HOSTS=["127.0.0.1", "testserver"],
            MIDDLEWARE=[
                "django.middleware.security.SecurityMiddleware",
                "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
                "django.middleware.clickjacking.XFrameOptionsMiddleware",
            ],
            LOGGING_CONFIG=None,
        )
        django.setup()
    from django.urls import clear_url_caches, set_urlconf

    class Urls:
        urlpatterns = [path("payments/<path:route>", view)]

    settings.ROOT_URLCONF = Urls
    clear_url_caches()
    set_urlconf(None)
    return settings


def in_django(payments: Payments) -> Any:
    django_urls(payments.django_view())
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def in_django_asgi(payments: Payments) -> Any:
    django_urls(payments.django_async_view())
    from django.core.handlers.asgi import ASGIHandler

    return ASGIHandler()


def in_django_asgi_plain(payments: Payments) -> Any:
    """A plain view under ASGI: Django runs it in a thread."""
    django_urls(payments.django_view())
    from django.core.handlers.asgi import ASGIHandler

    return ASGIHandler()


HOSTS: list[tuple[Callable[[Payments], Any], str]] = [
    (in_wsgi, ""),
    (in_flask, "/payments"),
    (in_django, "/payments"),
    (in_django_asgi, "/payments"),
    (in_django_asgi_plain, "/payments"),
]
EVERY_HOST = pytest.mark.parametrize(("host", "prefix"), HOSTS, ids=[host.__name__ for host, _ in HOSTS])


@pytest.fixture
def shop(request: pytest.FixtureRequest, payments: Payments) -> Iterator[httpx.Client]:
    host, prefix = request.param
    app = host(payments)
    serving = uvicorn_serving(app, lifespan="off") if "asgi" in host.__name__ else wsgi_serving(app)
    with serving as url, httpx.Client(base_url=url + prefix, timeout=30) as http:
        yield http


EVERY_SHOP = pytest.mark.parametrize("shop", HOSTS, indirect=True, ids=[host.__name__ for host, _ in HOSTS])


NUMBERS = count(1)


def open_payment(payments: Payments, return_url: str | None = SHOP) -> PaymentSession:
    """A payment of an invoice and an amount of its own: the gateway knows those of the tests before."""
    number = next(NUMBERS)
    return payments.initialize(replace(wanted(f"INV-{number}", str(100 + number)), return_url=return_url))


@EVERY_SHOP
def test_a_payer_comes_back_and_pays_once(shop: httpx.Client, payments: Payments, sandbox: Sandbox) -> None:
    before = sandbox.calls("execute")
    session = open_payment(payments)
    sandbox.approve(session)
    hint = {"paymentID": session.gateway_reference, "status": "success"}
    answers = [shop.get("/bkash/return", params=hint), shop.get("/bkash/return/", params=hint)]
    answers.append(shop.post("/bkash/return", data=hint))  # no csrf token, from another site
    answers.append(shop.get("/bkash/return", params={**hint, "status": "cancel"}))
    for answer in answers:
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"] == f"{SHOP}?payment_id={session.payment_id}"
        assert (
            answer.headers["cache-control"] == "no-store"
            and answer.headers["referrer-policy"] == "no-referrer"
        )
    assert sandbox.calls("execute") == before + 1
    assert type(payments.status(session.payment_id)).__name__ == "Paid"


@EVERY_SHOP
def test_who_posted_without_a_shop_to_go_to_is_led_to_the_same_door(
    shop: httpx.Client, payments: Payments
) -> None:
    session = open_payment(payments, return_url=None)
    hint = {"paymentID": session.gateway_reference, "status": "cancel", "card_brand": "VISA"}
    posted = shop.post(
        "/bkash/return?vextrus_ref=R1", data=hint, headers={"origin": "https://gateway.example"}
    )
    assert (posted.status_code, posted.headers["location"]) == (303, "?vextrus_ref=R1")
    assert "set-cookie" not in posted.headers, "no session is begun for a visitor from another site"


@EVERY_SHOP
def test_a_cancel_hint_executes_nothing(shop: httpx.Client, payments: Payments, sandbox: Sandbox) -> None:
    before = sandbox.calls("execute")
    session = open_payment(payments, return_url=None)
    sandbox.approve(session)
    for status in ("cancel", "failure", "", "SUCCESS "):
        answer = shop.get(
            "/bkash/return", params={"paymentID": session.gateway_reference, "status": status},
            headers={"accept-language": "bn"},
        )  # fmt: skip
        assert answer.status_code == 200 and answer.headers["content-language"] == "bn"
        assert "text/html" in answer.headers["content-type"]
    assert sandbox.calls("execute") == before


@EVERY_SHOP
def test_webhooks_health_and_what_is_not_there(shop: httpx.Client, payments: Payments) -> None:
    assert shop.get("/health").json()["ready"] is True
    assert shop.head("/health").content == b""
    unsigned = shop.post("/bkash/webhook", content=b'{"Type":"Notification"}')
    assert unsigned.status_code in (400, 401)  # refused by who knows bKash's signatures
    assert shop.post("/nagad2/webhook", content=b"{}").json() == {"error": "not_found"}
    assert shop.post("/t/acme/bkash/webhook", content=b"{}").json() == {"error": "not_found"}
    assert shop.get("/bkash/webhook").headers["allow"] == "POST, OPTIONS"
    assert shop.post("/bkash/webhook", content=b"x", headers={"content-encoding": "gzip"}).status_code == 415
    too_long = shop.post("/bkash/webhook", content=b"x" * 300_000)
    assert too_long.status_code == 413 and too_long.json() == {"error": "body_too_large"}
    unknown = shop.get("/bkash/return", params={"paymentID": "TRnone", "status": "success"})
    assert unknown.status_code == 404 and "<h1>This payment is not known</h1>" in unknown.text
    payments.close()
    assert shop.post("/bkash/webhook", content=b"{}").status_code == 503


def test_many_threads_and_one_payment(payments: Payments, sandbox: Sandbox) -> None:
    before = sandbox.calls("execute")
    session = open_payment(payments)
    sandbox.approve(session)
    hint = {"paymentID": session.gateway_reference, "status": "success"}
    with wsgi_serving(payments.wsgi()) as url, ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda _: httpx.get(f"{url}/bkash/return", params=hint, timeout=30), range(40))
        )
    assert {answer.status_code for answer in answers} == {303}
    assert sandbox.calls("execute") == before + 1


# --- the stream -----------------------------------------------------------------------------------------------------


class Loop:
    """A keeper in a loop of its own, asked from threads."""

    def __init__(self, asked: ScriptedKeeper) -> None:
        self.asked = asked

    def __call__(self, question: Question[Any], /) -> Any:
        import asyncio

        return asyncio.run(question(self.asked))


@pytest.fixture
def asked() -> ScriptedKeeper:
    return keeper()


def environ(**changes: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/bkash/webhook", "SCRIPT_NAME": "/payments", "QUERY_STRING": "a=1",
        "CONTENT_TYPE": "", "CONTENT_LENGTH": "2", "REMOTE_ADDR": "203.0.113.9", "HTTP_X_ONE": "1",
        "wsgi.input": io.BytesIO(b"{}and the next request"), **changes,
    }  # fmt: skip


def call(asked: ScriptedKeeper, clock: Any = None, **changes: Any) -> tuple[int, bytes]:
    statuses: list[str] = []
    given = environ(**changes)
    body = WsgiDoors(Loop(asked), clock=clock)(given, lambda status, headers: statuses.append(status))
    assert asked.inside == 0
    return int(statuses[0].split(" ")[0]), b"".join(body)


def test_exactly_its_own_body_is_read(asked: ScriptedKeeper) -> None:
    assert call(asked) == (200, b'{"status":"accepted"}')
    (took,) = asked.took
    assert took.body == b"{}" and took.headers == {"content-length": "2", "x-one": "1"}
    assert took.query == "a=1" and took.peer == "203.0.113.9"


class Endless(io.RawIOBase):
    """Never ends; counts what was read."""

    def __init__(self, clock: FakeClock | None = None, step_s: float = 0.0) -> None:
        self.given = 0
        self.clock, self.step_s = clock, step_s

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "without a bound"
        if self.clock is not None:
            self.clock.advance(self.step_s)
        self.given += size
        return b"x" * size


def test_a_stream_that_never_ends_is_cut_off(asked: ScriptedKeeper) -> None:
    stream = Endless()
    status, _ = call(asked, CONTENT_LENGTH="", **{"wsgi.input": stream, "wsgi.input_terminated": True})
    assert status == 413 and stream.given == 1_001 and asked.took == []
    assert asked.left and asked.left[0] is asked.asked[0]


def test_without_a_length_nothing_is_read_where_it_would_not_end(asked: ScriptedKeeper) -> None:
    stream = Endless()
    assert call(asked, CONTENT_LENGTH="", **{"wsgi.input": stream})[0] == 200
    assert asked.took[0].body == b""
    status, body = call(asked, CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input": stream})
    assert (status, body) == (411, b'{"error":"length_required"}')
    assert stream.given == 0


def test_a_slow_body_is_given_up(asked: ScriptedKeeper) -> None:
    asked.body_max_bytes = 10**6
    clock = FakeClock()
    stream = Endless(clock, step_s=2.0)
    status, _ = call(asked, clock, CONTENT_LENGTH="900000", **{"wsgi.input": stream})
    assert status == 503 and stream.given < 100_000 and asked.took == []


def test_a_piece_that_is_there_is_taken_and_a_full_one_not_waited_for(asked: ScriptedKeeper) -> None:
    clock, waited = FakeClock(), []

    class Drip(io.RawIOBase):
        def read1(self, size: int = -1) -> bytes:
            clock.advance(1.0)
            return b"x"

        def read(self, size: int = -1) -> bytes:
            waited.append(size)
            return b"x" * size

    status, _ = call(asked, clock, CONTENT_LENGTH="900", **{"wsgi.input": Drip()})
    assert status == 503 and asked.took == [] and waited == []


def test_another_keeper_is_asked_from_then_on(asked: ScriptedKeeper) -> None:
    """A child of a fork has one of its own."""
    now = [asked]

    def ask(question: Question[Any], /) -> Any:
        return Loop(now[0])(question)

    doors = BlockingDoors(ask)
    for keeper_ in (asked, keeper()):
        now[0] = keeper_
        assert doors.answer(head_of(environ()), io.BytesIO(b"{}"), ends=False).status == 200
        assert len(keeper_.took) == 1 and keeper_.inside == 0


@pytest.mark.parametrize(("error", "status"), [(ConnectionResetError(), 400), (TimeoutError(), 503)])
def test_a_stream_that_breaks(asked: ScriptedKeeper, error: OSError, status: int) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise error

    assert call(asked, **{"wsgi.input": Broken()})[0] == status
    assert asked.took == []


def test_half_a_body_is_none(asked: ScriptedKeeper) -> None:
    assert call(asked, CONTENT_LENGTH="900", **{"wsgi.input": io.BytesIO(b"half")})[0] == 400
    assert asked.took == []


def test_a_body_that_the_hosts_middleware_has_read_is_our_own_fault(asked: ScriptedKeeper) -> None:
    """Amazon SNS gives a message up after a 4xx."""
    status, body = call(asked, CONTENT_LENGTH="900", **{"wsgi.input": io.BytesIO()})
    assert (status, body) == (503, b'{"error":"body_taken"}')
    assert asked.took == []


@pytest.mark.parametrize("path", ["/bkash/webhook\xff", "/\xe0\xa6\x95/webhook", "", "/"])
def test_paths_that_are_none(asked: ScriptedKeeper, path: str) -> None:
    assert call(asked, PATH_INFO=path)[0] == 404


@pytest.mark.parametrize("when", ["begin", "finish", "leave"])
def test_whatever_breaks_behind_it_is_our_own_fault(
    asked: ScriptedKeeper, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    asks = {"begin": 1, "finish": 2, "leave": 2}[when]
    loop, asked_so_far = Loop(asked), count(1)

    def ask(question: Question[Any], /) -> Any:
        if next(asked_so_far) == asks:
            raise RuntimeError("quotes app_secret")
        return loop(question)

    stream = (
        io.BytesIO(b"{}") if when != "leave" else io.BytesIO(b"{")
    )  # a body that is cut off is left, not finished
    reply = BlockingDoors(ask).answer(head_of(environ()), stream, ends=False)
    assert reply.status == (400 if when == "leave" else 503)
    assert "app_secret" not in caplog.text and "RuntimeError" in caplog.text


def test_a_drip_ends_with_the_servers_own_time_limit(asked: ScriptedKeeper) -> None:
    doors = WsgiDoors(_locked(Loop(asked)))
    with wsgi_serving(doors) as url, Wire(url) as wire:
        wire.send(b"POST /bkash/webhook HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\nx")
        answer = wire.answer()
        assert answer.split(b"\r\n")[0].split(b" ")[1] == b"503" and asked.took == []


def _locked(loop: Loop) -> Any:
    lock = threading.Lock()

    def ask(question: Question[Any], /) -> Any:
        with lock:
            return loop(question)

    return ask


@pytest.mark.skipif(os.name != "posix", reason="fork")
def test_a_child_of_a_fork_opens_its_own(payments: Payments) -> None:
    """gunicorn --preload: the doors were made in the parent."""
    doors = payments.wsgi()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"?"
        try:
            statuses: list[str] = []
            list(doors(environ(REQUEST_METHOD="GET", PATH_INFO="/health"), lambda s, h: statuses.append(s)))
            answer = statuses[0].encode()
            payments.close()
        finally:
            os.write(writing, answer)
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"200 OK"
    os.waitpid(child, 0)


@pytest.mark.parametrize("moment", [(1, "before"), (1, "after"), (2, "before"), (2, "after")])
async def test_who_hangs_up_on_an_async_view_leaves_at_every_moment(
    asked: ScriptedKeeper, moment: tuple[int, str]
) -> None:
    """Django cancels the view: what was let in on the other loop must not keep its place for ever."""
    steps = count(1)

    async def ask(question: Question[Any]) -> Any:
        step = next(steps)
        if moment == (step, "before"):
            serving.cancel()
            await asyncio.sleep(0)
        answer = await question(asked)
        if moment == (step, "after"):
            serving.cancel()
            await asyncio.sleep(0)
        return answer

    view = django_async_view(ask)
    django_urls(view)
    from django.test import AsyncRequestFactory

    request = AsyncRequestFactory().post("/bkash/webhook", b"{}", content_type="application/json")
    serving = asyncio.ensure_future(view(request, "bkash/webhook"))
    with pytest.raises(asyncio.CancelledError):
        await serving
    await asyncio.sleep(0.01)
    assert asked.inside == 0
    assert len(asked.asked) == 1 and len(asked.took) == 1, "and what he sent was not in vain"
