"""Running a transaction's coroutine to its end at once."""

import asyncio

import pytest

from vextrus_payments.errors import StaleStateError, StorageError
from vextrus_payments.stores.transactions import finished


async def test_what_never_waits_answers_or_raises_at_once() -> None:
    async def answers() -> int:
        return await inner(20) + 1

    async def inner(number: int) -> int:
        return number * 2

    async def raises() -> int:
        raise StaleStateError("late", tenant="acme")

    assert finished(answers()) == 41
    with pytest.raises(StaleStateError, match="late"):
        finished(raises())


async def test_what_waits_is_stopped_where_it_waits_and_is_an_error() -> None:
    seen: list[str] = []

    async def waits() -> None:
        seen.append("before")
        try:
            await asyncio.sleep(0)
        finally:
            seen.append("undone")
        seen.append("after")

    with pytest.raises(StorageError) as caught:
        finished(waits())
    assert caught.value.code == "storage_suspended"
    assert seen == ["before", "undone"]
