"""The rest of the fault matrix: money that leaves (payouts, transfers, the balances), and bKash's recurring platform,
which collects by itself. As fault_matrix.py: steps x faults, each with what must come of it, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.flows.fault_matrix import BASELINE, DISPOSABLE, ONCE, READ, Cell, Later, Now, Step
from vextrus_payments.testing.faulty import DONE, HARMLESS, Fault
from vextrus_payments.wire import Safety

_HARMLESS: Final = {fault: ONCE[fault] for fault in Fault if fault in HARMLESS}
#: One call, and nothing to ask by afterwards.
BLIND: Final[Mapping[Fault, Cell]] = {
    fault: _HARMLESS.get(fault, (Now.UNKNOWN, Later.STATEMENT)) for fault in Fault
}
#: What shows as made is found; what does not show proves nothing.
BY_ID: Final[Mapping[Fault, Cell]] = {
    fault: _HARMLESS.get(fault, (Now.UNKNOWN, Later.FOUND if fault in DONE else Later.STATEMENT))
    for fault in Fault
}
#: The balances before a payout are a hint: without them it leaves all the same.
HINT: Final[Mapping[Fault, Cell]] = dict.fromkeys(Fault, (Now.DONE, Later.DONE))
#: A payoutID that did not reach us pays nothing: another one is asked for.
ID: Final[Mapping[Fault, Cell]] = {
    fault: (Now.RETRIED, Later.DONE) if fault is Fault.TOKEN_ONCE else (Now.NOT_SENT, Later.AGAIN)
    for fault in Fault
}
ASKED: Final[Mapping[Fault, Cell]] = {
    fault: (Now.RETRIED, Later.DONE) if fault is Fault.TOKEN_ONCE else (Now.NO_ANSWER, Later.DONE)
    for fault in Fault
}
_CANCEL: Final[Mapping[Fault, Cell]] = {
    fault: (Now.NOT_SENT, Later.AGAIN)
    if fault is Fault.NOT_SENT
    else (Now.UNKNOWN, Later.FOUND if fault in DONE else Later.AGAIN)
    for fault in Fault
}
#: Taken is answered by 200 and nothing else: half of nothing is as good.
_REFUND: Final[Mapping[Fault, Cell]] = {
    **ONCE,
    **dict.fromkeys((Fault.MALFORMED, Fault.EMPTY), (Now.DONE, Later.DONE)),
}

PAYOUT_STEPS: Final = (
    Step(name="read the balances before a payout", verb="payout", safety=Safety.READ, expected=HINT),
    Step(name="pay out", verb="payout", safety=Safety.ONCE, expected=BLIND),
    Step(name="ask for a payoutID", verb="payout_by_id", safety=Safety.DISPOSABLE, expected=ID),
    Step(name="pay out by a payoutID", verb="payout_by_id", safety=Safety.ONCE, expected=BY_ID),
    Step(
        name="ask how a payout ended, by its payoutID",
        verb="payout_status",
        safety=Safety.READ,
        expected=READ,
    ),
    Step(name="transfer between own accounts", verb="transfer", safety=Safety.ONCE, expected=BLIND),
    Step(name="ask for the balances", verb="balance", safety=Safety.READ, expected=ASKED),
)
RECURRING_STEPS: Final = (
    Step(name="open a subscription", verb="subscribe", safety=Safety.DISPOSABLE, expected=DISPOSABLE),
    Step(name="look whether the payer has consented", verb="consented", safety=Safety.READ, expected=READ),
    Step(name="list what was collected", verb="collected", safety=Safety.READ, expected=READ, call=2),
    Step(name="look a collected payment up", verb="status", safety=Safety.READ, expected=READ),
    Step(name="end a subscription", verb="cancel", safety=Safety.IDEMPOTENT, expected=_CANCEL),
    Step(name="look at the payment before a refund", verb="refund", safety=Safety.READ, expected=BASELINE),
    Step(name="refund", verb="refund", safety=Safety.ONCE, expected=_REFUND, unproven=True),
    Step(name="ask how an accepted refund ended", verb="refund_status", safety=Safety.READ, expected=READ),
)


@dataclass(frozen=True, slots=True)
class More:
    """A product of a gateway with a matrix of its own."""

    title: str
    bench: str
    steps: tuple[Step, ...]
    tokens: bool

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What can strike it: without tokens none is rejected."""
        tokens = (Fault.TOKEN_ONCE, Fault.TOKEN_ALWAYS)
        return tuple(fault for fault in Fault if self.tokens or fault not in tokens)

    def cells(self) -> Iterator[tuple[Step, Fault]]:
        """Every cell."""
        for step in self.steps:
            for fault in self.faults:
                yield step, fault


MORE: Final = (
    More("bKash payouts", "bkash-payouts", PAYOUT_STEPS, tokens=True),
    More("bKash recurring", "bkash-recurring", RECURRING_STEPS, tokens=False),
)
