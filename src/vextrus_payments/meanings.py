"""What a gateway's error code means, as data: one row per (operation, code), read by the adapter, engine and docs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from vextrus_payments.errors import DeclinedError, GatewayBlockedError, GatewayError, OutcomeUnknownError
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.wire import Safety, Sent, Verdict, effect_of

_PROVE_NOTHING: Final = (OutcomeUnknownError, GatewayBlockedError)


class ErrorClass(StrEnum):
    """The kind of a gateway's error; says who has to do something about it."""

    CFG = "cfg"
    """Our settings are wrong: stop and alert."""
    VAL = "val"
    """A field of the request is wrong: correct it, never repeat it as it is."""
    CUST = "cust"
    """The payer's side refuses: tell the payer; a new payment is allowed."""
    LOCK = "lock"
    """The payer is locked out for a while."""
    DUP = "dup"
    """The gateway takes it for a double: look at the earlier attempts first."""
    DONE = "done"
    """It is done already: look it up and take the answer."""
    STATE = "state"
    """The payment is in another state than the call needs: look it up."""
    NF = "nf"
    """There is no such thing at the gateway, or not yet."""
    PERM = "perm"
    """The merchant may not do this: alert."""
    TRANS = "trans"
    """A passing trouble of the gateway."""
    UNK = "unk"
    """Nobody can tell what became of it: look it up, never repeat a call that moves money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMeaning:
    """One row of an adapter's error table.

    `error` is the exception to raise: OutcomeUnknownError (or a subclass), GatewayBlockedError and GatewayError
    itself prove nothing about the call's effect; every other class (DeclinedError first) says that the gateway's
    business logic understood and refused. `reason` must be set where `error` is
    DeclinedError. `final`: this submission can no longer succeed. `look_up_first`: the refusal leaves open what
    happened before, so the state at the gateway must be looked up before anything is concluded.
    """

    kind: ErrorClass
    error: type[GatewayError]
    reason: ReasonCode | None = None
    final: bool = False
    look_up_first: bool = False
    advice_en: str = ""
    """What to do, one or two sentences for a developer; becomes the error's `next_step`."""

    def __post_init__(self) -> None:
        if issubclass(self.error, DeclinedError) and self.reason is None:
            raise ValueError("a meaning that declines needs a reason")


def error_for(
    meaning: ErrorMeaning,
    *,
    what: str,
    code: str,
    safety: Safety,
    http_status: int | None = None,
    step: str | None = None,
    own_words: dict[str, str] | None = None,
    context: dict[str, str | int | bool | None] | None = None,
) -> GatewayError:
    """The exception that a row of the table stands for, made for one answer; raise it, it is not raised here.

    Args:
        what: the first sentence of the message; no value of the payer or the merchant in it.
        code: the gateway's own code, kept as it came.
        safety: the step's; an answer that proves nothing leaves UNKNOWN behind on ONCE and IDEMPOTENT steps only.
        own_words: the gateway's sentences for the payer per locale, where its rules ask that they be shown.
    """
    proves_nothing = meaning.error is GatewayError or issubclass(meaning.error, _PROVE_NOTHING)
    verdict = Verdict.UNRECOGNIZED if proves_nothing else Verdict.REFUSED
    about: dict[str, Any] = {
        "code": code,
        "effect": effect_of(Sent.MAYBE, safety, verdict),
        "http_status": http_status,
        "step": step,
        "next_step": meaning.advice_en or None,
        "context": context,
    }
    if issubclass(meaning.error, DeclinedError) and meaning.reason is not None:
        reason = Reason(code=meaning.reason, gateway_code=code, own_words=own_words or {})
        return meaning.error(
            what, reason=reason, final=meaning.final, look_up_first=meaning.look_up_first, **about
        )
    return meaning.error(what, **about)
