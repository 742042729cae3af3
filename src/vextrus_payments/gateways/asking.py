"""How a protocol asks one question: what comes back is a value, an answer or the error that stands for one.

As a value, so that a protocol can look up what became of its request and raise outside any `except` (an error must not
drag another along as its `__context__`).
"""

from typing import TypeVar

from vextrus_payments.errors import GatewayError, PaymentsError
from vextrus_payments.wire import Send, WireCall, WireResponse

T = TypeVar("T")


def sent(send: Send) -> WireCall[WireResponse | GatewayError]:
    """Send one request and give what came back, not read yet, or the error that came in its place.

    What is no GatewayError passes through: it was raised before anything was sent.
    """
    response: WireResponse | None = None
    failure: GatewayError | None = None
    try:
        response = yield send
    except GatewayError as error:
        failure = error
    if failure is not None:
        return failure
    if response is None:
        raise TypeError("the driver answers a Send with a WireResponse")
    return response


def whatever(call: WireCall[T]) -> WireCall[T | PaymentsError]:
    """A look-up after a call that may have moved money: whatever stops it (even our own token store) becomes a value,
    for it must not make the caller forget that the outcome is open."""
    failure: PaymentsError | None = None
    try:
        return (yield from call)
    except PaymentsError as error:
        failure = error
    return failure
