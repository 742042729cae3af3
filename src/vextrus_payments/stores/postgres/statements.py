"""SQL with the name of the store's schema in it.

Every table is named with its schema, so that nothing hangs on a search path: a caller's pool may have any, and a pooler
between us and the server hands a connection from one client to the next.
"""

import hashlib
import re
from typing import Final

from vextrus_payments.errors import ConfigurationError

_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)


class Statements(dict[str, str]):
    """A template such as "SELECT 1 FROM {schema}.payments" -> its statement, made on first use."""

    def __init__(self, schema: str) -> None:
        super().__init__()
        if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
            raise ConfigurationError(
                "The schema's name does not fit: small letters, digits and _, not beginning with a digit or pg_.",
                code="store_schema",
            )
        self.schema: Final = schema

    def __missing__(self, template: str) -> str:
        made = self[template] = template.replace("{schema}", f'"{self.schema}"')
        return made

    def lock(self, *words: str) -> int:
        """The key of the advisory lock that these words name: 64 bits, the same in every process and release."""
        text = "\0".join((self.schema, *words)).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)
