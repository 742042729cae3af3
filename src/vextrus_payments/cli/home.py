"""Where the CLI keeps what it must remember: payments, tokens and refunds made outside them, in one folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.mode import Mode
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import SqliteStore, open_store
from vextrus_payments.tokens import FileTokenBackend, state_home

STORE_VARIABLE: Final = "VEXTRUS_PAY_STORE"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder (`VEXTRUS_PAY_HOME`, else the user's state folder), and the store named in its place, if any.

    Test and real money never share a file: `payments-sandbox.db` and `payments-live.db`.
    """

    folder: Path
    store_url: str | None

    @classmethod
    def find(cls, store: str | None) -> "Home":
        """The home of this user; makes the folder, for its owner only.

        Args:
            store: the store's URL from the command line; without one `VEXTRUS_PAY_STORE` is read.

        Raises:
            ConfigurationError: the folder cannot be made, or the URL is one that does not belong here.
        """
        if store is not None and not store.strip():
            raise ConfigurationError(
                "--store was given, and is empty.",
                code="store_not_named",
                next_step="Name the store, or leave --store out.",
            )
        if store is not None and _has_password(store):
            raise ConfigurationError(
                "A store's password does not belong on a command line, where every user of the machine sees it.",
                code="secret_on_command_line",
                next_step=f"Put the URL into {STORE_VARIABLE}.",
            )
        url = store or os.environ.get(STORE_VARIABLE) or None
        if url is not None and url.startswith("memory:"):
            raise ConfigurationError(
                "A store in memory would be gone with this command.",
                code="store_not_durable",
                next_step="Name a file: sqlite:///payments.db.",
            )
        folder = state_home()
        problem = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        if problem is not None:
            raise ConfigurationError(
                f"The folder {folder} cannot be made: {problem}.",
                code="home",
                next_step="Name another one in VEXTRUS_PAY_HOME.",
            )
        return cls(folder, url)

    @classmethod
    def as_it_is(cls) -> "Home":
        """The home of this user, with the store that the environment names; makes nothing."""
        return cls(state_home(), os.environ.get(STORE_VARIABLE) or None)

    def store(self, mode: Mode) -> PaymentStore:
        """The store for payments of this mode; not opened yet.

        Raises:
            ConfigurationError: the named store is none that this release has.
        """
        return SqliteStore(self._file(mode)) if self.store_url is None else open_store(self.store_url)

    def stores(self) -> Iterator[PaymentStore]:
        """Every store that may hold a payment, without making one."""
        if self.store_url is not None:
            yield open_store(self.store_url)
            return
        for mode in Mode:
            if self._file(mode).exists():
                yield self.store(mode)

    def existing_store(self, mode: Mode) -> PaymentStore | None:
        """As `store`; None where the home folder has none yet."""
        return self.store(mode) if self.store_url is not None or self._file(mode).exists() else None

    def tokens(self) -> FileTokenBackend:
        """The gateway tokens of this user."""
        return FileTokenBackend(self.folder)

    @property
    def place(self) -> str:
        """Where payments are looked for, as text for a person."""
        return str(self.folder) if self.store_url is None else "the store that was named"

    def _file(self, mode: Mode) -> Path:
        return self.folder / f"payments-{mode.value}.db"


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True  # whatever it is, it is not for everybody to see
    # One with a bare "#", "?" or "/" in it seems to end there, and is a password all the same.
    who = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    return parts.password is not None or ":" in who or "password" in parse_qs(parts.query)
