"""The ASGI application, spoken to by a server that the test is: every message of the protocol, in every order."""

import asyncio
import json
from typing import Any

import pytest

from tests.doors.keeper import ScriptedKeeper, health, keeper, result
from vextrus_payments.health import WorkerHealth
from vextrus_payments.webhooks import doorway
from vextrus_payments.webhooks.asgi import AsgiDoors
from vextrus_payments.webhooks.messages import Reply
from vextrus_payments.webhooks.routes import Door


class Answer:
    """What the application sent."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.messages = messages
        start = messages[0]
        assert start["type"] == "http.response.start"
        self.status: int = start["status"]
        self.headers = [(name.decode(), value.decode()) for name, value in start["headers"]]
        self.body = b"".join(message["body"] for message in messages[1:])
        assert all(name == name.lower() for name, _ in self.headers)
        names = [name for name, _ in self.headers]
        assert len(names) == len(set(names)), names

    def __getitem__(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


Parts = list[bytes]


async def ask(
    doors: AsgiDoors,
    method: str = "POST",
    path: str = "/bkash/webhook",
    parts: Parts | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
    ends: str = "whole",
    **scope: Any,
) -> Answer | None:
    """One request. `ends`: "whole", "disconnect" (in the middle of it) or "stall" (the rest never comes)."""
    parts = [b"{}"] if parts is None else parts
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": ends != "whole" or n < len(parts) - 1}
        for n, part in enumerate(parts)
    ]
    if ends == "disconnect":
        messages.append({"type": "http.disconnect"})
    sent: list[dict[str, Any]] = []
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        if read == len(messages):
            await asyncio.Event().wait()
        read += 1
        return messages[read - 1]

    async def send(message: Any) -> None:
        sent.append(dict(message))

    given = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "root_path": "", "query_string": b"", "scheme": "https",
        "headers": headers or [], "client": ("203.0.113.9", 4_000), "server": ("127.0.0.1", 80), **scope,
    }  # fmt: skip
    await asyncio.wait_for(doors(given, receive, send), 10)
    if not sent:
        return None
    answer = Answer(sent)
    answer.read = read  # type: ignore[attr-defined]
    return answer


@pytest.fixture
def asked() -> ScriptedKeeper:
    return keeper()


@pytest.fixture
def doors(asked: ScriptedKeeper) -> AsgiDoors:
    return AsgiDoors(asked)


async def test_a_delivery_is_handed_over_as_it_came(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    answer = await ask(
        doors,
        path="/mount/t/acme/bkash/webhook/",
        root_path="/mount",
        parts=[b'{"a": 1', b"", b", \xff}"],
        headers=[
            (b"X-One", b"1"),
            (b"x-two", b"a"),
            (b"x-two", b"b"),
            (b"x-\xe9", b"\xe9"),
            (b"content-length", b"13"),
        ],
        query_string=b"a=%00&b",
    )
    assert answer is not None and answer.status == 200 and answer.body == b'{"status":"accepted"}'
    (took,) = asked.took
    assert (took.gateway, took.tenant, took.method, took.query) == ("bkash", "acme", "POST", "a=%00&b")
    assert took.body == b'{"a": 1, \xff}'
    assert took.headers == {"x-one": "1", "x-two": "a, b", "x-é": "é", "content-length": "13"}
    assert took.peer == "203.0.113.9"
    assert asked.inside == 0
    assert answer["cache-control"] == "no-store" and answer["x-content-type-options"] == "nosniff"
    assert answer["content-type"] == "application/json" and answer["content-length"] == str(len(answer.body))


async def test_a_socket_without_an_address(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    await ask(doors, client=None)
    assert asked.took[0].peer is None


@pytest.mark.parametrize(("status", "kept_open"), [(200, True), (401, True), (503, True)])
async def test_the_keepers_answer_is_the_answer(
    doors: AsgiDoors, asked: ScriptedKeeper, status: int, kept_open: bool
) -> None:
    asked.reply = Reply(status=status, body=b"x", media_type="text/plain", headers=(("retry-after", "7"),))
    answer = await ask(doors)
    assert answer is not None and (answer.status, answer.body) == (status, b"x")
    assert answer["retry-after"] == "7" and answer["content-type"] == "text/plain"
    assert (answer["connection"] is None) == kept_open  # the body was read: the connection can go on


async def test_who_is_sent_away_is_not_read(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.send_away = Reply(status=429, headers=(("retry-after", "30"),))
    answer = await ask(doors)
    assert answer is not None and answer.status == 429 and answer["retry-after"] == "30"
    assert answer.read == 0 and answer["connection"] == "close"  # type: ignore[attr-defined]
    assert asked.left == [] and asked.took == []
    assert asked.asked[0].body == b""


# --- bodies ---------------------------------------------------------------------------------------------------------


async def test_a_body_of_the_limit_is_taken(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    answer = await ask(doors, parts=[b"x" * 400, b"y" * 600])
    assert answer is not None and answer.status == 200 and len(asked.took[0].body) == 1_000


@pytest.mark.parametrize("parts", [[b"x" * 1_001], [b"x" * 1_000, b"y"], [b"x"] * 1_001])
async def test_a_longer_one_is_not(doors: AsgiDoors, asked: ScriptedKeeper, parts: Parts) -> None:
    answer = await ask(doors, parts=parts)
    assert answer is not None and answer.status == 413 and answer.error == "body_too_large"
    assert answer["connection"] == "close"
    assert asked.took == [] and asked.inside == 0


async def test_one_that_says_so_is_not_even_begun(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    answer = await ask(doors, headers=[(b"content-length", b"1001")])
    assert answer is not None and answer.status == 413 and answer["connection"] == "close"
    assert answer.read == 0 and asked.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "length", [b"-1", b"1e3", b"", b"5, 5", b"0x10", b" 5", "৫".encode(), b"9" * 30, b"+5"]
)
async def test_a_length_that_is_none(doors: AsgiDoors, asked: ScriptedKeeper, length: bytes) -> None:
    answer = await ask(doors, headers=[(b"content-length", length)])
    assert answer is not None and answer.status == 400 and asked.took == []


async def test_a_length_beside_chunks_is_none(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    """A server that goes by the chunks would let in as one byte what is as long as its sender likes."""
    answer = await ask(
        doors, headers=[(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], parts=[b"x" * 900]
    )
    assert answer is not None and answer.status == 400 and answer["connection"] == "close"
    assert answer.read == 0 and asked.asked == []  # type: ignore[attr-defined]


async def test_a_body_that_the_hosts_middleware_has_read_is_our_own_fault(
    doors: AsgiDoors, asked: ScriptedKeeper
) -> None:
    answer = await ask(doors, headers=[(b"content-length", b"13")], parts=[b""])
    assert answer is not None and answer.status == 503 and answer["retry-after"] == "5"
    assert asked.took == [] and asked.inside == 0


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"br", b"deflate, gzip", b"identity, gzip", b"x"])
async def test_a_compressed_body_is_refused(doors: AsgiDoors, asked: ScriptedKeeper, coding: bytes) -> None:
    answer = await ask(doors, headers=[(b"content-encoding", coding)])
    assert answer is not None and answer.status == 415 and answer["accept-encoding"] == "identity"
    assert asked.asked == []


@pytest.mark.parametrize("coding", [b"identity", b"Identity ", b""])
async def test_a_plain_one_may_say_so(doors: AsgiDoors, asked: ScriptedKeeper, coding: bytes) -> None:
    answer = await ask(doors, headers=[(b"content-encoding", coding)])
    assert answer is not None and answer.status == 200


async def test_a_body_that_does_not_come_is_not_waited_for(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.read_deadline_s = 0.05
    answer = await ask(doors, parts=[b"x"], ends="stall")
    assert (
        answer is not None
        and answer.status == 503
        and answer["retry-after"]
        and answer["connection"] == "close"
    )
    assert asked.inside == 0 and asked.took == []


async def test_the_deadline_is_for_the_whole_body(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    """A piece now and then does not move it."""
    asked.read_deadline_s, asked.body_max_bytes = 0.1, 10**9
    pieces = 0

    async def drip() -> dict[str, Any]:
        nonlocal pieces
        pieces += 1
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/bkash/webhook", "headers": [], "query_string": b""}
    await asyncio.wait_for(doors(scope, drip, send), 5)
    assert sent[0]["status"] == 503 and 1 < pieces < 100


async def test_a_sender_that_leaves_is_not_answered(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    assert await ask(doors, parts=[b"x"], ends="disconnect") is None
    assert asked.took == [] and asked.inside == 0


async def test_a_request_that_is_cancelled_leaves(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    task = asyncio.ensure_future(ask(doors, parts=[b"x"], ends="stall"))
    await asyncio.sleep(0.01)
    assert asked.inside == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked.inside == 0


async def test_a_keeper_that_breaks_its_word_is_our_own_fault(
    doors: AsgiDoors, asked: ScriptedKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    asked.reply = RuntimeError("quotes app_secret")
    answer = await ask(doors)
    assert answer is not None and answer.status == 503 and answer["retry-after"]
    assert (
        b"app_secret" not in answer.body and "app_secret" not in caplog.text and "RuntimeError" in caplog.text
    )
    assert asked.inside == 0


# --- heads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "allowed"), [
    ("/bkash/webhook", "POST, OPTIONS"),
    ("/bkash/return", "GET, HEAD, POST, OPTIONS"),
    ("/health", "GET, HEAD, OPTIONS"),
])  # fmt: skip
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "OPTIONS"]
)
async def test_methods(doors: AsgiDoors, asked: ScriptedKeeper, path: str, allowed: str, method: str) -> None:
    form = [(b"content-type", b"application/x-www-form-urlencoded")]
    answer = await ask(doors, method, path, headers=form)
    assert answer is not None
    if method == "OPTIONS":
        assert answer.status == 204 and answer["allow"] == allowed and answer["content-type"] is None
    elif method in allowed.split(", "):
        assert answer.status in (200, 303)
    else:
        assert answer.status == 405 and answer["allow"] == allowed
    if method in ("HEAD", "OPTIONS"):
        assert answer.body == b""
    if method not in ("GET", "POST"):
        assert asked.took == [] and asked.returns == [] and asked.asked == []


async def test_a_look_at_the_return_door_does_nothing(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    """HEAD is asked by link checkers and previews, with the very address that pays."""
    answer = await ask(doors, "HEAD", "/bkash/return", query_string=b"paymentID=TR1&status=success")
    assert answer is not None and answer.status == 200 and asked.returns == []


@pytest.mark.parametrize("path", ["/", "", "/bkash", "/bkash/webhook/x", "/t//bkash/webhook", "/admin"])
async def test_other_addresses_are_not_here(doors: AsgiDoors, asked: ScriptedKeeper, path: str) -> None:
    answer = await ask(doors, path=path)
    assert answer is not None and answer.status == 404 and answer.error == "not_found"


async def test_a_hundred_headers_and_no_more(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    for count, status in ((100, 200), (101, 431)):
        answer = await ask(doors, headers=[(b"x-%d" % n, b"1") for n in range(count)])
        assert answer is not None and answer.status == status
    answer = await ask(doors, headers=[(b"x-one", b"1")] * 101)  # of one name, too
    assert answer is not None and answer.status == 431
    answer = await ask(doors, headers=[(b"x-one", b"1" * 70_000)])
    assert answer is not None and answer.status == 431 and answer["connection"] == "close"
    assert len(asked.took) == 1


@pytest.mark.parametrize("version", ["2", "3"])
async def test_no_connection_header_where_there_is_none(doors: AsgiDoors, version: str) -> None:
    answer = await ask(doors, headers=[(b"content-length", b"2000")], http_version=version)
    assert answer is not None and answer.status == 413 and answer["connection"] is None


# --- open and closed ------------------------------------------------------------------------------------------------


async def test_before_it_is_open(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.is_open = False
    asked.health_now = health(opened=False)
    answer = await ask(doors)
    assert answer is not None and answer.status == 503 and int(answer["retry-after"] or 0) > 0
    answer = await ask(doors, "GET", "/bkash/return", query_string=b"paymentID=TR1&status=success")
    assert answer is not None and answer.status == 503 and answer["retry-after"] and answer["refresh"]
    assert b"<h1>Just a moment</h1>" in answer.body
    answer = await ask(doors, "GET", "/health")
    assert answer is not None and answer.status == 503 and json.loads(answer.body)["store"] == "closed"
    assert (asked.asked, asked.took, asked.returns) == ([], [], [])
    asked.is_open = True
    answer = await ask(doors)
    assert answer is not None and answer.status == 200


async def test_lifespan_is_left_to_the_host(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.is_open = False
    told = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return told.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await doors({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not asked.is_open


async def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await AsgiDoors(keeper())({"type": "websocket"}, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["websocket.close"]
    with pytest.raises(ValueError, match="another kind"):
        await AsgiDoors(keeper())({"type": "carrier-pigeon"}, None, send)  # type: ignore[arg-type]


# --- the return door ------------------------------------------------------------------------------------------------

FORM = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")


async def test_returns_by_get_and_by_form(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    answer = await ask(
        doors, "GET", "/t/acme/bkash/return", query_string=b"paymentID=TR1&status=success",
        headers=[(b"cookie", b"session=1"), (b"accept-language", b"bn")],
    )  # fmt: skip
    assert answer is not None and answer.status == 303 and answer.body == b""
    assert answer["location"] == "https://shop.example/orders/1?payment_id=pay_1"
    assert answer["referrer-policy"] == "no-referrer" and answer["cache-control"] == "no-store"
    answer = await ask(
        doors, "POST", "/bkash/return/", parts=[b"paymentID=TR2", b"&status=cancel"],
        headers=[FORM, (b"origin", b"https://gateway.example"), (b"sec-fetch-site", b"cross-site")],
    )  # fmt: skip
    assert answer is not None and answer.status == 303
    assert [(t, g, p) for t, g, p, _ in asked.returns] == [
        ("acme", "bkash", {"paymentID": "TR1", "status": "success"}),
        (None, "bkash", {"paymentID": "TR2", "status": "cancel"}),
    ]
    assert {came.door for came in asked.asked} == {Door.RETURN}, "the limits of senders are not for payers"
    assert asked.inside == 0


@pytest.mark.parametrize("headers", [
    [(b"content-type", b"multipart/form-data; boundary=x")],
    [(b"content-type", b"application/json")],
    [],
    [FORM, (b"content-length", b"70000")],
    [FORM, (b"content-encoding", b"gzip")],
])  # fmt: skip
async def test_what_no_page_posts_gets_a_page(
    doors: AsgiDoors, asked: ScriptedKeeper, headers: list[tuple[bytes, bytes]]
) -> None:
    asked.body_max_bytes = 10**6
    answer = await ask(doors, "POST", "/bkash/return", headers=headers)
    assert answer is not None and answer.status == 400 and b"<h1>" in answer.body and asked.returns == []


async def test_a_posted_form_is_capped_while_it_comes(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.body_max_bytes = 10**9
    answer = await ask(doors, "POST", "/bkash/return", parts=[b"a" * 40_000] * 2, headers=[FORM])
    assert answer is not None and answer.status == 413 and asked.returns == []


async def test_a_page_instead_of_a_redirect(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.result = result(None)
    answer = await ask(doors, "GET", "/bkash/return", query_string=b"paymentID=TR1&status=failure")
    assert (
        answer is not None and answer.status == 200 and answer["content-type"] == "text/html; charset=utf-8"
    )
    assert (answer["content-security-policy"] or "").startswith("default-src 'none'")
    assert answer["content-length"] == str(len(answer.body))


# --- health ---------------------------------------------------------------------------------------------------------


async def test_health_tells_words_and_counts_only(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.health_now = health(
        store_problem="The store failed at postgresql://shop:hunter2@10.0.0.5/db.",
        restored="tenant acme is missing",
        workers=(WorkerHealth(name="outbox", alive=False, deaths=3),),
    )
    answer = await ask(doors, "GET", "/health")
    assert answer is not None and answer.status == 503 and answer["retry-after"]
    told = json.loads(answer.body)
    assert told["ok"] is told["ready"] is False and told["store"] == "down" and told["restored"] is True
    assert told["troubles"] == ["restored", "store", "worker"]
    for kept_back in (b"hunter2", b"10.0.0.5", b"acme"):
        assert kept_back not in answer.body


async def test_ready_is_200_though_something_waits(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.health_now = health(workers=(WorkerHealth(name="outbox", alive=True, deaths=1),))
    answer = await ask(doors, "GET", "/health/")
    assert answer is not None and answer.status == 200
    assert json.loads(answer.body)["ok"] is False and json.loads(answer.body)["ready"] is True
    head = await ask(doors, "HEAD", "/health")
    assert (
        head is not None
        and head.status == 200
        and head.body == b""
        and head["content-length"] == answer["content-length"]
    )


async def test_many_probes_ask_the_store_once(
    doors: AsgiDoors, asked: ScriptedKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "_HEALTH_KEPT_S", 3_600.0)  # whatever else this machine does
    answers = await asyncio.gather(*(ask(doors, "GET", "/health") for _ in range(50)))
    assert {answer.status for answer in answers if answer} == {200} and asked.health_looks == 1
    await ask(doors, "GET", "/health")
    assert asked.health_looks == 1
    monkeypatch.setattr(doorway, "_HEALTH_KEPT_S", 0.0)
    await ask(doors, "GET", "/health")
    assert asked.health_looks == 2


async def test_a_probe_of_a_broken_keeper(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    asked.health_now = RuntimeError("quotes app_secret")
    answer = await ask(doors, "GET", "/health")
    assert answer is not None and answer.status == 503 and b"secret" not in answer.body


def test_one_application_in_two_loops(doors: AsgiDoors, asked: ScriptedKeeper) -> None:
    for _ in range(2):
        answer = asyncio.run(ask(doors, "GET", "/health"))
        assert answer is not None and answer.status == 200
