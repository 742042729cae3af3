"""The doors as a WSGI application: Flask, Bottle, Pyramid, any WSGI server.

The body is read here, in the server's own thread, in pieces and never beyond its limit. A thread that waits for a
piece cannot be called back: that a single read ends is the server's own time limit (gunicorn's `timeout`, uWSGI's
`http-timeout`), or the proxy's before it, which takes in whole bodies.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from vextrus_payments.clock import Clock
from vextrus_payments.webhooks.blocking import Ask, BlockingDoors, ends_itself, head_of
from vextrus_payments.webhooks.doorway import headers_of

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class WsgiDoors:
    """`DispatcherMiddleware(app, {"/payments": WsgiDoors(ask)})`, which `vextrus_payments.sync.Payments.wsgi()` gives.

    Args:
        ask: asks the keeper on the background loop.
        clock: for the read deadline.
    """

    def __init__(self, ask: Ask, *, clock: Clock | None = None) -> None:
        self._doors = BlockingDoors(ask, clock=clock)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one WSGI request."""
        reply = self._doors.answer(head_of(environ), environ["wsgi.input"], ends=ends_itself(environ))
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers_of(reply))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]
