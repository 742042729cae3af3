"""A token as text, for the backends that write it down. The text is a secret."""

import json
from typing import Final

from vextrus_payments.secret import Secret
from vextrus_payments.token_budget import from_millis, to_millis
from vextrus_payments.token_port import Token

_FORMAT: Final = 1


def token_document(token: Token) -> str:
    """The token as JSON, to the millisecond."""
    return json.dumps(
        {
            "format": _FORMAT,
            "version": token.version,
            "holder": token.holder,
            "access": token.access.reveal(),
            "refresh": None if token.refresh is None else token.refresh.reveal(),
            "issued_at_ms": to_millis(token.issued_at),
            "expires_at_ms": to_millis(token.expires_at),
            "ends_at_ms": None if token.ends_at is None else to_millis(token.ends_at),
        }
    )


def token_from_document(text: str | None) -> Token | None:
    """What `token_document` wrote; None for anything else (torn, foreign, of another version): a new token is then
    granted, within the budget, which is kept apart from it."""
    if text is None:
        return None
    try:
        document = json.loads(text)
        if document["format"] != _FORMAT:
            return None
        refresh, ends_at_ms = document["refresh"], document["ends_at_ms"]
        version = document["version"]
        if not isinstance(version, str):
            return None
        return Token(
            access=Secret(document["access"]),
            refresh=None if refresh is None else Secret(refresh),
            issued_at=from_millis(document["issued_at_ms"]),
            expires_at=from_millis(document["expires_at_ms"]),
            version=version,
            ends_at=None if ends_at_ms is None else from_millis(ends_at_ms),
            holder=document.get("holder", ""),  # absent where it was written before tokens had one
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
