"""The doors as Django views, plain and async; csrf-exempt: senders and payment pages have no token of ours.

Under WSGI the body is read piece by piece. Under ASGI Django takes a whole body in, on disk when it is large, before
any view is called: there the limit for what is taken in is the server's or the proxy's to set.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from vextrus_payments.clock import Clock, SystemClock
from vextrus_payments.webhooks.blocking import (
    Ask,
    AskAsync,
    BlockingDoors,
    Steps,
    cannot_ask,
    head_of,
    read_body,
)
from vextrus_payments.webhooks.doorway import Errand, Head, headers_of
from vextrus_payments.webhooks.messages import Reply

#: (request, what `<path:route>` matched) -> Django's HttpResponse. Untyped: Django brings no types.
View = Callable[..., Any]
AsyncView = Callable[..., Awaitable[Any]]


def django_view(ask: Ask, *, clock: Clock | None = None) -> View:
    """A view for `path("payments/<path:route>", ...)`."""
    doors = BlockingDoors(ask, clock=clock)

    def payments_doors(request: Any, route: str = "") -> Any:
        return _response(request, doors.answer(_head(request, route), request, ends=True))

    payments_doors.csrf_exempt = True  # type: ignore[attr-defined]
    return payments_doors


def django_async_view(ask: AskAsync, *, clock: Clock | None = None) -> AsyncView:
    """The same for Django under ASGI: waits without holding a thread."""
    steps, known_clock = Steps(), clock or SystemClock()
    under_way: set[asyncio.Task[Reply]] = set()

    async def payments_doors(request: Any, route: str = "") -> Any:
        answering = _answered(ask, steps, known_clock, _head(request, route), request)
        return _response(request, await _to_its_end(answering, under_way))

    payments_doors.csrf_exempt = True  # type: ignore[attr-defined]
    return payments_doors


async def _to_its_end(answering: Coroutine[Any, Any, Reply], under_way: set[asyncio.Task[Reply]]) -> Reply:
    """What it answers. Django cancels the view of a sender who hangs up; the keeper, on a loop of its own, may just
    have let him in, and then nobody would ever leave: the place in memory would be lost until the process ends."""
    task = asyncio.create_task(answering, name="vextrus-payments-door")
    under_way.add(task)
    task.add_done_callback(under_way.discard)
    return await asyncio.shield(task)


async def _answered(ask: AskAsync, steps: Steps, clock: Clock, head: Head, request: Any) -> Reply:
    try:
        errand = await ask(steps.begin(head))
    except Exception as error:  # noqa: BLE001 - our own fault is a 503, never a traceback to a sender
        return cannot_ask(error)
    if isinstance(errand, Reply):
        return errand
    body: bytes | Reply = b""
    left = False
    try:
        if errand.body_max_bytes:
            body = read_body(request, errand, clock, ends=True)  # Django's stream ends where the body does
        if isinstance(body, Reply):
            return body
        left = True  # finishing leaves
        return await ask(steps.finish(errand, body))
    except Exception as error:  # noqa: BLE001 - as above
        return cannot_ask(error)
    finally:
        if not left:
            await _leave(ask, steps, errand)


async def _leave(ask: AskAsync, steps: Steps, errand: Errand) -> None:
    try:
        await ask(steps.leave(errand))
    except Exception as error:  # noqa: BLE001 - closing meanwhile: there is nothing left to leave
        cannot_ask(error)


def _head(request: Any, route: str) -> Head:
    environ = {**request.META, "REQUEST_METHOD": request.method, "PATH_INFO": f"/{route}"}
    return head_of(environ)


def _response(request: Any, reply: Reply) -> Any:
    from django.http import HttpResponse  # type: ignore[import-untyped]

    body = b"" if request.method == "HEAD" else reply.body
    response = HttpResponse(body, status=reply.status)
    del response["content-type"]
    for name, value in headers_of(reply):
        response[name] = value
    return response
