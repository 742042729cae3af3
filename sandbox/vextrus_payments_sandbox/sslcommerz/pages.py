"""The hosted page: a way to pay, a number, a code; and buttons that end it any other way (dossier §1.10).

Forms need no script. Every answer to one is a redirect (303), so a page may be loaded again and a button clicked twice:
a form that belongs to an earlier step changes nothing. Browsers go back to the shop by a form of their own that they
post there; where script runs it is sent by itself, else by a button. Before that, the shop's server has been told.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments_sandbox.fault_kinds import parse_fault
from vextrus_payments_sandbox.hosted import form_of, frame, numbered, refresh_at, see_other
from vextrus_payments_sandbox.redacting import url_shown
from vextrus_payments_sandbox.rendering import html
from vextrus_payments_sandbox.sslcommerz import wallets
from vextrus_payments_sandbox.sslcommerz.amounts import write_amount
from vextrus_payments_sandbox.sslcommerz.channels import CHANNELS, GROUPS, masked
from vextrus_payments_sandbox.sslcommerz.facts import ENDS
from vextrus_payments_sandbox.sslcommerz.invoices import PATH_PAY, Invoices
from vextrus_payments_sandbox.sslcommerz.ipn import IpnPost
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Session
from vextrus_payments_sandbox.sslcommerz.rules import TRIES_MAX, SslcommerzRules
from vextrus_payments_sandbox.sslcommerz.telling import state_of
from vextrus_payments_sandbox.sslcommerz.texts import TEXTS
from vextrus_payments_sandbox.sslcommerz.writing import page_url, posted
from vextrus_payments_sandbox.world import CUSTOMER, SandboxError

STEPS: Final = ("wallet", "otp")
RETURN: Final = "/return"
_OWN_NOTE: Final = "SSLCommerz: "
_SCRIPT_PATH: Final = m.PATH_PAGE + "return.js"
_SCRIPT: Final = 'document.getElementById("return").submit();\n'
_IPN_FAULTS: Final[Mapping[str, str]] = {
    "no_ipn": "webhook_never",
    "ipn_twice": "webhook_duplicate",
    "ipn_late": "webhook_delayed",
}


class SslcommerzPages:
    """What a payer sees and does."""

    def __init__(self, rules: SslcommerzRules, invoices: Invoices, ipn: IpnPost) -> None:
        self._rules = rules
        self._invoices = invoices
        self._ipn = ipn

    def routes(self) -> list[Route]:
        """The page under both its addresses, the way back, and what an invoice's link leads to."""
        page = m.PATH_PAGE + "{name}"
        return [
            Route(_SCRIPT_PATH, _script, methods=["GET"]),
            Route(m.PATH_PAGE_OLD, self.find, methods=["GET"]),
            Route(PATH_PAY, self.find_invoice, methods=["GET"]),
            Route(page + RETURN, self.leave, methods=["GET"]),
            *(
                Route(page + end, act, methods=[method])
                for end in ("", "/")
                for method, act in (("GET", self.show), ("POST", self.act))
            ),
        ]

    async def find(self, request: Request) -> Response:
        """GET on the page's old address: leads to the page; ``cardname`` names the way to pay."""
        session = self._rules.sessions.get(request.query_params.get("SESSIONKEY", "").upper())
        if session is None:
            return _ended(_texts(request), "unknown", 404)
        return see_other(_address(request, session, channel=request.query_params.get("cardname", "")))

    async def find_invoice(self, request: Request) -> Response:
        """GET on an invoice's link: leads to the page."""
        invoice = self._invoices.invoices.get(request.query_params.get("refer", ""))
        if invoice is None:
            return _ended(_texts(request), "unknown", 404)
        return see_other(_address(request, self._invoices.session_of(invoice)))

    async def show(self, request: Request) -> Response:
        """GET: the step the payer is at, or how it ended."""
        session, texts = self._session(request), _texts(request)
        if session is None:
            return _ended(texts, "unknown", 404)
        if not self._rules.page_open(session):
            return self._over(request, session, texts)
        self._rules.page_shown(session)
        return self._step(request, session, texts, error=request.query_params.get("again", ""))

    async def act(self, request: Request) -> Response:
        """POST: one form. Answers with a redirect to the next step, or to the way back to the shop."""
        session = self._session(request)
        if session is None:
            return _ended(_texts(request), "unknown", 404)
        form = await form_of(request)
        if form is None:
            return _ended(_texts(request), "unknown", 413)
        again, tries = "", len(session.attempts)
        if self._rules.page_open(session):
            again = self._apply(session, form)
        self._rules.world.keep()
        await self._ipn.told()
        if self._rules.page_open(session) and (
            session.back is None or (tries == len(session.attempts) and again)
        ):
            return see_other(_address(request, session, again=again))
        return see_other(self._way_out(request, session))

    async def leave(self, request: Request) -> Response:
        """GET: the form that leads the browser back to the shop, sent by itself where script runs."""
        session, texts = self._session(request), _texts(request)
        if session is None:
            return _ended(texts, "unknown", 404)
        if session.back is None or session.stays:
            return see_other(_address(request, session))
        page = self._over(request, session, texts, leaving=True)
        policy = page.headers["Content-Security-Policy"]
        page.headers["Content-Security-Policy"] = f"{policy}; script-src 'self'"
        return page

    def approve(self, session: Session, outcome: str, number: str | None) -> Mapping[str, Any]:
        """Walk the page in one go, as `outcome` says: one of :data:`ENDS`; ``success`` under the payer's own wallet.

        A try that is under way is ended by it: ``success`` pays it, all others fail it.
        """
        if outcome not in ENDS:
            raise SandboxError(f"outcome is one of {', '.join(ENDS)}")
        self._rules.settle_due()
        if session.under_way is not None and session.closed:
            self._rules.settle(session, paid=outcome == "success")
        elif self._rules.page_open(session):
            self._walk(session, outcome, number or CUSTOMER["wallet"])
        answer = {
            "reference": session.key,
            "state": state_of(session).value,
            "redirect": self.way_back(session),
        }
        return answer if answer["redirect"] is None else {**answer, "form": self.form(session)}

    def way_back(self, session: Session) -> str | None:
        """Where the browser posts its form; None where it stays."""
        if session.back is None or session.stays:
            return None
        if session.back in m.PAID:
            return session.success_url
        return session.cancel_url if session.back is m.Status.CANCELLED else session.fail_url

    def form(self, session: Session) -> dict[str, str]:
        """The signed fields that the browser posts to the shop."""
        attempt = session.best if session.back in m.PAID else session.attempts[-1]
        if attempt is None or session.back is None:
            raise SandboxError("this payer has not been led back", 409)
        if attempt.status is not session.back:  # he was told so before it was known
            attempt = replace(
                attempt,
                status=session.back,
                error=wallets.NOT_IN_TIME,
                val_id="",
                ended_at=attempt.started_at,
            )
        return posted(session, attempt)

    # ------------------------------------------------------------------------------------------------ acting

    def _walk(self, session: Session, outcome: str, number: str) -> None:
        if outcome != "success":
            self._end(session, outcome, wallets.BLOCKED)
            return
        channel = next(
            (code for code in session.channels if CHANNELS[code].takes_cards or number not in wallets.CARDS),
            "",
        )
        if not self._rules.choose(session, channel, number):
            raise SandboxError(
                "there is no test card or wallet with this number, or none for this way to pay"
            )
        attempt = session.under_way
        right = attempt.wallet.otp if attempt is not None and attempt.wallet is not None else ""
        while session.under_way is not None and self._rules.page_open(session):
            self._rules.give_code(session, right or CUSTOMER["otp"])

    def _apply(self, session: Session, form: Mapping[str, str]) -> str:
        """Carry out one form; returns which input has to be repeated, or nothing."""
        if form.get("end") in ENDS:
            self._end(session, form["end"], form.get("reason", ""))
            return ""
        step, action = session.page_step, form.get("action")
        if action == "Cancel":
            self._rules.end(session, m.Status.CANCELLED)
        elif action == "Other":
            self._rules.choose_again(session)
        elif action == "Confirm" and step == "wallet" and "wallet" in form:
            number = "".join(form["wallet"].split())
            channel = form.get("channel", "") or session.channels[0]
            return "" if self._rules.choose(session, channel, number) else "wallet"
        elif action == "Confirm" and step == "otp" and "otp" in form:
            right = self._rules.give_code(session, form["otp"].strip())
            return "" if right or session.under_way is None else "otp"
        return ""  # a second click, or a form of an earlier step: it was dealt with

    def _end(self, session: Session, outcome: str, reason: str) -> None:
        fault = _IPN_FAULTS.get(outcome)
        self._ipn.demanded = parse_fault(fault, GATEWAY) if fault is not None else None
        ends: Mapping[str, Callable[[], None]] = {
            "risky": lambda: self._rules.pay(session, risky=True),
            "failure": lambda: self._rules.fail(
                session, reason if reason in wallets.REASONS else wallets.BLOCKED
            ),
            "cancel": lambda: self._rules.end(session, m.Status.CANCELLED),
            "unattempted": lambda: self._rules.end(session, m.Status.UNATTEMPTED),
            "expired": lambda: self._rules.end(session, m.Status.EXPIRED),
        }
        try:
            ends.get(outcome, lambda: self._rules.pay(session))()
        finally:
            self._ipn.demanded = None

    # ---------------------------------------------------------------------------------------------- showing

    def _session(self, request: Request) -> Session | None:
        name = str(request.path_params["name"]).lower()
        if not name.startswith(m.PAGE_PREFIX):
            return None
        return self._rules.sessions.get(name.removeprefix(m.PAGE_PREFIX).upper())

    def _way_out(self, request: Request, session: Session) -> str:
        """The address that leads to the shop, told to the record: the browser is sent there."""
        url = self.way_back(session)
        if url is None or session.back is None:
            return _address(request, session)
        self._rules.world.record.add(
            "page",
            GATEWAY,
            session.key,
            f"Sent back to the shop: {session.back.value}",
            step="returned",
            right=True,
            url=url_shown(url),
        )
        return _address(request, session, RETURN)

    def _over(
        self, request: Request, session: Session, texts: Mapping[str, str], *, leaving: bool = False
    ) -> Response:
        ending = _ending(session)
        if leaving and session.back is not None and not session.paid:
            ending = _TOLD.get(session.back, "failed")
        url = self.way_back(session)
        refresh = None
        if session.settles_at is not None and not leaving:
            refresh = refresh_at(session.settles_at, self._rules.world.now(), _address(request, session))
        return _ended(
            texts,
            ending,
            refresh=refresh,
            url=url,
            form={} if url is None else self.form(session),
            script=_SCRIPT_PATH if leaving else "",
        )

    def _step(self, request: Request, session: Session, texts: Mapping[str, str], error: str) -> Response:
        step, lang = session.page_step, texts["lang"]
        world, until = self._rules.world, self._rules.page_until(session)
        attempt = session.under_way
        number = attempt.wallet.number if attempt is not None and attempt.wallet is not None else ""
        channel = CHANNELS[attempt.channel].name if attempt is not None else ""
        last = session.attempts[-1] if session.attempts and step == "wallet" else None
        named = request.query_params.get("channel", "")
        wrong = error if error == step else ""
        return html(
            "ssl_step.html",
            refresh=refresh_at(until, world.now(), _address(request, session)),
            t=texts,
            **frame(
                lang, step=step, steps=STEPS, until=until, now=world.now(), wallets=world.wallets.values()
            ),
            action=_address(request, session),
            other_language=_address(request, session, lang="en" if lang == "bn" else "bn"),
            merchant=session.merchant.name,
            amount=write_amount(session.amount_minor),
            asked=""
            if session.currency == m.CURRENCY
            else f"{write_amount(session.currency_minor)} {session.currency}",
            invoice=session.tran_id,
            product=session.details.get("product_name", ""),
            step=step,
            progress=numbered(texts["step"], lang, step=STEPS.index(step) + 1, steps=len(STEPS)),
            help=texts[f"{step}_help"].format(
                number=masked(number) if number in wallets.CARDS else number, channel=channel
            ),
            error=numbered(texts[f"wrong_{step}"], lang, left=TRIES_MAX - session.wrong_otps)
            if wrong
            else "",
            notice=texts["last_try"].format(error=last.error) if last is not None and last.error else "",
            groups=_groups(session, texts, named),
            customer=CUSTOMER,
            numbers=[
                (one.number, one.note.removeprefix(_OWN_NOTE))
                for one in world.wallets.values()
                if _is_of_use(one.note) and one.number != CUSTOMER["wallet"]
            ],
            ends=[(end, texts[f"end_{end}"]) for end in ENDS],
            reasons=wallets.REASONS,
        )


_TOLD: Final[Mapping[m.Status, str]] = {
    m.Status.CANCELLED: "cancelled",
    m.Status.UNATTEMPTED: "expired",
    m.Status.EXPIRED: "expired",
}


def _groups(session: Session, texts: Mapping[str, str], named: str) -> list[dict[str, Any]]:
    """The ways to pay by their groups; one is chosen: the one that was named, else the first."""
    chosen = named if named in session.channels else session.channels[0]
    found = []
    for group in GROUPS:
        channels = [CHANNELS[code] for code in session.channels if CHANNELS[code].group == group]
        if channels:
            found.append(
                {
                    "name": texts[group],
                    "channels": [(one.code, one.name, one.code == chosen) for one in channels],
                    "open": any(one.code == chosen for one in channels),
                }
            )
    return found


def _is_of_use(note: str) -> bool:
    """Whether a wallet's note says something of it here: not what it does at another gateway."""
    return bool(note) and (":" not in note or note.startswith(_OWN_NOTE))


def _texts(request: Request) -> Mapping[str, str]:
    return TEXTS["bn" if request.query_params.get("lang") == "bn" else "en"]


def _address(request: Request, session: Session, end: str = "", **changes: str) -> str:
    """This page's own address with some parameters set, or dropped where they are empty."""
    lang = request.query_params.get("lang", "")
    kept = {"lang": lang if lang in TEXTS else "", **changes}
    query = urlencode({key: value for key, value in kept.items() if value})
    return page_url("", session.key) + end + (f"?{query}" if query else "")


def _ending(session: Session) -> str:
    state = state_of(session)
    if session.paid:
        return "paid"
    if state is m.Status.PROCESSING:
        return "under_way"
    return _TOLD.get(state, "failed")


def _ended(
    texts: Mapping[str, str],
    ending: str,
    status: int = 200,
    *,
    refresh: str | None = None,
    url: str | None = None,
    form: Mapping[str, str] | None = None,
    script: str = "",
) -> Response:
    return html(
        "ssl_ended.html",
        status,
        refresh=refresh,
        t=texts,
        title=texts[f"{ending}_title"],
        text=texts[f"{ending}_text"],
        url=url,
        form=form or {},
        ending={"under_way": "pending"}.get(ending, ending),
        script=script,
    )


async def _script(request: Request) -> Response:
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(_SCRIPT, media_type="text/javascript", headers=headers)
