"""`vextrus-pay migrate`: what it makes, what it only shows, and what it never prints."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.cli.running import Done, Here, User
from tests.conformance.postgres_database import script, sql
from vextrus_payments.stores import PostgresStore, SqliteStore
from vextrus_payments.stores.migrations import Migration, migrations
from vextrus_payments.stores.sqlite import file, schema

NAMES = [
    "0001_first",
    "0002_watches_agreements_settlements",
    "0003_inbox",
    "0004_payouts",
    "0005_payouts_in_review",
]


def password_of(dsn: str) -> str:
    return urlsplit(dsn).password or ""


def usable(store: PostgresStore | SqliteStore) -> None:
    async def work() -> None:
        await store.open()
        assert (await store.list()).rows == ()
        await store.close()

    asyncio.run(work())


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


def migrate(here: Here, dsn: str, *arguments: str) -> Done:
    done = here.run("migrate", *arguments, env={"VEXTRUS_PAY_STORE": dsn})
    assert password_of(dsn) not in done.out + done.err
    return done


def test_it_makes_the_tables_once(here: Here, postgres_dsn: str) -> None:
    checked = migrate(here, postgres_dsn, "--check", "--json")
    assert (checked.code, checked.document["stores"][0]["pending"]) == (3, NAMES)
    done = migrate(here, postgres_dsn)
    assert done.code == 0
    assert f"applied {', '.join(NAMES)}." in done.out
    assert migrate(here, postgres_dsn).out.endswith("up to date.\n")
    assert migrate(here, postgres_dsn, "--check").code == 0
    usable(PostgresStore(postgres_dsn))


def test_sql_is_printed_and_not_run(here: Here, postgres_dsn: str) -> None:
    done = migrate(here, postgres_dsn, "--sql")
    assert done.code == 0
    assert asyncio.run(sql(postgres_dsn, "SELECT 1 FROM pg_namespace WHERE nspname LIKE 'vextrus%'")) == []
    asyncio.run(script(postgres_dsn, done.out))
    assert "Nothing to do" in migrate(here, postgres_dsn, "--sql").out
    usable(PostgresStore(postgres_dsn))
    document = migrate(here, postgres_dsn, "--sql", "--json").document
    assert document["stores"][0]["sql"].startswith("-- Nothing")


def test_another_schema(here: Here, postgres_dsn: str) -> None:
    assert migrate(here, postgres_dsn, "--schema", "shop_payments").code == 0
    usable(PostgresStore(postgres_dsn, schema="shop_payments"))
    assert migrate(here, postgres_dsn, "--check").code == 3
    refused = migrate(here, postgres_dsn, "--schema", 'x"; DROP')
    assert refused.code == 2 and "small letters" in refused.error


def test_the_applications_store(
    here: Here, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its schema, which no URL says."""
    (tmp_path / "migrated_shop.py").write_text(
        "import os\nfrom vextrus_payments import Payments\nfrom vextrus_payments.stores import PostgresStore\n"
        'payments = Payments(store=PostgresStore(os.environ["SHOP_DSN"], schema="of_the_shop"))\n',
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SHOP_DSN", postgres_dsn)
    done = here.run("migrate", "--app", "migrated_shop:payments")
    assert done.code == 0
    usable(PostgresStore(postgres_dsn, schema="of_the_shop"))
    refused = here.run("migrate", "--app", "migrated_shop:payments", "--schema", "x")
    assert refused.code == 2 and "--schema" in refused.error


def test_a_password_stays_off_the_command_line(here: Here, postgres_dsn: str) -> None:
    refused = here.run("migrate", "--store", postgres_dsn)
    assert refused.code == 2 and password_of(postgres_dsn) not in refused.err
    parts = urlsplit(postgres_dsn)
    bare = parts._replace(
        netloc=f"{parts.hostname}:{parts.port}", query=f"password={parts.password}"
    ).geturl()
    refused = here.run("migrate", "--store", bare)
    assert refused.code == 2 and password_of(postgres_dsn) not in refused.err
    apart = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()
    done = here.run("migrate", "--store", apart, env={"PGPASSWORD": unquote(parts.password or "")})
    assert done.code == 0, done.err


def test_a_server_that_is_not_there(here: Here) -> None:
    done = migrate(here, "postgresql://shop:nobody-home@127.0.0.1:1/shop")
    assert done.code == 3
    assert "cannot be reached" in done.error


def test_a_migration_in_a_process_of_its_own(user: User, postgres_dsn: str) -> None:
    done = user.run("migrate", "--json", env={"VEXTRUS_PAY_STORE": postgres_dsn})
    assert done.code == 0
    assert done.document["stores"][0]["applied"] == NAMES
    assert "vextrus-pay migrate" in user.run("migrate", "--help").out


def test_without_asyncpg_the_extra_is_named(tmp_path: Path) -> None:
    """The store's class can be imported without it; making one says what to install."""
    code = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from vextrus_payments.stores import PostgresStore, open_store\n"
        "try: open_store('postgresql://shop@db.example/shop')\n"
        "except Exception as error: print(type(error).__name__, error, error.__context__, error.__cause__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtraError")
    assert 'vextrus-payments[postgres]"' in done.stdout
    assert done.stdout.rstrip().endswith("None None")


# --- SQLite ---------------------------------------------------------------------------------------------------------


def sqlite_names() -> list[str]:
    return [migration.name for migration in migrations("sqlite")]


def shape(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()


def test_an_sqlite_file_is_made_or_only_shown(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "shop #1.db"
    url = f"sqlite:///{str(path).replace(' ', '%20').replace('#', '%23')}"
    checked = here.run("migrate", "--store", url, "--check", "--json")
    assert (checked.code, checked.document["stores"][0]["pending"]) == (3, sqlite_names())
    shown = here.run("migrate", "--store", url, "--sql")
    assert shown.code == 0 and not path.exists(), "looking makes no file"
    by_hand = sqlite3.connect(tmp_path / "by-hand.db")
    by_hand.executescript(shown.out)
    by_hand.close()
    usable(SqliteStore(tmp_path / "by-hand.db"))
    done = here.run("migrate", "--store", url)
    assert done.code == 0 and f"applied {', '.join(sqlite_names())}." in done.out
    usable(SqliteStore(path))
    assert here.run("migrate", "--store", url).out.endswith("up to date.\n")
    assert shape(path) == shape(tmp_path / "by-hand.db")


def test_an_sqlite_file_of_the_release_before(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_first(kind: str) -> tuple[Migration, ...]:
        return migrations(kind)[:1]

    path = tmp_path / "shop.db"
    with monkeypatch.context() as patch:
        patch.setattr(file, "migrations", only_first)
        patch.setattr(schema, "migrations", only_first)
        usable(SqliteStore(path))
    url = f"sqlite:///{path}"
    checked = here.run("migrate", "--store", url, "--check", "--json")
    assert checked.document["stores"][0]["pending"] == sqlite_names()[1:]
    text = here.run("migrate", "--store", url, "--sql").out
    connection = sqlite3.connect(path)
    connection.executescript(text)
    connection.close()
    assert here.run("migrate", "--store", url, "--check").code == 0
    usable(SqliteStore(path))


def test_what_is_no_store_of_ours_is_left_as_it_is(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    for arguments in (["--check"], ["--sql"], []):
        done = here.run("migrate", "--store", f"sqlite:///{path}", *arguments)
        assert done.code == 3 and "another application" in done.error
    assert path.read_bytes() == before
    assert here.run("migrate", "--store", "memory://").code == 2
    assert here.run("migrate", "--sql", "--check").code == 2


def test_the_home_folders_stores(here: Here) -> None:
    done = here.run("migrate")
    assert done.code == 0 and "There is no store yet" in done.err
    here.home.mkdir(parents=True, exist_ok=True)
    usable(SqliteStore(here.home / "payments-sandbox.db"))
    done = here.run("migrate")
    assert done.code == 0 and done.out.endswith("payments-sandbox.db: up to date.\n")
