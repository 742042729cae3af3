"""What one run of a protocol's generator has left behind, so that a later step cannot make it look harmless."""

from dataclasses import dataclass

from vextrus_payments.errors import Effect, GatewayError, OutcomeUnknownError, PaymentsError


@dataclass(slots=True)
class Trail:
    """What a run has left behind so far."""

    doubt: GatewayError | None = None
    """The first failure after which money may have moved."""
    left: bool = False
    """A ONCE or IDEMPOTENT request got past the front door."""
    thrown: PaymentsError | None = None
    """The last failure of ours that was thrown into the generator."""

    def honest(self, error: PaymentsError) -> PaymentsError:
        """The error to raise when the run ends with this one.

        What a generator raises itself is its judgement. A failure of ours that it merely let through is not: if
        something that may move money left before, the run's effect is unknown, whatever the later step's was.
        """
        judged = isinstance(error, GatewayError) and error is not self.thrown
        if judged or error.effect is Effect.UNKNOWN:
            return error
        if self.doubt is not None:
            return self.doubt
        if self.left:
            return OutcomeUnknownError(
                "A request that may move money was sent, and a later step of the same call failed.",
                code=error.code,
                context={"cause_type": type(error).__name__},
            )
        return error
