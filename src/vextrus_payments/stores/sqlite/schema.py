"""What open() would change about a file, told beforehand: for the command that brings stores up to date."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from vextrus_payments.stores.migrations import Migration, migrations
from vextrus_payments.stores.sqlite import file
from vextrus_payments.stores.sqlite.group import translated
from vextrus_payments.stores.sqlite.handle import SqliteHandle


class SqliteSchema(SqliteHandle):
    """The schema of one SQLite file. open() brings it up to date by itself; this is for those who look first."""

    @property
    def name(self) -> str:
        """Where the file is."""
        return self.path

    async def pending(self) -> tuple[Migration, ...]:
        """The migrations that open() would apply. Changes nothing, and makes no file.

        Raises:
            StorageError: the file is not ours, of a newer release, or cannot be read.
        """
        self._check_process()
        return await self._runner.run(lambda: translated(self._missing, self.path))

    async def migrate(self) -> tuple[Migration, ...]:
        """Make the file, or bring it up to date, as open() does; what was applied.

        Raises:
            StorageError: see open().
        """
        missing, was_open = await self.pending(), self._connection is not None
        await self.open()
        if not was_open:
            await self.close()
        return missing

    async def migration_sql(self) -> str:
        """What migrate() would run, as SQL to read, and to run with the sqlite3 shell."""
        missing = await self.pending()
        if not missing:
            return "-- Nothing to do: the payment store is up to date.\n"
        parts = [
            f"-- The payment store's migrations {', '.join(migration.name for migration in missing)}.\n",
            "BEGIN IMMEDIATE;\n",
        ]
        for migration in missing:
            parts.append(
                f"\n{migration.text.strip()}\n\nINSERT INTO migrations (number, name, checksum, applied_at) VALUES"
                f" ({migration.number}, '{migration.name}', '{migration.checksum}', strftime('%s') * 1000000);\n"
            )
        oldest = max(migration.compatible for migration in migrations("sqlite"))
        parts.append(
            f"PRAGMA application_id = {file.APPLICATION_ID};\n"
            f"INSERT INTO meta (key, value) VALUES ('schema_version', '{missing[-1].number}'),"
            f" ('schema_compatible', '{oldest}') ON CONFLICT (key) DO UPDATE SET value = excluded.value;\n"
            "COMMIT;\n"
        )
        return "".join(parts)

    def _missing(self) -> tuple[Migration, ...]:
        known, path = migrations("sqlite"), Path(self.path)
        if not path.is_dir() and (not path.exists() or path.stat().st_size == 0):
            return known
        # Read only: what is looked at is neither made nor changed, not even brought into the mode that open() sets.
        address = f"file:{quote(self.path)}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=self._busy_timeout_s)) as connection:
            file._check_ours(connection, self.path)
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            return known[file._check_known(connection, self.path, known) if application_id else 0 :]
