"""`vextrus-pay outbox`: what waits and why, and what was set aside let go again."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Here
from tests.flows.queue_world import fill
from vextrus_payments.records import OutboxKind
from vextrus_payments.stores import SqliteStore

Work = Callable[[SqliteStore], Coroutine[Any, Any, Any]]


class Queue:
    """A store with rows, and the command that looks into it."""

    def __init__(self, path: Path, here: Here) -> None:
        self._path = path
        self._here = here

    def do(self, work: Work) -> Any:
        """Work on the store."""

        async def opened() -> Any:
            store = SqliteStore(self._path)
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(opened())

    def park(self, *row_ids: str, why: str = "There is no account [bold]here[/bold].\n\x1b[31m") -> None:
        """Set rows aside."""

        async def work(store: SqliteStore) -> None:
            for kind in OutboxKind:
                for row in await store.lease(kind, limit=100, lease_s=60):
                    if row.row_id in row_ids:
                        await store.nack(row, retry_at=None, why=why)

        self.do(work)

    def run(self, *arguments: str) -> Any:
        """Run the command on this store."""
        return self._here.run("outbox", *arguments, "--store", f"sqlite:///{self._path}")


@pytest.fixture
def queue(tmp_path: Path, here: Here) -> Queue:
    return Queue(tmp_path / "shop.db", here)


def test_it_lists_what_waits_and_what_was_set_aside(queue: Queue) -> None:
    queue.do(lambda store: fill(store, [2, 1]))
    queue.do(lambda store: fill(store, [1], kind=OutboxKind.EVENT, name="evt"))
    queue.park("ent_pay0-1")
    shown = queue.run("list")
    assert shown.code == 0
    assert "2 wait, the oldest for" in shown.out and "1 set aside" in shown.out
    assert "Events" in shown.out and "none set aside" in shown.out
    assert "ent_pay0-1" in shown.out and "ent_pay0-2" not in shown.out
    assert "There is no account [bold]here[/bold]." in shown.out
    assert "\x1b" not in shown.out

    ledger, events = queue.run("list", "--json").document["queues"]
    assert (ledger["kind"], ledger["waiting"], ledger["parked"]) == ("ledger", 2, 1)
    assert [(row["row_id"], row["tries"], row["tenant"]) for row in ledger["rows"]] == [
        ("ent_pay0-1", 1, "acme")
    ]
    assert (events["kind"], events["waiting"], events["rows"], events["cursor"]) == ("event", 1, [], None)


def test_it_lists_everything_page_by_page(queue: Queue) -> None:
    queue.do(lambda store: fill(store, [1] * 5))

    async def deliver_one(store: SqliteStore) -> None:
        (row,) = await store.lease(OutboxKind.LEDGER, limit=1, lease_s=60)
        await store.ack(row)
        (row,) = await store.lease(OutboxKind.LEDGER, limit=1, lease_s=60)
        await store.nack(row, retry_at=store.now(), why="Busy.")

    queue.do(deliver_one)
    shown = queue.run("list", "--all", "--kind", "ledger", "--limit", "3")
    for words in ("delivered", "offered again at", "waits", "--cursor"):
        assert words in shown.out, words
    seen, cursor = [], None
    while True:
        more = () if cursor is None else ("--cursor", cursor)
        (page,) = queue.run("list", "--all", "--kind", "ledger", "--limit", "2", *more, "--json").document[
            "queues"
        ]
        seen += [row["row_id"] for row in page["rows"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == [f"ent_pay{number}-1" for number in range(5)]


def test_named_rows_are_let_go(queue: Queue) -> None:
    queue.do(lambda store: fill(store, [1, 1]))
    queue.park("ent_pay0-1", "ent_pay1-1")
    done = queue.run("retry", "ent_pay0-1", "--json")
    assert (done.code, done.document["rows"]) == (0, [{"tenant": "acme", "row_id": "ent_pay0-1"}])
    backlog = queue.do(lambda store: store.backlog(OutboxKind.LEDGER))
    assert (backlog.waiting, backlog.parked) == (1, 1)
    mixed = queue.run("retry", "ent_pay1-1", "ent_pay0-1")
    assert mixed.code == 4
    assert mixed.out == "1 row will be offered again.\n"
    assert "ent_pay0-1 is not set aside here" in mixed.err


def test_all_that_was_set_aside_is_let_go(queue: Queue) -> None:
    queue.do(lambda store: fill(store, [1, 1]))
    queue.do(lambda store: fill(store, [1], kind=OutboxKind.EVENT, name="evt"))
    queue.park("ent_pay0-1", "ent_pay1-1", "evt_evt0-1")
    assert queue.run("retry", "--all", "--kind", "event").out == "1 row will be offered again.\n"
    assert queue.run("retry", "--all", "--tenant", "nobody").out == "0 rows will be offered again.\n"
    assert queue.run("retry", "--all", "--tenant", "acme").out == "2 rows will be offered again.\n"
    again = queue.run("retry", "--all")
    assert (again.code, again.out) == (0, "0 rows will be offered again.\n")


def test_a_row_that_two_tenants_have_is_let_go_by_tenant(queue: Queue) -> None:
    for tenant in ("acme", "bravo"):
        queue.do(lambda store, tenant=tenant: fill(store, [1], tenant=tenant))  # type: ignore[misc]
    queue.park("ent_pay0-1")
    done = queue.run("retry", "ent_pay0-1")
    assert done.code == 2 and "--tenant" in done.error
    assert queue.do(lambda store: store.backlog(OutboxKind.LEDGER)).parked == 2
    named = queue.run("retry", "ent_pay0-1", "--tenant", "bravo", "--json").document
    assert named["rows"] == [{"tenant": "bravo", "row_id": "ent_pay0-1"}]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("retry",), 2, "--all"),
        (("retry", "ent_1", "--all"), 2, "--all"),
        (("retry", "ent_unheard_of"), 4, "Not set aside"),
        (("list", "--cursor", "1:2"), 2, "--kind"),
        (("list", "--all", "--kind", "ledger", "--cursor", "nonsense"), 2, "cursor"),
        (("list", "--kind", "orders"), 2, "--kind"),
        (("list", "--limit", "0"), 2, "1 to 1000"),
    ],
)
def test_wrong_wishes_are_refused_in_words(
    queue: Queue, arguments: tuple[str, ...], code: int, says: str
) -> None:
    queue.do(lambda store: fill(store, [1]))
    done = queue.run(*arguments)
    assert done.code == code
    assert says in done.error


def test_where_there_is_no_store_it_says_so(here: Here) -> None:
    done = here.run("outbox", "list")
    assert (done.code, done.err) == (0, "There is no store here yet.\n")
