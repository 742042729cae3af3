"""The hosted page: number, code, PIN, in plain forms that need no script, and a link to leave by (dossier §6, §14.3).

Every answer to a form is a redirect (303), so a page may be loaded again and a button clicked twice: a form
that belongs to an earlier step changes nothing. The right PIN moves the money. Once the page has ended, each further
visit only leads back to the shop, with the same parameters as before.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.gateways.nagad.models import Status
from vextrus_payments_sandbox.hosted import STEPS, form_of, frame, numbered, refresh_at, see_other
from vextrus_payments_sandbox.nagad.records import GATEWAY, Payment
from vextrus_payments_sandbox.nagad.rules import OPEN_STEPS, TRIES_MAX, NagadRules
from vextrus_payments_sandbox.nagad.texts import TEXTS
from vextrus_payments_sandbox.nagad.writing import return_url
from vextrus_payments_sandbox.page_steps import sent_back
from vextrus_payments_sandbox.rendering import html
from vextrus_payments_sandbox.world import CUSTOMER, SandboxError, to_text

PAGE_PATH: Final = "/check-out/"
ABORT_PATH: Final = "/check-out/abort/"
_TWIN_AHEAD_S: Final = 1


class NagadPages:
    """What a payer sees and does."""

    def __init__(self, rules: NagadRules) -> None:
        self._rules = rules

    def routes(self) -> list[Route]:
        """The page and its way out."""
        return [
            route
            for end in ("", "/")  # a slash at the end is nothing to be lost over
            for route in (
                Route(ABORT_PATH + "{reference}" + end, self.leave, methods=["GET"]),
                Route(PAGE_PATH + "{reference}" + end, self.show, methods=["GET"]),
                Route(PAGE_PATH + "{reference}" + end, self.act, methods=["POST"]),
            )
        ]

    async def show(self, request: Request) -> Response:
        """GET: the step the payer is at, or how it ended."""
        payment = self._payment(request)
        texts = _texts(request, payment)
        if payment is None:
            return _ended(texts, "unknown", None, 404)
        if not self._rules.page_open(payment):
            way_back = self._way_back(payment)
            if way_back and self._rules.comes_twice(payment):
                return _ended_twice(texts, _ending(payment), self._back(payment) or way_back)
            return _ended(texts, _ending(payment), way_back, refresh=self._known_at(payment))
        self._rules.page_shown(payment)
        return self._step(request, payment, texts, error=request.query_params.get("again", ""))

    async def act(self, request: Request) -> Response:
        """POST: one form. Answers with a redirect to the next step or back to the shop."""
        payment = self._payment(request)
        if payment is None:
            return _ended(_texts(request, None), "unknown", None, 404)
        form = await form_of(request)
        if form is None:
            return _ended(_texts(request, payment), "unknown", None, 413)
        again = ""
        if self._rules.page_open(payment):
            again = self._apply(payment, form)
        if self._rules.page_open(payment):
            return see_other(_address(request, payment, again=again))
        if self._rules.comes_twice(payment):
            return see_other(_address(request, payment, again=""))
        return see_other(self._back(payment) or _address(request, payment, again=""))

    async def leave(self, request: Request) -> Response:
        """GET on the abort link: the payer leaves. Too late, and it only leads back to the shop."""
        payment = self._payment(request)
        if payment is None:
            return _ended(_texts(request, None), "unknown", None, 404)
        if self._rules.page_open(payment):
            self._rules.page_abort(payment)
        return see_other(self._back(payment) or _address(request, payment, again=""))

    def approve(self, payment: Payment, outcome: str, number: str | None) -> Mapping[str, Any]:
        """Walk the page in one go, as `outcome` says: ``success``, ``cancel`` or ``failure``.

        A payment that is under way is ended by it: ``success`` pays it, the others fail it.
        """
        if outcome not in ("success", "cancel", "failure"):
            raise SandboxError("outcome is one of success, cancel, failure")
        if self._rules.is_under_way(payment):
            self._rules.settle(payment, paid=outcome == "success")
        elif self._rules.page_open(payment):
            self._walk(payment, outcome, number or CUSTOMER["wallet"])
        return {
            "reference": payment.reference,
            "state": payment.status.value,
            "redirect": self._way_back(payment),
        }

    def _walk(self, payment: Payment, outcome: str, number: str) -> None:
        if outcome == "cancel":
            self._rules.page_abort(payment)
            return
        if outcome == "failure":
            while self._rules.page_open(payment):
                self._rules.page_otp(payment, "")
            return
        if not self._rules.page_wallet(payment, number):
            raise SandboxError("there is no test wallet with this number")
        while payment.wallet is not None and self._rules.page_open(payment):
            step = payment.page_step
            act = self._rules.page_otp if step == "otp" else self._rules.page_pin
            act(
                payment,
                (payment.wallet.otp or CUSTOMER["otp"]) if step == "otp" else payment.wallet.right_pin,
            )

    def _payment(self, request: Request) -> Payment | None:
        reference = str(request.path_params["reference"]).replace("%3D", "=").replace("%3d", "=")
        return self._rules.payments.get(reference)

    def _way_back(self, payment: Payment) -> str | None:
        return None if self._rules.stays(payment) else return_url(payment, self._rules.rules)

    def _back(self, payment: Payment) -> str | None:
        """The way back, told to the record: the browser is sent there."""
        url = self._way_back(payment)
        return sent_back(self._rules.world, GATEWAY, payment.reference, url) if url else None

    def _apply(self, payment: Payment, form: Mapping[str, str]) -> str:
        """Carry out one form; returns which input has to be repeated, or nothing."""
        if form.get("action") == "Cancel":
            self._rules.page_abort(payment)
            return ""
        step = payment.page_step
        if form.get("action") != "Confirm" or step not in form:
            return ""  # a second click, or a form of an earlier step: it was dealt with
        acts = {"wallet": self._rules.page_wallet, "otp": self._rules.page_otp, "pin": self._rules.page_pin}
        return "" if acts[step](payment, form[step].strip()) else step

    def _known_at(self, payment: Payment) -> str | None:
        """When a page that stays can tell how the payment ended."""
        if payment.settles_at is None:
            return None
        return refresh_at(payment.settles_at, self._rules.world.now(), PAGE_PATH + payment.reference)

    def _step(self, request: Request, payment: Payment, texts: Mapping[str, str], error: str) -> Response:
        step, lang = payment.page_step, texts["lang"]
        wallet = payment.wallet.number if payment.wallet else ""
        left = TRIES_MAX - (payment.wrong_otps if step == "otp" else payment.wrong_pins)
        world, until = self._rules.world, self._rules.page_until(payment)
        return html(
            "step.html",
            refresh=refresh_at(until, world.now(), _address(request, payment)),
            t=texts,
            **frame(
                lang, step=step, steps=STEPS, until=until, now=world.now(), wallets=world.wallets.values()
            ),
            action=_address(request, payment),
            abort=ABORT_PATH + payment.reference,
            other_language=_address(request, payment, lang="en" if lang == "bn" else "bn"),
            merchant=payment.merchant.name,
            amount=to_text(payment.amount_minor),
            invoice=payment.order_id,
            title=texts["title"],
            to=texts["to"],
            step=step,
            progress=numbered(texts["step"], lang, step=STEPS.index(step) + 1, steps=len(STEPS)),
            help=texts[f"{step}_help"].format(wallet=wallet),
            error=numbered(texts[f"wrong_{step}"], lang, left=left) if error == step else "",
            prefill="",
            customer=CUSTOMER,
        )


def _texts(request: Request, payment: Payment | None) -> Mapping[str, str]:
    chosen = request.query_params.get("lang") or (payment.locale if payment else "en")
    return TEXTS["bn" if chosen == "bn" else "en"]


def _address(request: Request, payment: Payment, **changes: str) -> str:
    """This page's own address with some parameters set, or dropped where they are empty."""
    lang = request.query_params.get("lang", "")
    kept = {"lang": lang if lang in TEXTS else "", **changes}
    query = urlencode({key: value for key, value in kept.items() if value})
    return PAGE_PATH + payment.reference + (f"?{query}" if query else "")


def _ending(payment: Payment) -> str:
    if payment.is_paid:
        return "paid"
    if payment.status is Status.ORDER_INITIATED:
        return "not_ready"
    if payment.status in OPEN_STEPS:
        return "expired"
    return {Status.FAILED: "failed", Status.ABORTED: "aborted"}.get(payment.status, "under_way")


def _ended(
    texts: Mapping[str, str],
    ending: str,
    way_back: str | None,
    status: int = 200,
    *,
    refresh: str | None = None,
    twin: str = "",
) -> Response:
    return html(
        "ended.html",
        status,
        refresh=refresh,
        t=texts,
        title=texts[f"{ending}_title"],
        text=texts[f"{ending}_text"],
        way_back=way_back,
        ending={"aborted": "cancelled", "under_way": "pending"}.get(ending, ending),
        twin=twin,
    )


def _ended_twice(texts: Mapping[str, str], ending: str, way_back: str) -> Response:
    """The end of a page whose browser asks for the return address as a picture first, and then goes there itself.

    That takes no script, and is what a doubled click or a browser that loads ahead does to a shop.
    """
    location = see_other(way_back).headers["Location"]
    page = _ended(texts, ending, way_back, refresh=f"{_TWIN_AHEAD_S}; url={location}", twin=location)
    policy = page.headers["Content-Security-Policy"]
    page.headers["Content-Security-Policy"] = policy.replace("img-src 'self'", "img-src http: https:")
    return page
