"""Payouts, transfers and balance on the wire (dossier §6), at both of their hosts.

At the checkout product times are in GMT+0000 and errors are errorCode; below the tokenized root they are as everything
else is there. No webhook tells of a payout: what bKash announces are payments (§8.3).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timezone
from typing import Any, Final

from starlette.responses import Response

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import payout_models as p
from vextrus_payments_sandbox.bkash.answers import refusal_v1
from vextrus_payments_sandbox.bkash.checkout import refusal
from vextrus_payments_sandbox.bkash.deeds import Deeds
from vextrus_payments_sandbox.bkash.payout_rules import Account
from vextrus_payments_sandbox.bkash.products import Ask, Call, Calls
from vextrus_payments_sandbox.bkash.records import Payout, Rules
from vextrus_payments_sandbox.exchange import Done, json_response
from vextrus_payments_sandbox.world import to_text

_PAYOUT_ID: Final = "/{payoutID}"


class _Payouts:
    """What both hosts have in common."""

    zone: timezone
    ok: dict[str, Any]

    def __init__(self, deeds: Deeds) -> None:
        self._deeds = deeds
        self._rules = deeds.rules.payouts
        self._answers = PayoutAnswers(deeds.rules.rules, self.zone, self.ok)

    def _balance(self, ask: Ask) -> Done:
        self._deeds.manners.looked_for_payouts(ask.merchant)
        found = self._rules.accounts(ask.merchant, stale=ask.stale)
        return Done(json_response(self._answers.balance(found, ask.merchant.name)))

    def _transfer(self, ask: Ask) -> Done:
        made = self._rules.transfer(ask.merchant, ask.fields)
        return Done(json_response(self._answers.transferred(made)), made.trx_id)

    def _initiate(self, ask: Ask) -> Done:
        made = self._rules.initiate(ask.merchant, ask.fields)
        return Done(json_response(self._answers.initiated(made)), made.payout_id)

    def _b2c(self, ask: Ask) -> Done:
        return self._paid(ask, lambda: self._rules.pay(ask.merchant, ask.fields))

    def _by_id(self, kind: str) -> Call:
        def handler(ask: Ask) -> Done:
            return self._paid(ask, lambda: self._rules.pay_by_id(ask.merchant, kind, ask.fields))

        return Call("payout", handler)

    def _paid(self, ask: Ask, pay: Callable[[], Payout]) -> Done:
        invoice = ask.fields.get("merchantInvoiceNumber", "")
        repeated = self._rules.was_paid(ask.merchant, invoice)
        made = pay()
        if repeated:
            self._deeds.manners.paid_out_again(invoice)
        return Done(json_response(self._answers.paid(made)), made.payout_id)

    def _query(self, ask: Ask) -> Done:
        found = self._rules.payout(ask.merchant, ask.needed("payoutID"))
        self._deeds.manners.looked_for_payouts(ask.merchant)
        return Done(json_response(self._answers.asked_about(found, stale=ask.stale)), found.payout_id)


class PayoutsAtCheckout(_Payouts):
    """Below the root of the checkout product, where bKash documents them."""

    is_checkout = True
    is_coded = False
    zone = UTC
    ok: dict[str, Any] = {}

    @property
    def calls(self) -> Calls:
        """Every path."""
        root = p.CHECKOUT_ROOT_PATH
        return {
            ("GET", root + p.PATH_BALANCE): Call("balance", self._balance),
            ("POST", root + p.PATH_TRANSFER): Call("transfer", self._transfer),
            ("POST", root + p.PATH_B2C): Call("payout", self._b2c),
            ("POST", root + p.PATH_INITIATE): Call("payout_initiate", self._initiate),
            ("POST", root + p.PATH_B2B_BY_ID): self._by_id(p.TYPE_B2B),
            ("POST", f"{root}/payout/b2c"): self._by_id(p.TYPE_B2C),
            ("GET", root + p.PATH_PAYOUT_QUERY + _PAYOUT_ID): Call("payout_query", self._query),
        }

    def coded(self, code: str) -> Response:
        """A refusal in HTTP 200, as of everything there."""
        return json_response(refusal(code))

    def unreadable(self) -> Response:
        """2025."""
        return self.coded("2025")


class PayoutsAtTokenized(_Payouts):
    """Below the root of tokenized v1.2.0-beta, as one library calls them."""

    is_checkout = False
    is_coded = True
    zone = m.DHAKA
    ok: dict[str, Any] = {"status_code": m.CODE_SUCCESS, "status_message": "Successful"}

    @property
    def calls(self) -> Calls:
        """Every path."""
        root = p.TOKENIZED_ROOT_PATH
        return {
            ("POST", root + p.TOKENIZED_PATH_INITIATE): Call("payout_initiate", self._initiate),
            ("POST", root + p.TOKENIZED_PATH_B2B_BY_ID): self._by_id(p.TYPE_B2B),
            ("POST", root + p.TOKENIZED_PATH_B2C_BY_ID): self._by_id(p.TYPE_B2C),
            ("POST", root + p.TOKENIZED_PATH_TRANSFER): Call("transfer", self._transfer),
            ("GET", root + p.TOKENIZED_PATH_PAYOUT_QUERY + _PAYOUT_ID): Call("payout_query", self._query),
        }

    def coded(self, code: str) -> Response:
        """A refusal in HTTP 200 with a statusCode (§4.4)."""
        return json_response(refusal_v1(code))

    def unreadable(self) -> Response:
        """2025."""
        return self.coded("2025")


class PayoutAnswers:
    """Words what was paid out. Amounts are echoed as `rules` say; balances have two places."""

    def __init__(self, rules: Rules, zone: timezone, ok: dict[str, Any]) -> None:
        self._as_sent = rules.amounts == "as_sent"
        self._zone = zone
        self._ok = ok

    def balance(self, accounts: Sequence[Account], holder: str) -> dict[str, Any]:
        """The merchant's accounts."""
        listed: list[dict[str, Any]] = [
            {
                "account_type_name": f"Merchant {account.name} Account",
                "account_status": p.STATUS_ACTIVE,
                "account_holder_name": holder,
                "current_balance": to_text(account.balance_minor),
                "available_balance": to_text(account.balance_minor),
                "currency": m.CURRENCY,
                "update_time": self._time(account.updated_at),
            }
            for account in accounts
        ]
        shown = [p.OrganizationAccount(**one) for one in listed]
        return p.BalanceAnswer(**self._ok, organizationBalance=shown).to_wire()

    def initiated(self, payout: Payout) -> dict[str, Any]:
        """A payoutID was given."""
        return p.InitiateAnswer(**self._ok, **self._asked_for(payout)).to_wire()

    def paid(self, payout: Payout) -> dict[str, Any]:
        """Paid. The payoutID is named where there is one."""
        named = {"payout_id": payout.payout_id} if payout.reference else {}
        return p.PayoutAnswer(**self._ok, **named, **self._made(payout)).to_wire()

    def asked_about(self, payout: Payout, *, stale: bool) -> dict[str, Any]:
        """A look at a payoutID; `stale` shows it as it was before it was paid."""
        known = self._made(payout) if payout.trx_id is not None and not stale else {}
        state = {"transaction_status": p.STATUS_INITIATED} | known
        return p.PayoutAnswer(**self._ok, **self._asked_for(payout), **state).to_wire()

    def transferred(self, made: Payout) -> dict[str, Any]:
        """Moved between the merchant's own accounts."""
        fields: dict[str, Any] = {
            "trx_id": made.trx_id,
            "amount": self._amount(made),
            "currency": m.CURRENCY,
            "transfer_type": made.transfer_type,
            "transaction_status": p.STATUS_COMPLETED,
            "completed_time": self._time(made.completed_at or made.created_at),
        }
        return p.TransferAnswer(**self._ok, **fields).to_wire()

    def _asked_for(self, payout: Payout) -> dict[str, Any]:
        return {
            "payout_id": payout.payout_id,
            "type": payout.kind,
            "reference": payout.reference,
            "initiation_time": self._time(payout.created_at),
        }

    def _made(self, payout: Payout) -> dict[str, Any]:
        return {
            "trx_id": payout.trx_id,
            "amount": self._amount(payout),
            "currency": m.CURRENCY,
            "receiver_msisdn": payout.receiver,
            "merchant_invoice_number": payout.invoice,
            "transaction_status": p.STATUS_COMPLETED,
            "completed_time": self._time(payout.completed_at or payout.created_at),
            "b2c_fee": to_text(payout.fee_minor) if payout.kind == "B2C" else None,
        }

    def _amount(self, payout: Payout) -> str:
        return payout.amount_text if self._as_sent else to_text(payout.amount_minor)

    def _time(self, moment: datetime) -> str:
        return m.format_time(moment, self._zone)
