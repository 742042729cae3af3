"""Refunds of payments that are not in our store: claimed, checkpointed, kept; never sent by two."""

import multiprocessing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vextrus_payments.cli.refund_log import SEND_WINDOW_S, Begun, Made, RefundLog
from vextrus_payments.errors import ConflictError, OperationConflictError, StaleStateError, StorageError
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, RefundCall
from vextrus_payments.testing import FakeClock

BASELINE = Evidence("refund.baseline", {"listed": ["A", "B"], "amount_minor": 4000})


def _call(operation_id: str = "op", amount: str = "40", transaction_id: str = "DKN1") -> RefundCall:
    return RefundCall(
        operation_id=operation_id,
        gateway_reference="TR1",
        transaction_id=transaction_id,
        amount=Money(amount),
        reason="refund",
        sku="x",
    )


class Desk:
    """One folder, one clock, as many processes as there are marks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()

    def log(self, mark: str = "one", **call: str) -> RefundLog:
        return RefundLog(self.folder, "bkash/sandbox", _call(**call), clock=self.clock, token=mark)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "refunds")


async def test_a_finished_refund_is_kept(desk: Desk) -> None:
    log = desk.log()
    assert log.begin() == Begun("one", None)
    await log.checkpoint(BASELINE)
    log.finish({"transaction_id": "R1"})
    assert desk.log("two").begin() == Made({"transaction_id": "R1"})
    assert desk.log("two", operation_id="next").begin() == Begun("two", None)


async def test_after_a_checkpoint_the_same_operation_only_looks(desk: Desk) -> None:
    log = desk.log()
    log.begin()
    await log.checkpoint(BASELINE)
    desk.clock.advance(3600 * 24 * 30)
    begun = desk.log("two").begin()
    assert isinstance(begun, Begun)
    assert begun.resume == BASELINE


async def test_after_a_checkpoint_no_other_refund_of_the_transaction_goes_out(desk: Desk) -> None:
    log = desk.log()
    log.begin()
    await log.checkpoint(BASELINE)
    desk.clock.advance(3600 * 24 * 30)
    with pytest.raises(ConflictError, match="--operation-id op"):
        desk.log("two", operation_id="other").begin()
    assert desk.log("two", transaction_id="DKN2").begin() == Begun("two", None)


@pytest.mark.parametrize(
    "found",
    [
        "[]",
        "{}",
        "5",
        '"x"',
        "[" * 100_000,
        '{"operation_id":"op","token":"one","claimed_at":"now","evidence":null}',
        '{"operation_id":"op","token":"one","claimed_at":"2026-01-01T00:00:00","evidence":null}',
        '{"operation_id":"op","token":"one","claimed_at":"2026-01-01T00:00:00+00:00"}',
        '{"operation_id":"op","token":"one","claimed_at":"2026-01-01T00:00:00+00:00","evidence":{}}',
        '{"operation_id":"op","token":"one","claimed_at":"2026-01-01T00:00:00+00:00","evidence":[]}',
    ],
)
async def test_a_foreign_claim_stops_the_refund(desk: Desk, found: str) -> None:
    """Nobody knows what it stood for, so nothing may be sent."""
    log = desk.log()
    log.begin()
    log._claim.write_text(found, encoding="utf-8")
    with pytest.raises(StorageError, match="damaged") as caught:
        desk.log("two").begin()
    assert caught.value.__context__ is None
    with pytest.raises(StorageError, match="damaged"):
        await log.checkpoint(BASELINE)


@pytest.mark.parametrize("found", ["[]", "{}", '{"result":5}'])
async def test_a_foreign_result_stops_the_refund(desk: Desk, found: str) -> None:
    log = desk.log()
    log.begin()
    log.finish({"transaction_id": "R1"})
    log._done.write_text(found, encoding="utf-8")
    with pytest.raises(StorageError, match="damaged"):
        desk.log("two").begin()


async def test_two_at_once_are_one(desk: Desk) -> None:
    desk.log().begin()
    with pytest.raises(ConflictError, match="Another process"):
        desk.log("two").begin()


async def test_an_abandoned_claim_is_taken_over_and_its_owner_stopped(desk: Desk) -> None:
    slow = desk.log()
    slow.begin()
    desk.clock.advance(SEND_WINDOW_S + 29)
    with pytest.raises(ConflictError):
        desk.log("two").begin()
    desk.clock.advance(1)
    quick = desk.log("two")
    assert quick.begin() == Begun("two", None)
    with pytest.raises(StaleStateError):
        await slow.checkpoint(BASELINE)
    await quick.checkpoint(BASELINE)


async def test_a_released_claim_may_be_tried_again(desk: Desk) -> None:
    log = desk.log()
    log.begin()
    await log.checkpoint(BASELINE)
    log.release()
    assert desk.log("two").begin() == Begun("two", None)
    with pytest.raises(StaleStateError):
        await log.checkpoint(BASELINE)


@pytest.mark.parametrize("finished", [True, False])
async def test_an_operation_id_keeps_its_parameters(desk: Desk, finished: bool) -> None:
    log = desk.log()
    log.begin()
    await log.checkpoint(BASELINE)
    if finished:
        log.finish({})
    with pytest.raises(OperationConflictError):
        desk.log("two", amount="41").begin()


def test_a_damaged_file_stops_everything(desk: Desk) -> None:
    desk.log().begin()
    (claim,) = desk.folder.glob("*.claim.json")
    claim.write_text('{"operation_id": ', encoding="utf-8")
    with pytest.raises(StorageError, match="damaged"):
        desk.log("two").begin()


def test_a_folder_that_cannot_be_written_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="cannot be kept"):
        Desk(tmp_path / "file" / "refunds").log().begin()


def test_nothing_but_its_files_is_left(desk: Desk) -> None:
    log = desk.log()
    log.begin()
    log.finish({})
    assert [path.suffixes for path in desk.folder.iterdir()] == [[".done", ".json"]]


def _begin(folder: Path, mark: int, results: Any) -> None:
    try:
        Desk(folder).log(str(mark)).begin()
    except ConflictError:
        results.put("conflict")
    else:
        results.put("begun")


def test_of_many_processes_one_begins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    crowd = [context.Process(target=_begin, args=(tmp_path / "refunds", mark, results)) for mark in range(4)]
    for process in crowd:
        process.start()
    found = sorted(results.get(timeout=60) for _ in crowd)
    for process in crowd:
        process.join()
    assert found == ["begun", "conflict", "conflict", "conflict"]


def test_the_window_is_longer_than_any_sending() -> None:
    assert timedelta(seconds=SEND_WINDOW_S) >= timedelta(seconds=60)
