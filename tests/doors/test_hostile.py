"""Whatever comes in: an answer, never a traceback, never a 5xx, and nothing of the request in it."""

import asyncio
import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doors.keeper import keeper, result
from vextrus_payments.webhooks.asgi import AsgiDoors
from vextrus_payments.webhooks.blocking import BlockingDoors, Question, head_of
from vextrus_payments.webhooks.doorway import headers_of

token = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh-_!#$%&'*+.^`|~", min_size=1, max_size=12)
methods = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PUT", "PRI", "post"]) | token
paths = (
    st.sampled_from(["/bkash/webhook", "/bkash/return", "/health", "/t/acme/bkash/return/", "/t/acme/bkash/webhook"])
    | st.text(max_size=40)
    | st.lists(st.sampled_from(["t", "bkash", "webhook", "return", "..", "", "%2e", "acme", "health"]), max_size=6).map(
        lambda parts: "/" + "/".join(parts)
    )
)  # fmt: skip
latin = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=60)
names = st.sampled_from(
    [
        "content-length",
        "content-type",
        "content-encoding",
        "accept-language",
        "transfer-encoding",
        "x-sig",
        "cookie",
    ]
) | token.map(str.lower)
values = latin | st.sampled_from(
    [
        "application/x-www-form-urlencoded",
        "5",
        "0",
        "-1",
        "1e9",
        "gzip",
        "identity",
        "chunked",
        "bn",
        "99999999999999",
    ]
)
headers = st.lists(st.tuples(names, values), max_size=12)
queries = latin | st.sampled_from(["paymentID=TR1&status=success", "a=%FF", "a=%00", "&&&===", "x=" * 200])

#: What a hostile request may be told. 503 is for us alone: the keeper is open and does not fail.
ALLOWED = {200, 204, 303, 400, 404, 405, 411, 413, 415, 431}


@settings(max_examples=400, deadline=None)
@given(
    method=methods, path=paths, root=st.sampled_from(["", "/payments", "/t/acme"]), given_headers=headers,
    query=queries, parts=st.lists(st.binary(max_size=700), max_size=4), leaves=st.booleans(), own_page=st.booleans(),
)  # fmt: skip
def test_over_asgi(
    method: str, path: str, root: str, given_headers: list[tuple[str, str]], query: str, parts: list[bytes],
    leaves: bool, own_page: bool,
) -> None:  # fmt: skip
    asked = keeper()
    if own_page:
        asked.result = result(None)
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "root_path": root,
        "query_string": query.encode("latin-1", "replace"), "client": ("203.0.113.9", 1),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given_headers],
    }  # fmt: skip
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    messages.append({"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b""})
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(AsgiDoors(asked)(scope, receive, send))
    assert asked.inside == 0
    if not sent:
        assert leaves
        return
    assert sent[0]["status"] in ALLOWED
    for name, value in sent[0]["headers"]:
        assert b"\r" not in name + value and b"\n" not in name + value and (name + value).isascii()
    if sent[0]["status"] == 303:
        assert dict(sent[0]["headers"])[b"location"] == b"https://shop.example/orders/1?payment_id=pay_1"
    assert b"<script" not in sent[1]["body"]


@settings(max_examples=200, deadline=None)
@given(
    method=methods, path=latin.map(lambda text: f"/{text}") | paths.map(lambda p: p.encode().decode("latin-1")),
    given_headers=headers, query=queries, body=st.binary(max_size=1_500), ends=st.booleans(),
)  # fmt: skip
def test_over_wsgi(
    method: str, path: str, given_headers: list[tuple[str, str]], query: str, body: bytes, ends: bool
) -> None:
    asked = keeper()

    def ask(question: Question[Any], /) -> Any:
        return asyncio.run(question(asked))

    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    for name, value in given_headers:
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    reply = BlockingDoors(ask).answer(head_of(environ), io.BytesIO(body), ends=ends)
    assert reply.status in ALLOWED and asked.inside == 0
    for name, value in headers_of(reply):
        assert "\r" not in name + value and "\n" not in name + value
