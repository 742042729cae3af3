"""The transport port: what everything above knows of sending."""

import asyncio
from typing import Final, Protocol

from vextrus_payments.wire import Safety, SendBy, Sent, WireRequest, WireResponse

_SENT_ATTRIBUTE: Final = "vextrus_sent"


class Transport(Protocol):
    """Sends one request once and says exactly what is proven when no answer comes."""

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """Send and read the whole answer, whatever its status. Never resends, never follows a redirect.

        `timeout_s` bounds everything: the wait for a connection, sending and the last byte of the answer.
        No first byte leaves once `send_by` has passed. A cancelled call raises the CancelledError itself, and
        `sent_before_cancel` tells from it whether bytes may have left.

        Raises:
            NotSentError: proven, not one byte left (code "send_by_passed" when that deadline was the reason).
            AnswerTimeoutError: sending had begun and no whole answer came in time.
            AnswerLostError: sending had begun and the connection broke.
            UnreadableAnswerError: what came is no HTTP answer, or one beyond the limits.
            InvalidRequestError: the URL or a header can be sent by nobody; nothing was sent.
        """
        ...

    async def aclose(self) -> None:
        """Let the calls in flight end, then close what this transport opened. A second call does nothing."""
        ...


def mark_cancelled(cancelled: asyncio.CancelledError, sent: Sent) -> None:
    """Leave on the cancellation what is proven about the bytes; for writers of transports."""
    setattr(cancelled, _SENT_ATTRIBUTE, sent)


def sent_before_cancel(cancelled: asyncio.CancelledError) -> Sent:
    """Whether bytes may have left when `send` was cancelled. MAYBE where the transport left no proof."""
    sent = getattr(cancelled, _SENT_ATTRIBUTE, Sent.MAYBE)
    return sent if isinstance(sent, Sent) else Sent.MAYBE
