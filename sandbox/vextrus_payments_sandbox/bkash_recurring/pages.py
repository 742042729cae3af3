"""The consent page: number, code, PIN, in plain forms that need no script (dossier §7).

Every answer to a form is a redirect (303), so a page may be loaded again and a button clicked twice: a form that
belongs to an earlier step changes nothing. The right PIN gives the consent. Once the page has ended, each further visit
only leads back to the shop.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.gateways.bkash.recurring.models import SubscriptionStatus
from vextrus_payments_sandbox.bkash_recurring.api import PAGE_PATH
from vextrus_payments_sandbox.bkash_recurring.records import GATEWAY, Subscription
from vextrus_payments_sandbox.bkash_recurring.rules import TRIES_MAX, RecurringRules
from vextrus_payments_sandbox.bkash_recurring.texts import TEXTS
from vextrus_payments_sandbox.hosted import STEPS, form_of, frame, numbered, refresh_at, see_other
from vextrus_payments_sandbox.page_steps import sent_back
from vextrus_payments_sandbox.rendering import html
from vextrus_payments_sandbox.world import CUSTOMER, SandboxError, to_text

_RETURNS: Final = {
    SubscriptionStatus.SUCCEEDED: "success",
    SubscriptionStatus.CANCELLED: "cancel",
    SubscriptionStatus.FAILED: "failure",
    SubscriptionStatus.EXPIRED: "failure",
}
_PAYERS: Final = frozenset({SubscriptionStatus.INITIALIZED, SubscriptionStatus.VERIFIED})


class RecurringPages:
    """What a payer sees and does."""

    def __init__(self, rules: RecurringRules) -> None:
        self._rules = rules

    def routes(self) -> list[Route]:
        """The page."""
        return [
            Route(PAGE_PATH + "{code}", self.show, methods=["GET"]),
            Route(PAGE_PATH + "{code}", self.act, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """GET: the step the payer is at, or how it ended."""
        one = self._rules.by_code.get(request.path_params["code"])
        texts = _texts(request)
        if one is None:
            return _ended(texts, "unknown", None, 404)
        if not self._rules.page_open(one):
            return _ended(texts, "late" if one.status in _PAYERS else one.status.value, self._way_back(one))
        self._rules.page_shown(one)
        return self._step(request, one, texts, error=request.query_params.get("again", ""))

    async def act(self, request: Request) -> Response:
        """POST: one form. Answers with a redirect to the next step or back to the shop."""
        one = self._rules.by_code.get(request.path_params["code"])
        if one is None:
            return _ended(_texts(request), "unknown", None, 404)
        form = await form_of(request)
        if form is None:
            return _ended(_texts(request), "unknown", None, 413)
        again = self._apply(one, form) if self._rules.page_open(one) else ""
        self._rules.world.keep()
        if self._rules.page_open(one):
            return see_other(_address(request, one, again=again))
        way_back = self._way_back(one)
        if way_back is None:
            return see_other(_address(request, one, again=""))
        return see_other(sent_back(self._rules.world, GATEWAY, one.key, way_back))

    def approve(self, one: Subscription, outcome: str, number: str | None) -> Mapping[str, Any]:
        """Walk the page in one go, as `outcome` says: ``success``, ``cancel`` or ``failure``."""
        if outcome not in ("success", "cancel", "failure"):
            raise SandboxError("outcome is one of success, cancel, failure")
        rules = self._rules
        if rules.page_open(one):
            if outcome == "cancel":
                rules.page_cancel(one)
            elif outcome == "failure":
                while rules.page_open(one):
                    rules.page_otp(one, "")
            else:
                if not rules.page_wallet(one, number or CUSTOMER["wallet"]):
                    raise SandboxError("there is no test wallet with this number")
                wallet = one.wallet
                if wallet is not None and rules.page_otp(one, wallet.otp):
                    rules.page_pin(one, wallet.right_pin)
        return {"reference": one.key, "state": one.status.value, "redirect": self._way_back(one)}

    def _way_back(self, one: Subscription) -> str | None:
        if one.outcome == "never_returns":
            return None
        told = {"subscriptionRequestId": one.request_id, "status": _RETURNS.get(one.status, "failure")}
        joint = "&" if "?" in one.redirect_url else "?"
        return f"{one.redirect_url}{joint}{urlencode(told)}"

    def _apply(self, one: Subscription, form: Mapping[str, str]) -> str:
        """Carry out one form; returns which input has to be repeated, or nothing."""
        if form.get("action") == "Cancel":
            self._rules.page_cancel(one)
            return ""
        step = one.page_step
        if form.get("action") != "Confirm" or step not in form:
            return ""  # a second click, or a form of an earlier step: it was dealt with
        acts = {"wallet": self._rules.page_wallet, "otp": self._rules.page_otp, "pin": self._rules.page_pin}
        return "" if acts[step](one, form[step].strip()) else step

    def _step(self, request: Request, one: Subscription, texts: Mapping[str, str], error: str) -> Response:
        step, lang, world = one.page_step, texts["lang"], self._rules.world
        first = "" if one.first_minor is None else texts["first"].format(amount=to_text(one.first_minor))
        plan = texts["plan"].format(
            frequency=texts[one.frequency.value], start=one.start, expiry=one.expiry, first=first
        )
        return html(
            "step.html",
            refresh=refresh_at(one.page_until, world.now(), _address(request, one)),
            t=texts,
            **frame(
                lang,
                step=step,
                steps=STEPS,
                until=one.page_until,
                now=world.now(),
                wallets=world.wallets.values(),
            ),
            action=_address(request, one),
            other_language=_address(request, one, lang="en" if lang == "bn" else "bn"),
            merchant=one.merchant.name,
            amount=to_text(one.amount_minor),
            invoice=plan,
            title=texts["title"],
            to=texts["to"],
            step=step,
            progress=numbered(texts["step"], lang, step=STEPS.index(step) + 1, steps=len(STEPS)),
            help=texts[f"{step}_help"].format(wallet=one.wallet.number if one.wallet else ""),
            error=numbered(texts[f"wrong_{step}"], lang, left=TRIES_MAX - one.wrong) if error == step else "",
            prefill=one.payer,
            customer=CUSTOMER,
        )


def page_url(url: str, one: Subscription) -> str:
    """Where the payer consents at the sandbox at `url`."""
    return f"{url}{PAGE_PATH}{one.code}"


def _texts(request: Request) -> Mapping[str, str]:
    return TEXTS["bn" if request.query_params.get("lang") == "bn" else "en"]


def _address(request: Request, one: Subscription, **changes: str) -> str:
    """This page's own address with some parameters set, or dropped where they are empty."""
    lang = request.query_params.get("lang", "")
    kept = {"lang": lang if lang in TEXTS else "", **changes}
    query = urlencode({key: value for key, value in kept.items() if value})
    return PAGE_PATH + one.code + (f"?{query}" if query else "")


def _ended(texts: Mapping[str, str], ending: str, way_back: str | None, status: int = 200) -> Response:
    kinds = {"SUCCEEDED": "paid", "CANCELLED": "cancelled", "FAILED": "failed", "EXPIRED": "expired"}
    return html(
        "ended.html",
        status,
        refresh=None,
        t=texts,
        title=texts[f"{ending}_title"],
        text=texts[f"{ending}_text"],
        way_back=way_back,
        ending=kinds.get(ending, "expired"),
        twin="",
    )
