"""Payouts, transfers between own accounts, and balances as sans-IO generators (dossier §6).

bKash knows no idempotency key for them, and a direct payout cannot be asked about afterwards. So:

1. learn what can be known before: of a direct payout the balances, which are a hint for whoever has to find out later
   and no proof (others pay out too, and money comes in); of an initiated one its payoutID;
2. make that durable (a Checkpoint): that there is none is proof that no money call was made;
3. send the payout, **once**;
4. on no definite answer ask by the payoutID, where there is one: a payout that is shown as completed is made, and
   anything else it may show proves nothing. Where there is none, keep the balances after it beside those before.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import JsonValue

from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayError,
    PaymentsError,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import payout_models as p
from vextrus_payments.gateways.bkash.envelope import Call, error_of, read
from vextrus_payments.gateways.bkash.errors import Operation
from vextrus_payments.gateways.bkash.steps import (
    Api,
    account_of,
    amount_or_none,
    ask,
    is_id,
    money_of,
    time_of,
)
from vextrus_payments.gateways.bkash.v1_dialect import V1
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.readings import Accepted, Unreadable
from vextrus_payments.gateways.values import UnreadableValueError
from vextrus_payments.payment import Evidence
from vextrus_payments.payouts import (
    LOOK_UP,
    AccountBalance,
    AccountRole,
    PayoutCall,
    PayoutKind,
    PayoutSnapshot,
    PayoutState,
    TransferDirection,
)
from vextrus_payments.wire import Checkpoint, Send, WireCall, WireRequest, WireResponse

A = TypeVar("A", bound=m.Answer)

BASELINE: Final = "payout.baseline"
AFTER: Final = "payout.after"
_ACCOUNTS_MAX: Final = 50
_NAME_MAX: Final = 100

PAYOUT: Final = Call(Operation.PAYOUT, p.PayoutAnswer, lambda a: bool(a.trx_id and a.transaction_status))
INITIATE: Final = Call(Operation.PAYOUT_INITIATE, p.InitiateAnswer, lambda a: bool(a.payout_id))
QUERY: Final = Call(
    Operation.PAYOUT_QUERY, p.PayoutAnswer, lambda a: bool(a.payout_id and a.transaction_status)
)
TRANSFER: Final = Call(
    Operation.TRANSFER, p.TransferAnswer, lambda a: bool(a.trx_id and a.transaction_status)
)
BALANCE: Final = Call(Operation.BALANCE, p.BalanceAnswer, lambda a: a.organization_balance is not None)

_DIRECTIONS: Final = {
    TransferDirection.TO_DISBURSEMENT: p.COLLECTION_TO_DISBURSEMENT,
    TransferDirection.TO_COLLECTION: p.DISBURSEMENT_TO_COLLECTION,
}
_TYPES: Final = {PayoutKind.B2C: p.TYPE_B2C, PayoutKind.B2B: p.TYPE_B2B}
_OWN_PATHS: Final = {V1.grant_path: p.PATH_GRANT, V1.refresh_path: p.PATH_REFRESH}


@dataclass(frozen=True, slots=True)
class Routes:
    """Where each call stands under one of the two roots."""

    initiate: str
    by_id: dict[PayoutKind, str]
    """What is paid by a payoutID."""
    query: str
    transfer: str
    direct_b2c: str | None = None
    balance: str | None = None


CHECKOUT_ROUTES: Final = Routes(
    initiate=p.PATH_INITIATE,
    by_id={PayoutKind.B2B: p.PATH_B2B_BY_ID},
    query=p.PATH_PAYOUT_QUERY,
    transfer=p.PATH_TRANSFER,
    direct_b2c=p.PATH_B2C,
    balance=p.PATH_BALANCE,
)
TOKENIZED_ROUTES: Final = Routes(
    initiate=p.TOKENIZED_PATH_INITIATE,
    by_id={PayoutKind.B2B: p.TOKENIZED_PATH_B2B_BY_ID, PayoutKind.B2C: p.TOKENIZED_PATH_B2C_BY_ID},
    query=p.TOKENIZED_PATH_PAYOUT_QUERY,
    transfer=p.TOKENIZED_PATH_TRANSFER,
)


@dataclass(frozen=True, slots=True)
class PayoutApi(Api):
    """Where a merchant's payouts are. On the checkout product tokens are granted at paths of its own (§3.1)."""

    @property
    def is_checkout(self) -> bool:
        """Whether the root is the checkout product's."""
        return self.root.endswith(p.CHECKOUT_ROOT_PATH)

    @property
    def routes(self) -> Routes:
        """The routes under this root."""
        return CHECKOUT_ROUTES if self.is_checkout else TOKENIZED_ROUTES

    def url(self, path: str) -> str:
        """The address of a route."""
        return self.root + (_OWN_PATHS.get(path, path) if self.is_checkout else path)


def pay_out(api: PayoutApi, call: PayoutCall) -> WireCall[PayoutSnapshot]:
    """Pay or transfer, once: the recipe of the module's docstring.

    Returns:
        The payout (COMPLETED), at the amount that bKash says.

    Raises:
        DeclinedError: bKash said no; nothing moved.
        OutcomeUnknownError: nobody can tell. Never pay again.
        GatewayError: not sent, effect NONE.
    """
    if call.kind in api.routes.by_id:
        return (yield from _by_id(api, call))
    accounts = yield from _balances_if_told(api)
    yield Checkpoint(Evidence(BASELINE, {"accounts": [_listed(account) for account in accounts]}))
    if call.kind is PayoutKind.TRANSFER:
        made = yield from _transfer(api, call)
    else:
        made = yield from _direct(api, call)
    if isinstance(made, PayoutSnapshot):
        return made
    if made.effect is Effect.UNKNOWN:
        yield from _balances_after(api)
    raise made


def look_up_payout(api: PayoutApi, call: PayoutCall, payout_id: str) -> WireCall[PayoutSnapshot | None]:
    """Ask by the payoutID. None: it is not shown as made, which proves nothing.

    Raises:
        GatewayError: no usable answer.
    """
    answer = yield from _ask_get(QUERY, api.url(f"{api.routes.query}/{payout_id}"), reference=payout_id)
    if isinstance(answer, DeclinedError):
        return None
    if isinstance(answer, GatewayError):
        raise answer
    if answer.payout_id != payout_id:
        raise error_of(QUERY, Unreadable("it is about another payout", 200), step="payout_query")
    if answer.transaction_status != p.STATUS_COMPLETED:
        return None
    judged = _judged_or_error(QUERY, call, answer)
    if isinstance(judged, GatewayError):
        raise judged
    return judged


def balances(api: PayoutApi) -> WireCall[tuple[AccountBalance, ...]]:
    """What bKash holds, account by account. Only reads.

    Raises:
        GatewayError: no usable answer.
    """
    path = api.routes.balance
    if path is None:  # refused before it comes here
        raise UnsupportedOperationError("This root tells no balance.")
    answer = yield from _ask_get(BALANCE, api.url(path))
    if isinstance(answer, GatewayError):
        raise answer
    return tuple(_account(one) for one in (answer.organization_balance or ())[:_ACCOUNTS_MAX])


# --------------------------------------------------------------------------------------------------- the money calls


def _direct(api: PayoutApi, call: PayoutCall) -> WireCall[PayoutSnapshot | GatewayError]:
    path = api.routes.direct_b2c
    if path is None:  # refused before it comes here
        raise UnsupportedOperationError("This root has no such payout.")
    body = p.B2cBody(
        amount=call.amount.amount,
        currency=call.amount.currency,
        merchantInvoiceNumber=call.gateway_order_id,
        receiverMSISDN=call.receiver or "",
    )
    answer = yield from ask(PAYOUT, api.url(path), body, reference=call.gateway_order_id)
    return answer if isinstance(answer, GatewayError) else _judged_or_error(PAYOUT, call, answer)


def _balances_after(api: PayoutApi) -> WireCall[None]:
    """What the accounts hold after a payout whose end is open: a hint beside the balances before, and no proof.

    Whatever stops it must not make the caller forget that the end is open.
    """
    try:
        accounts = yield from _balances_if_told(api)
        if accounts:
            yield Checkpoint(Evidence(AFTER, {"accounts": [_listed(account) for account in accounts]}))
    except PaymentsError:
        return


def _by_id(api: PayoutApi, call: PayoutCall) -> WireCall[PayoutSnapshot]:
    asked = p.InitiateBody(type=_TYPES[call.kind], reference=call.gateway_order_id)
    given = yield from ask(INITIATE, api.url(api.routes.initiate), asked, reference=call.gateway_order_id)
    if isinstance(given, GatewayError):
        raise given
    payout_id = given.payout_id
    if payout_id is None or not _is_path_part(payout_id):
        raise error_of(INITIATE, Unreadable("its payoutID is no usable id", 200), step="payout_initiate")
    yield Checkpoint(Evidence(BASELINE, {LOOK_UP: payout_id}))
    body = p.PayoutByIdBody(
        payoutID=payout_id,
        amount=call.amount.amount,
        currency=call.amount.currency,
        merchantInvoiceNumber=call.gateway_order_id,
        receiverMSISDN=call.receiver or "",
    )
    answer = yield from ask(PAYOUT, api.url(api.routes.by_id[call.kind]), body, reference=payout_id)
    failure: GatewayError
    if isinstance(answer, GatewayError):
        failure = answer
    else:
        judged = _judged_or_error(PAYOUT, call, answer)
        if isinstance(judged, PayoutSnapshot):
            return judged
        failure = judged
    if failure.effect is not Effect.UNKNOWN:
        raise failure
    seen = yield from _after(api, call, payout_id)
    if seen is not None:
        return seen
    raise failure


def _after(api: PayoutApi, call: PayoutCall, payout_id: str) -> WireCall[PayoutSnapshot | None]:
    """One question after a payout whose end is open; whatever stops it must not make the caller forget that."""
    try:
        return (yield from look_up_payout(api, call, payout_id))
    except PaymentsError:
        return None


def _transfer(api: PayoutApi, call: PayoutCall) -> WireCall[PayoutSnapshot | GatewayError]:
    assert call.direction is not None, "a transfer has a direction"
    wanted = _DIRECTIONS[call.direction]
    body = p.TransferBody(amount=call.amount.amount, currency=call.amount.currency, transferType=wanted)
    answer = yield from ask(TRANSFER, api.url(api.routes.transfer), body, reference=call.gateway_order_id)
    if isinstance(answer, GatewayError):
        return answer
    if answer.transfer_type not in (None, "", wanted):
        return error_of(TRANSFER, Unreadable("it is about a transfer the other way", 200), step="transfer")
    return _judged_or_error(TRANSFER, call, answer)


def _balances_if_told(api: PayoutApi) -> WireCall[tuple[AccountBalance, ...]]:
    """The balances before, as a hint. A merchant who may pay out need not be allowed to ask for them."""
    if api.routes.balance is None:
        return ()
    try:
        return (yield from balances(api))
    except GatewayError:
        return ()


# ------------------------------------------------------------------------------------------------- reading answers


def _judged_or_error(
    call: Call[A], asked: PayoutCall, answer: p.PayoutAnswer | p.TransferAnswer
) -> PayoutSnapshot | GatewayError:
    """What was made, once it is certain that the answer is about it."""
    why = ""
    amount = fee = None
    try:
        amount = money_of(answer.amount, answer.currency)
    except UnreadableValueError as error:
        why = str(error)
    if isinstance(answer, p.PayoutAnswer):
        fee = amount_or_none(answer.b2c_fee, answer.currency)
        why = why or _of_another(asked, answer)
    if amount is not None and amount.currency != asked.amount.currency:
        why = why or "it is in another currency"
    if answer.transaction_status != p.STATUS_COMPLETED:
        why = why or "it shows neither a success nor a refusal"
    if not is_id(answer.trx_id):
        why = why or "its trxID is no usable id"
    if why:
        return error_of(call, Unreadable(why, 200), step=call.operation.value)
    return PayoutSnapshot(
        state=PayoutState.COMPLETED,
        raw_state=shown_word(answer.transaction_status),
        transaction_id=answer.trx_id,
        amount=amount,
        gateway_reference=answer.payout_id if isinstance(answer, p.PayoutAnswer) else None,
        fee=fee,
        occurred_at=time_of(answer.completed_time),
    )


def _of_another(asked: PayoutCall, answer: p.PayoutAnswer) -> str:
    """Why an answer is about somebody else's payout; empty where nothing says so."""
    invoice = answer.merchant_invoice_number
    if invoice and invoice != asked.gateway_order_id:
        return "it names another merchantInvoiceNumber"
    receiver = account_of(answer.receiver_msisdn)
    if receiver and receiver != account_of(asked.receiver):
        return "it names another receiver"
    return ""


def _account(one: p.OrganizationAccount) -> AccountBalance:
    name = shown_word(one.account_type_name)[:_NAME_MAX]
    roles = [
        role
        for word, role in (
            (p.ACCOUNT_COLLECTION, AccountRole.COLLECTION),
            (p.ACCOUNT_DISBURSEMENT, AccountRole.DISBURSEMENT),
        )
        if word.lower() in name.lower()
    ]
    return AccountBalance(
        role=roles[0] if len(roles) == 1 else AccountRole.OTHER,
        name=name,
        available=amount_or_none(one.available_balance, one.currency),
        current=amount_or_none(one.current_balance, one.currency),
        status=shown_word(one.account_status) or None,
        as_of=time_of(one.update_time),
    )


def _listed(account: AccountBalance) -> JsonValue:
    available = account.available
    return [account.role.value, account.name, None if available is None else available.amount_minor]


def _is_path_part(text: str) -> bool:
    """A payoutID goes into an address: only letters, digits and a few signs that mean nothing there."""
    return (
        is_id(text)
        and all(c.isascii() and (c.isalnum() or c in "-_.~") for c in text)
        and text not in (".", "..")
    )


def _ask_get(call: Call[A], url: str, *, reference: str | None = None) -> WireCall[A | GatewayError]:
    """As `ask`, by GET; the driver puts Content-Type on it too, which bKash wants although there is no body (§3.3)."""
    response: WireResponse | None = None
    failure: GatewayError | None = None
    try:
        response = yield Send(
            request=WireRequest("GET", url),
            operation=call.operation.value,
            safety=call.safety,
            reference=reference,
        )
    except GatewayError as error:
        failure = error
    if failure is not None:
        return failure
    if response is None:
        raise TypeError("the driver answers a Send with a WireResponse")
    reading = read(call, response)
    return (
        reading.answer
        if isinstance(reading, Accepted)
        else error_of(call, reading, step=call.operation.value)
    )
