"""A payment store in PostgreSQL, shared by any number of processes and machines."""

from vextrus_payments.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
