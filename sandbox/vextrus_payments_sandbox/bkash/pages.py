"""The hosted page: wallet, code, PIN, in plain forms that need no script (dossier §4.3, §12.1).

Every answer to a form is a redirect (303), so a page may be loaded again and a button clicked twice: a form
that belongs to an earlier step changes nothing. Once the payer has finished, each further visit only leads
back to the shop, with the same parameters as before.
"""

import hmac
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.bkash.answers import redirect_url
from vextrus_payments_sandbox.bkash.page_rules import TRIES_MAX
from vextrus_payments_sandbox.bkash.records import GATEWAY, Payment, State
from vextrus_payments_sandbox.bkash.rules import BkashRules
from vextrus_payments_sandbox.bkash.texts import TEXTS
from vextrus_payments_sandbox.hosted import STEPS, form_of, frame, numbered, refresh_at, see_other
from vextrus_payments_sandbox.page_steps import sent_back
from vextrus_payments_sandbox.rendering import html
from vextrus_payments_sandbox.world import CUSTOMER, WALLETS, SandboxError, to_text

_LATE: Final = "late"
"""In the address to which a page goes on by itself when its time is over."""
_RESENT: Final = "sent"
_RESENT_ENOUGH: Final = "enough"
_WALLET_NUMBER: Final = re.compile(r"01[0-9]{9}", re.ASCII)


def payment_id_of(request: Request) -> str:
    """The payment that a page address names, in either spelling; empty when it names none (§4.2)."""
    return request.query_params.get("paymentId") or request.query_params.get("paymentID") or ""


class BkashPages:
    """What a payer sees and does."""

    def __init__(self, rules: BkashRules) -> None:
        self._rules = rules

    async def show(self, request: Request) -> Response:
        """GET: the step the payer is at, or how it ended."""
        texts = _texts(request)
        payment = self._payment(request)
        if payment is None:
            return _ended(texts, "unknown", None, 404)
        if not self._rules.page_open(payment):
            way_back = _way_back(payment)
            if _LATE in request.query_params and way_back is not None:
                # the page went on by itself, as the gateway's own does
                return see_other(self._back(payment, way_back))
            return _ended(texts, _ending(payment), way_back)
        self._rules.page.shown(payment)
        return self._step(request, payment, texts, error=request.query_params.get("again", ""))

    async def act(self, request: Request) -> Response:
        """POST: one form. Answers with a redirect to the next step or back to the shop."""
        payment = self._payment(request)
        if payment is None:
            return _ended(_texts(request), "unknown", None, 404)
        form = await form_of(request)
        if form is None:
            return _ended(_texts(request), "unknown", None, 413)
        again = ""
        if self._rules.page_open(payment):
            again = self._apply(payment, form)
        if self._rules.page_open(payment):
            return see_other(_address(request, again=again))
        way_back = _way_back(payment)
        return see_other(self._back(payment, way_back) if way_back else _address(request, again=""))

    def approve(self, payment: Payment, outcome: str, number: str | None) -> Mapping[str, Any]:
        """Walk the page in one go, as `outcome` says: ``success``, ``cancel`` or ``failure``."""
        walk = {"success": self._confirm, "cancel": self._cancel, "failure": self._fail}.get(outcome)
        if walk is None:
            raise SandboxError("outcome is one of success, cancel, failure")
        if self._rules.page_open(payment):
            walk(payment, number or CUSTOMER["wallet"])
        return {
            "reference": payment.payment_id,
            "state": payment.state.value,
            "verified": payment.verified,
            "redirect": _way_back(payment),
        }

    def _confirm(self, payment: Payment, number: str) -> None:
        if not self._rules.page.confirm(payment, number):
            raise SandboxError("there is no test wallet with this number")

    def _cancel(self, payment: Payment, number: str) -> None:
        self._rules.page.cancel(payment)

    def _fail(self, payment: Payment, number: str) -> None:
        while self._rules.page_open(payment):
            self._rules.page.otp(payment, "")

    def _back(self, payment: Payment, url: str) -> str:
        return sent_back(self._rules.world, GATEWAY, payment.payment_id, url)

    def _payment(self, request: Request) -> Payment | None:
        payment = self._rules.payments.get(payment_id_of(request))
        given = request.query_params.get("hash", "")
        if payment is None or not hmac.compare_digest(
            payment.page_hash.encode(), given.encode("utf-8", "replace")
        ):
            return None
        return payment

    def _apply(self, payment: Payment, form: Mapping[str, str]) -> str:
        """Carry out one form; returns which input has to be repeated, or nothing."""
        if form.get("action") == "Cancel":
            self._rules.page.cancel(payment)
            return ""
        step = payment.page_step
        if form.get("action") == "Resend" and step == "otp":
            return _RESENT if self._rules.page.resend(payment) else _RESENT_ENOUGH
        if form.get("action") != "Confirm":
            return ""
        if step not in form:  # a second click, or a form of an earlier step: it was dealt with
            return ""
        value = form[step].strip()
        act = {"wallet": self._rules.page.wallet, "otp": self._rules.page.otp, "pin": self._rules.page.pin}[
            step
        ]
        return "" if act(payment, value) else step

    def _step(self, request: Request, payment: Payment, texts: Mapping[str, str], error: str) -> Response:
        step, lang = payment.page_step, texts["lang"]
        steps = () if payment.agreement_id is not None else STEPS
        wallet = payment.wallet.number if payment.wallet else ""
        left = TRIES_MAX - (payment.wrong_otps if step == "otp" else payment.wrong_pins)
        wrong = texts[f"wrong_{step}"] if error == step else ""
        if step == "otp" and error == _RESENT_ENOUGH:
            wrong = texts["resent_enough"]
        now, until = self._rules.world.now(), self._rules.page.until(payment)
        return html(
            "step.html",
            refresh=refresh_at(until, now, _address(request, **{_LATE: "1"})),
            t=texts,
            **frame(lang, step=step, steps=steps, until=until, now=now, wallets=WALLETS),
            action=_address(request),
            other_language=_address(request, lang="en" if lang == "bn" else "bn"),
            merchant=payment.merchant.name,
            amount=None if payment.is_agreement else to_text(payment.amount_minor),
            invoice=payment.invoice,
            title=texts["consent_title" if payment.is_agreement else "title"],
            to=texts["agree_with" if payment.is_agreement else "to"],
            step=step,
            progress=numbered(texts["step"], lang, step=STEPS.index(step) + 1, steps=len(STEPS)),
            help=texts[f"{step}_help"].format(wallet=wallet),
            error=numbered(wrong, lang, left=left),
            notice=texts["resent"] if step == "otp" and error == _RESENT else "",
            resend=step == "otp",
            prefill=payment.payer_reference if _WALLET_NUMBER.fullmatch(payment.payer_reference) else "",
            customer=CUSTOMER,
        )


def _texts(request: Request) -> Mapping[str, str]:
    return TEXTS["bn" if request.query_params.get("lang") == "bn" else "en"]


def _address(request: Request, **changes: str) -> str:
    """This page's own address with some parameters set, or dropped where they are empty."""
    kept = {
        key: value for key, value in request.query_params.items() if key not in ("again", _LATE)
    } | changes
    return "/?" + urlencode(
        {key: value for key, value in kept.items() if value}, encoding="utf-8", errors="replace"
    )


def _ending(payment: Payment) -> str:
    if payment.state is State.INITIATED:
        return "done"
    if payment.timed_out:
        return "late"
    endings = {
        State.AUTHORIZED: "paid",
        State.COMPLETED: "paid",
        State.VOIDED: "cancelled",
        State.CANCELLED: "cancelled",
        State.FAILED: "failed",
        State.EXPIRED: "expired",
        State.DECLINED: "declined",
    }
    return endings[payment.state]


def _way_back(payment: Payment) -> str | None:
    """Where the payer goes: success once verified, else how the page ended; nowhere while open or expired.

    The legacy checkout leads nobody anywhere: its payer never left the merchant's page.
    """
    if not payment.callback_url:
        return None
    if payment.verified and payment.state is not State.EXPIRED:
        return redirect_url(payment, "success")
    status = {State.CANCELLED: "cancel", State.FAILED: "failure"}.get(payment.state)
    return redirect_url(payment, status) if status else None


def _ended(texts: Mapping[str, str], ending: str, way_back: str | None, status: int = 200) -> Response:
    return html(
        "ended.html",
        status,
        t=texts,
        title=texts[f"{ending}_title"],
        text=texts[f"{ending}_text"],
        way_back=way_back,
        ending={"late": "failed"}.get(ending, ending),
    )
