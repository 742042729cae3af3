"""A session that was begun and not finished, as evidence: what the gateway calls it is known, and its page is not.

Where opening a session takes several calls, an adapter puts the gateway's reference into a checkpoint as soon as it
knows it. Whoever keeps the checkpoint reads it back, so that the reference is watched whatever became of the rest.
"""

from typing import Final

from vextrus_payments.payment import Evidence

STEP: Final = "session.reference"
_ORDER_ID: Final = "gateway_order_id"
_REFERENCE: Final = "gateway_reference"


def halfway(gateway_order_id: str, gateway_reference: str) -> Evidence:
    """As the checkpoint keeps it."""
    return Evidence(STEP, {_ORDER_ID: gateway_order_id, _REFERENCE: gateway_reference})


def reference_in(evidence: Evidence, gateway_order_id: str) -> str | None:
    """The gateway's reference of the session that was begun under this order id; None: the evidence is of another."""
    reference = evidence.data.get(_REFERENCE)
    if evidence.step != STEP or evidence.data.get(_ORDER_ID) != gateway_order_id:
        return None
    return reference if isinstance(reference, str) and reference else None


def begun(evidence: tuple[Evidence, ...], gateway_order_id: str) -> Evidence | None:
    """The latest of these that is of a session begun under this order id."""
    return next((one for one in reversed(evidence) if reference_in(one, gateway_order_id) is not None), None)
