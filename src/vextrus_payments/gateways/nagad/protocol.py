"""Nagad's payment protocol as sans-IO generators: initialize and complete, verify (dossier §4, §5, §7).

How a session comes about. Two calls make one page: `initialize` gives a payment reference, `complete` makes its page
payable and says where it is. Between the two the reference is made durable (a Checkpoint), so that whatever happens
then (a crash, a lost answer) the reference is known and watched. Whoever lost the answer to `complete` does not ask
for it again: first the reference is looked up, and where that shows no money the session counts as lost. It moves
nothing, and nobody has its address; the next try is a new submission with an order id of its own.

How a payment is made. The payer's last click on the page moves the money; there is nothing to execute. What `verify`
shows is the only truth: the browser's return is unsigned, and so is everything else that comes by itself.

What an answer must prove. Nagad's answer to `initialize` is sealed: its signature is checked over the decrypted bytes
before they are read as JSON. The answer does not repeat our challenge, so it is bound by what the payment reference
says of itself: our merchant, our order, the challenge that came with it. The answer to `complete` is neither sealed nor
signed: it is believed only as an https address of Nagad's that ends in our own reference.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from vextrus_payments.config import is_loopback
from vextrus_payments.errors import (
    AnswerLostError,
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    OutcomeUnknownError,
    PaymentsError,
)
from vextrus_payments.gateways.bodies import UnreadableBodyError
from vextrus_payments.gateways.endings import MADE, payers_click
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad.config import CLASSIC_SANDBOX_HOST, NagadConfig
from vextrus_payments.gateways.nagad.crypto import BrokenSealError
from vextrus_payments.gateways.nagad.envelope import COMPLETE, INITIALIZE, error_of
from vextrus_payments.gateways.nagad.errors import CLOCK
from vextrus_payments.gateways.nagad.manners import SESSION_LIFE
from vextrus_payments.gateways.nagad.steps import (
    Api,
    Failed,
    ask,
    snapshot_of,
    verify,
)
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.halfway import halfway
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import ExecuteCall, StatusCall, check_url
from vextrus_payments.reasons import Locale
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.wire import Checkpoint, WireCall

_LOCALES: Final = {"en": "EN", "bn": "BN"}
#: A reference so far ahead of us was made under a clock that ran before ours; further ahead it is last year's.
_CLOCK_BEHIND_MAX: Final = timedelta(days=30)
#: Nagad's are 20 hex digits. What is no longer than this fits into the sealed text that has to repeat it, beside the
#: longest ids and amounts; a longer one would fail there with the page half opened.
_CHALLENGE: Final = re.compile(r"[0-9A-Za-z._~+/=-]{1,64}", re.ASCII)
#: Plain labels only: of "shop.example%2f.mynagad.com" some programs read another host than others.
_OWN_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){0,8}mynagad\.com", re.ASCII)

# --------------------------------------------------------------------------------------------------- opening (§4, §5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be paid, and how it is shown. All of it checked by the gateway class."""

    order_id: str
    amount: Money
    callback_url: str = field(repr=False)
    challenge: str = field(repr=False)
    """40 lower-case hex digits, from a source of randomness (§4)."""
    asked_at: datetime
    locale: Locale = "en"
    merchant_number: str | None = field(default=None, repr=False)
    client_address: str | None = field(default=None, repr=False)
    client_type: m.ClientType | None = None
    shown: dict[str, str] = field(default_factory=dict)
    service_fee: Money | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A payment reference, and the page to send the payer to; None where the payment was made already."""

    reference: str
    checkout_url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Initialized:
    reference: str
    challenge: str = field(repr=False)


def open_payment(api: Api, order: Order) -> WireCall[Opened]:
    """Initialize, make the reference durable, complete. Moves nothing.

    Raises:
        DeclinedError: Nagad refuses the request.
        AuthenticationRejectedError: Nagad refuses the merchant or a key.
        OutcomeUnknownError, GatewayBlockedError: no page came; with effect NONE, for nobody can visit it. The next try
            takes another order id.
    """
    begun = yield from _initialize(api, order)
    yield Checkpoint(halfway(order.order_id, begun.reference))
    return (yield from _complete(api, order, begun))


def resume_opening(api: Api, order: Order, reference: str) -> WireCall[Opened]:
    """An earlier attempt may have made the page payable: look, and open nothing.

    Raises:
        AnswerLostError: nothing was paid by it, as far as can be seen; its page is in nobody's hands.
    """
    error = AnswerLostError(
        "An earlier attempt to open this payment's page did not end, and nothing was paid by it.",
        code="page_lost",
        effect=Effect.NONE,
        step="resume.look_up",
        next_step="Open a new submission; the old one is watched.",
    )
    return (yield from _looked_up(api, order, reference, error, step="resume.look_up"))


def _initialize(api: Api, order: Order) -> WireCall[_Initialized]:
    moment = m.compact_time(order.asked_at)
    sealed = api.seal.seal(
        m.InitializeText(
            merchantId=api.merchant_id,
            datetime=moment,
            orderId=order.order_id,
            challenge=order.challenge,
        ).to_json()
    )
    body = m.InitializeBody(
        accountNumber=order.merchant_number,
        dateTime=moment,
        sensitiveData=sealed.sensitive_data,
        signature=sealed.signature,
    )
    url = api.url(m.PATH_INITIALIZE, api.merchant_id, order.order_id) + f"?locale={_LOCALES[order.locale]}"
    request = api.post(url, body, api.headers(order.client_address, order.client_type))
    answer = yield from ask(INITIALIZE, request, step="initialize", reference=order.order_id)
    if isinstance(answer, Failed):
        _tell_the_skew(answer, order.asked_at)
        raise answer.error
    begun = _unsealed(api, order, answer)
    if isinstance(begun, str):
        raise error_of(INITIALIZE, Unreadable(begun, 200), step="initialize")
    return begun


def _unsealed(api: Api, order: Order, answer: m.SealedAnswer) -> _Initialized | str:
    """What the sealed answer says, or why it is not believed. The signature comes before the JSON."""
    try:
        said = m.InitializeAnswerText.from_json(api.seal.open(answer.sensitive_data, answer.signature))
    except BrokenSealError:
        return "its seal is not Nagad's"
    except (UnreadableBodyError, ValueError):
        return "its sealed text is no answer"
    reference, challenge = said.payment_reference_id or "", said.challenge or ""
    if not m.is_reference(reference) or not _CHALLENGE.fullmatch(challenge):
        return "its sealed text lacks the reference or the challenge"
    parts = m.read_reference(reference)
    if parts is not None and (parts.merchant_id, parts.order_id, parts.challenge) != (
        api.merchant_id,
        order.order_id,
        challenge,
    ):
        return "it is the answer to another request"
    return _Initialized(reference, challenge)


def _complete(api: Api, order: Order, begun: _Initialized) -> WireCall[Opened]:
    fee = m.OtherAmount(serviceFee=order.service_fee.amount) if order.service_fee is not None else None
    sealed = api.seal.seal(
        m.CompleteText(
            merchantId=api.merchant_id,
            orderId=order.order_id,
            currencyCode=m.CURRENCY_CODE,
            amount=order.amount.amount,
            challenge=begun.challenge,
            otherAmount=fee,
        ).to_json()
    )
    body = m.CompleteBody(
        sensitiveData=sealed.sensitive_data,
        signature=sealed.signature,
        merchantCallbackURL=order.callback_url,
        additionalMerchantInfo={**order.shown} if order.shown else None,
    )
    request = api.post(
        api.url(m.PATH_COMPLETE, begun.reference),
        body,
        api.headers(order.client_address, order.client_type),
    )
    answer = yield from ask(COMPLETE, request, step="complete", reference=begun.reference)
    error: PaymentsError
    if isinstance(answer, Failed):
        error = answer.error
        if isinstance(error, DeclinedError):
            raise error  # understood and refused: there is no page
    else:
        url = answer.callback_url or ""
        if is_page_of(url, begun.reference, api):
            return Opened(begun.reference, url)
        error = error_of(
            COMPLETE, Unreadable("its page is no address of Nagad's for this payment", 200), step="complete"
        )
    return (yield from _looked_up(api, order, begun.reference, _lost(error), step="complete.look_up"))


def _lost(error: PaymentsError) -> PaymentsError:
    """The order id is used up by initialize, so that also what was never sent needs a new submission."""
    if isinstance(error, GatewayError) and not isinstance(error, OutcomeUnknownError):
        return AnswerLostError(
            f"The payment's page was not opened ({error.code}).",
            code=error.code,
            effect=Effect.NONE,
            http_status=error.http_status,
            step="complete",
            next_step=error.next_step,
            context={**error.context, "cause_type": type(error).__name__},
        )
    return error


def _looked_up(
    api: Api, order: Order, reference: str, error: PaymentsError, *, step: str
) -> WireCall[Opened]:
    """Whether the payment was made all the same; else the error stands."""
    call = StatusCall(gateway_reference=reference, gateway_order_id=order.order_id, amount=order.amount)
    seen = yield from _seen(api, call, order.asked_at, step=step)
    if isinstance(seen, PaymentSnapshot) and seen.state in MADE:
        return Opened(reference, None)
    raise error


def _tell_the_skew(failed: Failed, asked_at: datetime) -> None:
    """Beside "the time is outside the allowed window": by how much our clock differs from Nagad's, where it says so."""
    if failed.error.code != CLOCK or failed.response is None:
        return
    try:
        theirs = parsedate_to_datetime(failed.response.headers.get("date", ""))
    except (ValueError, TypeError):
        return
    if theirs.tzinfo is not None:
        failed.error.context["clock_ahead_s"] = round((asked_at - theirs.astimezone(UTC)).total_seconds())


def is_page_of(url: str, reference: str, api: Api) -> bool:
    """Whether a payer may be sent there: Nagad's own host (or the configured one), https, and our own reference.

    A host that is known to move the other mode's money is none of this payment's.

    The sandbox's classic host and this machine's loopback answer by plain HTTP, in sandbox mode alone.
    """
    try:
        check_url("checkout_url", url)
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except (InvalidRequestError, ValueError):
        return False
    if not url.isascii() or any(c in url for c in '"<>'):
        return False
    own = _OWN_HOST.fullmatch(host) or host == (urlsplit(api.root).hostname or "").rstrip(".")
    if not own or NagadConfig.mode_of_host(host) not in (None, api.mode):
        return False
    plain = api.mode is Mode.SANDBOX and (is_loopback(host) or host == CLASSIC_SANDBOX_HOST)
    if parts.scheme != "https" and not plain:
        return False
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) == reference


# --------------------------------------------------------------------------------------------------- verify (§7)


def look_up(api: Api, call: StatusCall | ExecuteCall, now: datetime) -> WireCall[PaymentSnapshot]:
    """Look a payment up. Only reads.

    Raises:
        DeclinedError: Nagad refuses the look-up; never final, it says nothing about the payment.
        GatewayError: no usable answer; nothing is known more than before.
    """
    seen = yield from _seen(api, call, now, step="verify")
    if isinstance(seen, PaymentsError):
        raise seen
    return seen


def execute(
    api: Api, call: ExecuteCall, now: datetime, *, resuming: bool = False
) -> WireCall[PaymentSnapshot]:
    """What the payer's own click has done: a look-up, for there is nothing to send.

    Returns:
        PAID, or REVIEW where money moved otherwise than asked.

    Raises:
        DeclinedError: he is not done yet (`final` False), or it is over (`final` True).
        OutcomeUnknownError: Nagad itself does not know, or an earlier attempt is not seen as made.
        GatewayError: no usable answer.
    """
    seen = yield from _seen(api, call, now, step="verify")
    if isinstance(seen, PaymentsError):
        raise seen
    return payers_click(seen, whose="Nagad", step="verify", resuming=resuming)


def _seen(
    api: Api, call: StatusCall | ExecuteCall, now: datetime, *, step: str
) -> WireCall[PaymentSnapshot | PaymentsError]:
    answer = yield from verify(api, call.gateway_reference, step=step)
    if isinstance(answer, Failed):
        return answer.error
    return snapshot_of(
        api,
        answer,
        gateway_reference=call.gateway_reference,
        gateway_order_id=call.gateway_order_id,
        amount=call.amount,
        page_is_over=is_over(call.gateway_reference, now),
    )


def is_over(reference: str, now: datetime) -> bool:
    """True when the page of this reference is older than any page is taken to live.

    The reference carries the moment of its making without the year (`MMddHHmmssSSS` of Dhaka); the last such moment
    counts, and one that is ahead of a clock that is behind is no year old. One of another form is never called over:
    then the session's own end decides.
    """
    parts = m.read_reference(reference)
    if parts is None or len(parts.made_at) != 13:
        return False
    local = now.astimezone(m.DHAKA)
    for year in (local.year + 1, local.year, local.year - 1):
        try:
            made_at = m.parse_time(f"{year}{parts.made_at[:10]}")
        except ValueError:
            continue  # the 29th of February of another year
        if made_at <= local + _CLOCK_BEHIND_MAX:
            return local - made_at > SESSION_LIFE
    return False
