"""HttpxTransport passes the kit for every kind of step; and the kit bites on transports that are wrong in one way."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    Effect,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
)
from vextrus_payments.testing import check_transport
from vextrus_payments.transport import HttpxTransport, Transport, mark_cancelled
from vextrus_payments.wire import Safety, SendBy, Sent, WireRequest, WireResponse

PLACES = 4


@pytest.fixture(autouse=True)
def _a_name_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nobody.invalid` has no address by the standard; the answer is given here, so that no name server is asked."""
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in ("nobody.invalid", b"nobody.invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_httpx_transport_conforms_for_every_kind_of_step() -> None:
    await check_transport(lambda: HttpxTransport(max_connections=PLACES), places=PLACES)


class _Wrapped:
    """HttpxTransport with something wrong about it."""

    def __init__(self) -> None:
        self.inner = HttpxTransport(max_connections=PLACES)

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        return await self.inner.send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)

    async def aclose(self) -> None:
        await self.inner.aclose()


class ResendsAfterALostAnswer(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        try:
            return await super().send(request, **how)
        except AnswerLostError:
            return await super().send(request, **how)


class ResendsOn503(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        answer = await super().send(request, **how)
        return await super().send(request, **how) if answer.status == 503 else answer


class FollowsRedirects(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        answer = await super().send(request, **how)
        if answer.status != 307:
            return answer
        origin = request.url.split("/", 3)[:3]
        return await super().send(replace(request, url="/".join(origin) + answer.headers["location"]), **how)


class CallsATimeoutUnsent(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        timed_out = False
        try:
            return await super().send(request, **how)
        except AnswerTimeoutError:
            timed_out = True
        assert timed_out
        raise NotSentError("Timed out.")


class CallsALostAnswerHarmless(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        try:
            return await super().send(request, **how)
        except OutcomeUnknownError as error:
            error.effect = Effect.NONE
            raise


class IgnoresSendBy(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        return await super().send(request, **{**how, "send_by": None})


class HasNoDeadline(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        return await super().send(request, **{**how, "timeout_s": 60.0})


class ShowsTheHeaders(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        try:
            return await super().send(request, **how)
        except GatewayError as error:
            error.add_note(f"sent {request.headers}")
            raise


class CarriesTheCause(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        try:
            return await super().send(request, **how)
        except GatewayError as error:
            raise type(error)(error.what, effect=error.effect) from OSError("inner")


class AnswersWithTheLastAnswer(_Wrapped):
    last: WireResponse | None = None

    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        answer = await super().send(request, **how)
        answer, self.last = self.last or answer, answer
        return answer


class SwallowsCancellation(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        cancelled = False
        try:
            return await super().send(request, **how)
        except asyncio.CancelledError:
            cancelled = True
        assert cancelled
        raise AnswerLostError("Cancelled.")


class CallsEveryCancelledSendUnsent(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        try:
            return await super().send(request, **how)
        except asyncio.CancelledError as cancelled:
            mark_cancelled(cancelled, Sent.NO)
            raise


class RaisesWhatItLikes(_Wrapped):
    async def send(self, request: WireRequest, **how: Any) -> WireResponse:
        try:
            return await super().send(request, **how)
        except GatewayError:
            pass
        raise ConnectionError("somewhere")


@pytest.mark.parametrize(
    ("bad", "case", "finding"),
    [
        (ResendsAfterALostAnswer, "closed after execution", "resent: it arrived 2 times and was executed 2"),
        (
            ResendsAfterALostAnswer,
            "a kept connection reset when",
            "resent: it arrived 2 times and was executed 1",
        ),
        (ResendsOn503, "status 503", "resent"),
        (FollowsRedirects, "status 307", "resent"),
        (CallsATimeoutUnsent, "then silence", "NotSentError, but it arrived 1 times, was executed 1 times"),
        (CallsALostAnswerHarmless, "reset after execution", "effect none instead of unknown"),
        (IgnoresSendBy, "send_by has passed", "though send_by had passed"),
        (IgnoresSendBy, "all places taken", "though send_by passed while it waited for a place"),
        (HasNoDeadline, "a body that drips", "outlived its timeout"),
        (ShowsTheHeaders, "nobody listens", "shows a secret: header"),
        (CarriesTheCause, "nobody listens", "carries another exception"),
        (AnswersWithTheLastAnswer, "a plain answer", "not the answer to this call"),
        (SwallowsCancellation, "cancelled while it waits", "a cancelled call raised AnswerLostError"),
        (
            CallsEveryCancelledSendUnsent,
            "cancelled while it waits",
            "cancelled as proven unsent, but it arrived",
        ),
        (RaisesWhatItLikes, "nobody listens", "raised ConnectionError, which is no GatewayError"),
    ],
)
async def test_the_kit_bites(bad: Callable[[], Transport], case: str, finding: str) -> None:
    with pytest.raises(AssertionError) as caught:
        await check_transport(bad, safeties=[Safety.ONCE], places=PLACES, only=case)
    assert case in str(caught.value)
    assert finding in str(caught.value)


async def test_a_transport_that_is_only_wrapped_passes() -> None:
    await check_transport(_Wrapped, safeties=[Safety.READ], places=PLACES, only="answer")


async def test_a_case_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no case"):
        await check_transport(_Wrapped, only="no such case")
