"""Both signatures of what SSLCommerz posts, by code of the sandbox's own (dossier §1.5).

The canonical text joins ``name=value`` with ``&`` and escapes nothing: that is SSLCommerz's own weakness, kept as it
is, so that a merchant can learn to live with it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

KEY: Final = "verify_key"
SIGN: Final = "verify_sign"
SIGN_SHA2: Final = "verify_sign_sha2"
_PASSWORD: Final = "store_passwd"


def signed(
    fields: Mapping[str, str], names: Iterable[str], password: str, *, sha2_password: str | None = None
) -> dict[str, str]:
    """The fields, and behind them which of them are signed and both signatures.

    Args:
        sha2_password: what the SHA-256 is made with instead of the password.
    """
    key = sorted(names)
    inside = {name: fields[name] for name in key}
    return {
        **fields,
        SIGN: _digest("md5", inside, password),
        KEY: ",".join(key),
        SIGN_SHA2: _digest("sha256", inside, password if sha2_password is None else sha2_password),
    }


def _digest(algorithm: str, inside: Mapping[str, str], password: str) -> str:
    """Lower-case hex; the password goes in as its own digest of the same kind."""
    secret = hashlib.new(algorithm, password.encode("utf-8"), usedforsecurity=False).hexdigest()
    pairs = sorted({**inside, _PASSWORD: secret}.items())
    text = "&".join(f"{name}={value}" for name, value in pairs)
    return hashlib.new(algorithm, text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
