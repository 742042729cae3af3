"""Mounted as users mount it, in real frameworks under a real server, asked over real sockets."""

import json
import socket
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest

from tests.doors.keeper import ScriptedKeeper, keeper, result
from tests.doors.servers import Wire, uvicorn_serving
from vextrus_payments.webhooks.asgi import AsgiDoors

starlette = pytest.importorskip("starlette.applications", reason="starlette is not installed")


@asynccontextmanager
async def opening(app: Any) -> AsyncIterator[None]:
    """The host's lifespan: what opens Payments."""
    app.state.keeper.is_open = True
    yield
    app.state.keeper.is_open = False


def bare(doors: AsgiDoors, asked: ScriptedKeeper) -> Any:
    asked.is_open = True
    return doors


def in_starlette(doors: AsgiDoors, asked: ScriptedKeeper) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/payments", doors)], lifespan=opening)
    app.state.keeper = asked
    return app


def deep_in_starlette(doors: AsgiDoors, asked: ScriptedKeeper) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/a", routes=[Mount("/b", doors)])], lifespan=opening)
    app.state.keeper = asked
    return app


def in_fastapi(doors: AsgiDoors, asked: ScriptedKeeper, **settings: Any) -> Any:
    fastapi = pytest.importorskip("fastapi", reason="fastapi is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer ones would have the server told of it
        app = fastapi.FastAPI(lifespan=opening, **settings)
    app.state.keeper = asked
    app.mount("/payments", doors)
    return app


def in_fastapi_behind_a_stripping_proxy(doors: AsgiDoors, asked: ScriptedKeeper) -> Any:
    return in_fastapi(doors, asked, root_path="/api/v1")


def in_litestar(doors: AsgiDoors, asked: ScriptedKeeper) -> Any:
    litestar = pytest.importorskip("litestar", reason="litestar is not installed")

    @litestar.asgi("/payments", is_mount=True, copy_scope=True)
    async def payments(scope: Any, receive: Any, send: Any) -> None:
        await doors(scope, receive, send)

    app = litestar.Litestar(route_handlers=[payments], lifespan=[opening])
    app.state.keeper = asked
    return app


MOUNTS: list[tuple[Callable[..., Any], str, dict[str, str]]] = [
    (bare, "", {}),
    (in_starlette, "/payments", {}),
    (deep_in_starlette, "/a/b", {}),
    (
        in_starlette,
        "/payments",
        {"root_path": "/api/v1"},
    ),  # the server is told of the prefix that a proxy strips
    (in_fastapi, "/payments", {}),
    (in_fastapi, "/payments", {"root_path": "/api/v1"}),
    (in_fastapi_behind_a_stripping_proxy, "/payments", {}),
    (in_litestar, "/payments", {}),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize(
    ("host", "prefix", "settings"), MOUNTS, ids=[f"{m[0].__name__}-{len(m[2])}" for m in MOUNTS]
)
def test_every_door_of_every_mount(host: Callable[..., Any], prefix: str, settings: dict[str, str]) -> None:
    asked = keeper()
    asked.is_open = False
    with (
        uvicorn_serving(host(AsgiDoors(asked), asked), **settings) as url,
        httpx.Client(base_url=url + prefix) as http,
    ):
        for slash in ("", "/"):
            answer = http.post(f"/bkash/webhook{slash}", content=b'{"a":1}', headers={"x-sig": "1"})
            assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
            answer = http.post(f"/t/acme/bkash/webhook{slash}", content=b"{}")
            assert answer.status_code == 200
            answer = http.get(f"/bkash/return{slash}", params={"paymentID": "TR1", "status": "success"})
            assert answer.status_code == 303
            assert answer.headers["location"] == "https://shop.example/orders/1?payment_id=pay_1"
            assert http.post(f"/bkash/return{slash}", data={"tran_id": "1"}).status_code == 303
            asked.result = result(None)
            posted = http.post(
                f"/bkash/return{slash}?vextrus_ref=1", data={"tran_id": "1"}, follow_redirects=True
            )
            assert [one.status_code for one in (*posted.history, posted)] == [303, 200]
            assert posted.request.method == "GET"
            assert str(posted.url).endswith(f"/bkash/return{slash}?vextrus_ref=1")
            asked.result = result("https://shop.example/orders/1")
            assert http.get(f"/health{slash}").json()["ready"] is True
            head = http.head(f"/health{slash}")
            assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) > 0
        assert [took.tenant for took in asked.took] == [None, "acme"] * 2
        assert asked.took[0].body == b'{"a":1}' and asked.took[0].headers["x-sig"] == "1"
        assert asked.took[0].peer == "127.0.0.1"
        assert http.get("/bkash/webhook").status_code == 405
        assert http.post("/bkash/other").status_code == 404
        assert http.options("/bkash/webhook").headers["allow"] == "POST, OPTIONS"
        assert http.post("/bkash/webhook", content=b"x" * 1_001).status_code == 413
        assert asked.inside == 0


@pytest.fixture
def asked() -> ScriptedKeeper:
    made = keeper()
    made.read_deadline_s = 0.3
    return made


@contextmanager
def served(asked: ScriptedKeeper, http: str) -> Iterator[str]:
    with uvicorn_serving(AsgiDoors(asked), http=http) as url:
        yield url


HEAD = b"POST /bkash/webhook HTTP/1.1\r\nhost: x\r\n"
SERVERS = pytest.mark.parametrize("http", ["h11", "httptools"])


@SERVERS
def test_one_who_drips_is_sent_away_and_hinders_nobody(asked: ScriptedKeeper, http: str) -> None:
    """Slow loris, thirty at once: each has its deadline, and an honest sender is served meanwhile."""
    with served(asked, http) as url:
        drips = [Wire(url) for _ in range(30)]
        try:
            for wire in drips:
                wire.send(HEAD + b"content-length: 900\r\n\r\nx")
            assert httpx.post(f"{url}/bkash/webhook", content=b"{}").status_code == 200
            for wire in drips:
                answer = wire.answer()  # ends: the connection is closed
                assert answer.startswith(b"HTTP/1.1 503") and b"retry-after" in answer
        finally:
            for wire in drips:
                wire.__exit__()
        assert len(asked.took) == 1 and asked.inside == 0


@SERVERS
def test_a_sender_that_hangs_up_in_the_middle(asked: ScriptedKeeper, http: str) -> None:
    asked.read_deadline_s = 60
    with served(asked, http) as url:
        with Wire(url) as wire:
            wire.send(HEAD + b"content-length: 900\r\n\r\nx")
            _until(lambda: asked.inside == 1)
        _until(lambda: asked.inside == 0)
        assert asked.took == []


@SERVERS
def test_a_chunked_body_is_cut_off_at_the_limit(asked: ScriptedKeeper, http: str) -> None:
    asked.read_deadline_s = 60
    with served(asked, http) as url, Wire(url) as wire:
        wire.send(HEAD + b"transfer-encoding: chunked\r\n\r\n" + (b"64\r\n" + b"x" * 100 + b"\r\n") * 11)
        answer = wire.answer()  # though the body never ended
        assert answer.startswith(b"HTTP/1.1 413") and asked.took == [] and asked.inside == 0


@SERVERS
def test_a_chunked_body_within_it_is_taken(asked: ScriptedKeeper, http: str) -> None:
    with served(asked, http) as url:
        answer = httpx.post(f"{url}/bkash/webhook", content=iter([b"{", b"}"]))
        assert answer.status_code == 200 and asked.took[0].body == b"{}"


@SERVERS
def test_nobody_is_told_to_go_on_with_what_is_not_read(asked: ScriptedKeeper, http: str) -> None:
    expect = HEAD + b"expect: 100-continue\r\nconnection: close\r\n"
    with served(asked, http) as url:
        with Wire(url) as wire:
            wire.send(expect + b"content-length: 5000\r\n\r\n")
            assert wire.answer().startswith(b"HTTP/1.1 413")
        with Wire(url) as wire:
            wire.send(expect + b"content-length: 2\r\n\r\n")
            assert wire.head().startswith(b"HTTP/1.1 100")
            wire.send(b"{}")
            assert b"HTTP/1.1 200" in wire.answer()


@SERVERS
def test_too_many_headers(asked: ScriptedKeeper, http: str) -> None:
    with served(asked, http) as url, Wire(url) as wire:
        wire.send(HEAD + b"".join(b"x-%d: 1\r\n" % n for n in range(200)) + b"content-length: 2\r\n\r\n{}")
        assert wire.answer().startswith(b"HTTP/1.1 431")
        assert asked.took == []


@SERVERS
def test_two_lengths_are_none(asked: ScriptedKeeper, http: str) -> None:
    with served(asked, http) as url, Wire(url) as wire:
        wire.send(HEAD + b"content-length: 2\r\ncontent-length: 3\r\nconnection: close\r\n\r\n{}")
        assert wire.answer().startswith(b"HTTP/1.1 400") and asked.took == []


def test_a_unix_socket_has_no_address(asked: ScriptedKeeper, tmp_path: Any) -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("no Unix sockets here")
    path = str(tmp_path / "s")
    way = httpx.HTTPTransport(uds=path)
    with (
        uvicorn_serving(AsgiDoors(asked), uds=path),
        httpx.Client(transport=way, base_url="http://x") as http,
    ):
        assert http.post("/bkash/webhook", content=b"{}").status_code == 200
    assert asked.took[0].peer is None


def _until(true: Callable[[], bool], patience_s: float = 10.0) -> None:
    give_up = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_the_document_of_health_is_json(asked: ScriptedKeeper) -> None:
    with uvicorn_serving(AsgiDoors(asked)) as url:
        answer = httpx.get(f"{url}/health")
        assert answer.headers["content-type"] == "application/json"
        assert set(json.loads(answer.text)) >= {"ok", "ready", "at", "store", "workers", "troubles"}
