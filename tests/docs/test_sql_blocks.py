"""The SQL of the pages, as it stands, on a real PostgreSQL: the rights it gives are enough for a shop, and no more."""

import re

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.conformance.postgres_database import script, sql, trial_of
from tests.docs.blocks import ALL
from vextrus_payments.stores import PostgresStore

BLOCKS = [block for block in ALL if block.language == "sql"]


def test_there_is_one_block_and_this_is_its_test() -> None:
    assert [block.page.name for block in BLOCKS] == ["stores.md"]


async def test_the_rights_of_the_page_are_enough_and_no_more(postgres_dsn: str) -> None:
    await PostgresStore(postgres_dsn).migrate()
    await script(postgres_dsn, "CREATE ROLE owner; CREATE ROLE shop LOGIN PASSWORD 'of-this-test'")
    try:
        await script(postgres_dsn, BLOCKS[0].code)
        theirs = re.sub(r"//[^@]*@", "//shop:of-this-test@", postgres_dsn)
        store = PostgresStore(theirs)
        await store.open()
        await trial_of(store).paid("INV-1")
        await store.close()
        await sql(theirs, "DELETE FROM vextrus_payments.inbox")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql(theirs, "DELETE FROM vextrus_payments.payments")
    finally:
        await script(postgres_dsn, "DROP OWNED BY shop; DROP OWNED BY owner; DROP ROLE shop; DROP ROLE owner")
