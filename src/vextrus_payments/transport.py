"""Sending one HTTP request and proving what left. The only importer of httpx."""

from typing import Protocol

from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse


class Transport(Protocol):
    """Sends one request once and says exactly what is proven when no answer comes."""

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """Send and read the whole answer, whatever its status. Never resends, never follows a redirect.

        `timeout_s` bounds everything: the wait for a connection, sending and the last byte of the answer.
        No first byte leaves once `send_by` has passed. Cancellation passes through untouched.

        Raises:
            NotSentError: proven, not one byte left (code "send_by_passed" when the deadline was the reason).
            AnswerTimeoutError: sending had begun and no whole answer came in time.
            AnswerLostError: sending had begun and the connection broke.
            UnreadableAnswerError: what came is no HTTP answer, or one beyond the limits.
        """
        ...

    async def aclose(self) -> None:
        """Close what this transport opened. Calling it again does nothing."""
        ...
