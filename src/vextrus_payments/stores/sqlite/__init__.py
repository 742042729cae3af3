"""A payment store in one SQLite file: the embedded default, shared by all processes of one machine."""

from vextrus_payments.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
