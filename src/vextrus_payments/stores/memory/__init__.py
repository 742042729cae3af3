"""A payment store in this process's memory: for tests, trials and the local sandbox. It forgets with the process."""

from vextrus_payments.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
