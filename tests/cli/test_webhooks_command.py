"""`vextrus-pay webhooks`: what came is shown without secrets, replayed without harm, forwarded as it came."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Done, Gateway, Here
from tests.cli.shop_app import ShopApp
from vextrus_payments import Money, PaymentRequest, Payments
from vextrus_payments.documents import to_json
from vextrus_payments.events import GatewayEvent
from vextrus_payments.inbox import InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.stores import SqliteStore

_NUMBERS = count(1)
BODY = b'{"trxID": "TRX1", "debitMSISDN": "8801770618575", "note": "\\u001b[31mred\\u202e"}'
HEADERS = {
    "content-type": "text/plain",
    "x-signature": "canary-signature-of-the-sender",
    "host": "shop.example",
    "x-forwarded-for": "192.0.2.9",
    "content-length": "77",
    "x-amz-sns-message-type": "Notification",
}


def row(event_id: str = "e-1", **changes: Any) -> NewInboxEvent:
    """News of a payment, as the door keeps it."""
    event = GatewayEvent(
        event_id=event_id,
        snapshot=PaymentSnapshot(
            state=SnapshotState.PAID,
            gateway_reference="",
            raw_state="Completed",
            gateway_order_id=changes.pop("order", "INV-9"),
            amount=Money("12.50", "BDT"),
            transaction_id="TRX1",
            payer_account="01770618575",
        ),
    )
    fields: dict[str, Any] = {
        "tenant": "default",
        "gateway": "bkash",
        "mode": Mode.SANDBOX,
        "event_id": event_id,
        "news_key": None,
        "document": to_json(event),
        "headers": HEADERS,
        "body": BODY,
    }
    return NewInboxEvent(**{**fields, **changes})


class Inbox:
    """A store with rows, and the command that looks into it."""

    def __init__(self, path: Path, here: Here) -> None:
        self.path = path
        self._here = here

    def do(self, work: Callable[[SqliteStore], Coroutine[Any, Any, Any]]) -> Any:
        """Work on the store."""

        async def opened() -> Any:
            store = SqliteStore(self.path)
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(opened())

    def keep(self, *rows: Callable[[Any], NewInboxEvent]) -> None:
        """As the door does."""

        async def accept(store: SqliteStore) -> None:
            await store.accept_events([make(store.now()) for make in rows])

        self.do(accept)

    def run(self, *arguments: str) -> Done:
        """Run the command on this store."""
        return self._here.run("webhooks", *arguments, "--store", f"sqlite:///{self.path}")


@pytest.fixture
def inbox(tmp_path: Path, here: Here) -> Inbox:
    made = Inbox(tmp_path / "shop.db", here)
    made.keep(
        lambda now: row("e-1", received_at=now),
        lambda now: row("e-2", tenant="acme", received_at=now, order="x" * 300),
        lambda now: row("e-3", gateway="rocket", received_at=now),
        lambda now: row("both", received_at=now),
        lambda now: row("both", mode=Mode.LIVE, received_at=now),
    )
    return made


def test_it_lists_what_came_and_from_whom(inbox: Inbox) -> None:
    shown = inbox.run("list")
    assert shown.code == 0
    for words in ("e-1", "acme", "rocket", "payment paid 12.50 BDT", "waiting"):
        assert words in shown.out.replace("\n", " "), words
    (place,) = inbox.run("list", "--json").document["places"]
    assert [found["event_id"] for found in place["rows"]] == ["both", "both", "e-3", "e-2", "e-1"]
    assert place["rows"][-1]["told"]["payer_account"] == "017****8575"
    for arguments, expected in (
        (("--tenant", "acme"), ["e-2"]),
        (("--gateway", "rocket"), ["e-3"]),
        (("--state", "parked"), []),
        (("--since", "1h", "--limit", "2"), ["both", "both"]),
    ):
        (place,) = inbox.run("list", *arguments, "--json").document["places"]
        assert [found["event_id"] for found in place["rows"]] == expected
    assert "Nothing of that kind" in inbox.run("list", "--state", "done").out


def test_it_lists_page_by_page(inbox: Inbox) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        more = () if cursor is None else ("--cursor", cursor)
        (page,) = inbox.run("list", "--limit", "2", *more, "--json").document["places"]
        seen += [found["event_id"] for found in page["rows"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == ["both", "both", "e-3", "e-2", "e-1"]


def test_it_shows_one_without_secrets_and_accounts(inbox: Inbox) -> None:
    shown = inbox.run("show", "e-1")
    document = inbox.run("show", "e-1", "--json").document["webhook"]
    for text in (shown.out, json.dumps(document)):
        assert "canary" not in text and "1770618575" not in text and "\x1b" not in text
    assert "\u202e" not in shown.out
    assert "trxID" in shown.out and "TRX1" in shown.out
    assert document["headers"]["x-signature"] != HEADERS["x-signature"]
    assert document["told"]["transaction_id"] == "TRX1" and document["body_bytes"] == len(BODY)


def test_the_raw_delivery_goes_into_new_files_of_the_owner_alone(inbox: Inbox, tmp_path: Path) -> None:
    headers, body = tmp_path / "h.json", tmp_path / "b.bin"
    arguments = ("show", "e-1", "--headers-to", str(headers), "--body-to", str(body))
    assert inbox.run(*arguments).code == 0
    assert body.read_bytes() == BODY
    assert json.loads(headers.read_text(encoding="utf-8")) == HEADERS
    if os.name == "posix":
        assert body.stat().st_mode & 0o077 == 0
    again = inbox.run(*arguments)
    assert again.code == 2 and "could not be written" in again.error


def test_which_one_is_meant_has_to_be_said(inbox: Inbox) -> None:
    assert "both" in inbox.run("show", "both", "--mode", "live").out
    several = inbox.run("show", "both")
    assert several.code == 2 and "Several rows have that id" in several.error
    none = inbox.run("show", "e-2")
    assert none.code == 2 and "No webhook of the id e-2" in none.error
    assert inbox.run("show", "e-2", "--tenant", "acme").code == 0
    assert inbox.run("show", "e-3").code == 2, "a gateway that is not installed has to be named"
    assert inbox.run("show", "e-3", "--gateway", "rocket").code == 0


def test_a_replay_makes_it_due_again(inbox: Inbox) -> None:
    async def finish(store: SqliteStore) -> None:
        from vextrus_payments.inbox import InboxEnd

        leased = await store.lease_events(limit=10, lease_s=60)
        await store.end_events([InboxEnd(row=each, state=InboxState.DONE) for each in leased])

    inbox.do(finish)
    assert "due again" in inbox.run("replay", "e-1").out
    assert inbox.run("replay", "e-1", "--json").document["webhook"]["state"] == "waiting"
    assert inbox.run("replay", "nothing").code == 2
    needs_app = inbox.run("replay", "e-1", "--now")
    assert needs_app.code == 2 and "--app" in needs_app.error


# --- with the shop's own application --------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, sandbox: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShopApp]:
    made = ShopApp(tmp_path / "shop", sandbox, f"shop_hooks_{os.getpid()}_{next(_NUMBERS)}")
    monkeypatch.chdir(made.folder)
    path = list(sys.path)
    yield made
    sys.path[:] = path
    sys.modules.pop(made.module, None)


def test_a_replay_here_and_now_is_applied(here: Here, shop: ShopApp, reference: str, amount: str) -> None:
    async def did(payments: Payments) -> Any:
        session = await payments.initialize(
            PaymentRequest(
                operation_id=f"{reference}/pay",
                gateway="bkash",
                amount=Money(amount, "BDT"),
                merchant_reference=reference,
            )
        )
        now = payments.store.now()
        await payments.store.accept_events([row(received_at=now, order=session.gateway_order_id)])
        return session

    session = shop.did(did, ago_s=0)
    done = here.run("webhooks", "replay", "e-1", "--now", "--json", "--app", shop.app, env=shop.env)
    assert (done.code, done.err) == (0, "")
    found = done.document["webhook"]
    assert (found["payment_id"], found["state"]) == (session.payment_id, "waiting")
    assert found["note"] == "The gateway's look-up does not show it yet."


# --- forward --------------------------------------------------------------------------------------------------------


@contextmanager
def receiving(status: int, answer: bytes = b"taken", **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """Somebody who takes posts: the address, and what came."""
    came: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", came
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_it_is_forwarded_as_it_came(inbox: Inbox) -> None:
    with receiving(202, b"thanks \x1b[31m token=canary-secret-of-theirs-000000") as (url, came):
        done = inbox.run("forward", "e-1", "--to", f"{url}/payments/bkash/webhook")
        assert (done.code, done.err) == (0, "")
        ((path, headers, body),) = came
    assert (path, body) == ("/payments/bkash/webhook", BODY)
    assert headers["x-signature"] == HEADERS["x-signature"]
    assert headers["x-amz-sns-message-type"] == "Notification"
    assert headers["host"] == url.removeprefix("http://") and headers["content-length"] == str(len(BODY))
    assert "x-forwarded-for" not in headers
    assert "answered 202" in done.out and "canary" not in done.out and "\x1b" not in done.out


def test_a_no_is_a_no_and_redirects_are_not_followed(inbox: Inbox) -> None:
    with receiving(302, location="http://127.0.0.1:1/elsewhere") as (url, came):
        done = inbox.run("forward", "e-1", "--to", url, "--json")
        assert len(came) == 1
    assert (done.code, done.document["status"], done.document["taken"]) == (1, 302, False)


@pytest.mark.parametrize("url", ["ftp://x/", "http://u:p@x/", "nothing", "http://x/#f"])
def test_an_address_that_is_none_is_refused(inbox: Inbox, url: str) -> None:
    done = inbox.run("forward", "e-1", "--to", url)
    assert done.code == 2 and "--to" in done.error


def test_nobody_there_is_said_in_one_line(inbox: Inbox) -> None:
    with receiving(200) as (url, _):
        pass
    done = inbox.run("forward", "e-1", "--to", url)
    assert done.code == 4 and "No money moved" in done.error
