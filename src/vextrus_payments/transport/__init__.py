"""Sending one HTTP request once, and proving what left. The only part of the SDK that imports httpx.

Theory of operation. httpx's own engine (httpcore) does the HTTP; three things are put around it.

* **A witness.** httpcore's `trace` extension announces `send_request_headers.started` exactly when sending begins.
  Whatever fails before that moment is a NotSentError, whatever fails after it is in doubt. Exception classes prove
  nothing and are not asked. At the same moment, with nothing awaited between it and the socket, `send_by` is asked
  a last time, and the request is withdrawn if it has passed (`proof.py`).
* **One line per call.** A pool that is shared by all calls scans all its connections at the start and the end of
  each; at 100 concurrent calls that is most of the work. Here each connection stands alone, a free one is taken
  from the top of a stack (hot ones stay hot, the others age out), and callers queue in front of a fixed number of
  places. That also makes the age of an idle connection exact: a step that must not be lost takes none that has
  been idle for 5 s or that the peer has closed (`lines.py`).
* **A plain byte stream.** httpcore takes a network backend; ours is an asyncio protocol (`stream.py`), so that the
  peer's closing is known the moment it happens, and a request leaves in one piece.

Nothing here resends, follows a redirect, keeps a cookie or reads a proxy from the environment.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from vextrus_payments.transport.port import Transport, mark_cancelled, sent_before_cancel
from vextrus_payments.transport.reach import Reach, is_public_address

if TYPE_CHECKING:
    from vextrus_payments.transport.httpx_transport import HttpxTransport
    from vextrus_payments.transport.shared import shared_transport

# Loaded on first use: who only names the port does not pay for httpx.
_HOME: Final = {"HttpxTransport": "httpx_transport", "shared_transport": "shared"}

__all__ = [
    "HttpxTransport",
    "Reach",
    "Transport",
    "is_public_address",
    "mark_cancelled",
    "sent_before_cancel",
    "shared_transport",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
