"""What a send that brought no answer is called, and what the caller is told to do."""

from typing import Final, NamedTuple

import httpcore

from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    GatewayError,
    NotSentError,
    UnreadableAnswerError,
)
from vextrus_payments.transport.answers import UnreadableError
from vextrus_payments.transport.lines import Line
from vextrus_payments.transport.proof import WithdrawnError, Witness
from vextrus_payments.wire import Safety, Sent, effect_of

_NEXT_STEP: Final = {
    Safety.READ: "It changes nothing: ask again.",
    Safety.IDEMPOTENT: "Sending it again changes nothing more; or look it up.",
    Safety.DISPOSABLE: "Start anew; what was lost cannot be paid.",
    Safety.ONCE: "Do not send it again; look it up until the gateway answers.",
}


#: why a request was withdrawn -> what happened, and what to do
_WITHDRAWN: Final = {
    "send_by_passed": (
        "the time by which it had to leave has passed",
        "Decide again whether the call is still wanted, and claim it anew.",
    ),
    "connection_closed": ("the gateway closed the kept connection in that very moment", "Try again."),
    "stale_answer": ("the kept connection still held an answer that nobody had asked for", "Try again."),
    "no_time_left": ("the call was given no time", "Give it a timeout above zero."),
    "transport_closed": ("the transport has been closed", "Open a new one."),
}


class Trial(NamedTuple):
    """What is known of a send that brought no answer."""

    where: str
    safety: Safety
    timeout_s: float
    expired: bool
    witness: Witness | None
    line: Line | None
    status: int | None

    def failure(self, error: Exception) -> GatewayError:
        """The error to be raised for it. Its effect comes from the witness alone."""
        sent = Sent.NO if self.witness is None else self.witness.sent
        return self._not_sent(error) if sent is Sent.NO else self._in_doubt(error)

    def _not_sent(self, error: Exception) -> NotSentError:
        phase = "waiting" if self.witness is None else self.witness.phase
        code = "not_sent"
        next_step = None
        if isinstance(error, WithdrawnError):
            code, (what, next_step) = error.code, _WITHDRAWN[error.code]
        elif self.expired and self.witness is None:
            code, what = "no_free_connection", "all connections stayed in use for {timeout_s:g} s"
        elif self.expired:
            what = "no connection within {timeout_s:g} s"
        else:
            what = "no connection could be made"
        cause = _cause(error)
        return NotSentError(
            f"Not sent to {self.where}: {what.format(timeout_s=self.timeout_s)}.",
            effect=effect_of(Sent.NO, self.safety, None),
            code=code,
            next_step=next_step,
            context={"phase": phase, "cause": cause},
        )

    def _in_doubt(self, error: Exception) -> GatewayError:
        kind: type[GatewayError] = AnswerLostError
        what = f"The connection to {self.where} broke after the request had begun to leave."
        stream = None if self.line is None else self.line.backend.stream
        if self.expired:
            kind = AnswerTimeoutError
            what = f"No whole answer came from {self.where} within {self.timeout_s:g} s."
        elif isinstance(error, UnreadableError):
            kind = UnreadableAnswerError
            what = f"The answer from {self.where} {error}."
        elif isinstance(error, httpcore.RemoteProtocolError) and not (stream and stream.end_was_read):
            kind = UnreadableAnswerError
            what = f"What came from {self.where} is not HTTP."
        return kind(
            what,
            effect=effect_of(Sent.MAYBE, self.safety, None),
            next_step=_NEXT_STEP[self.safety],
            http_status=self.status,
            context={"phase": "answer", "cause": _cause(error)},
        )


def _cause(error: Exception) -> str:
    """A name for the log. Our stream puts the reason's class into its errors; no other text is passed on."""
    text = str(error)
    return text if text.isidentifier() and len(text) <= 40 else type(error).__name__
