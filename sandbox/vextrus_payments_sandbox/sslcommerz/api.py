"""SSLCommerz's wire: sessions, validations, look-ups, refunds, invoices (dossier §1.2, §1.6 to §1.10).

Every answer is HTTP 200, a refusal too. It takes what real clients send: any method for the validator's routes, with
their parameters in the query, in a body or in both; sessions as urlencoded or multipart forms; doubled slashes. Which
of four things the one look-up address does, its parameters decide.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments_sandbox.exchange import BodyTooLargeError, Done, Exchange, json_response, read_body
from vextrus_payments_sandbox.faults import Fault, Subject
from vextrus_payments_sandbox.sslcommerz import invoices as inv
from vextrus_payments_sandbox.sslcommerz import writing as w
from vextrus_payments_sandbox.sslcommerz.amounts import in_taka, read_amount
from vextrus_payments_sandbox.sslcommerz.asking import asked, objections
from vextrus_payments_sandbox.sslcommerz.embed import EMBED
from vextrus_payments_sandbox.sslcommerz.forms import Given, given
from vextrus_payments_sandbox.sslcommerz.invoices import Invoices
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Merchant, Refusal, Session
from vextrus_payments_sandbox.sslcommerz.refunds import Refunds
from vextrus_payments_sandbox.sslcommerz.rules import SslcommerzRules
from vextrus_payments_sandbox.sslcommerz.watching import SslcommerzManners
from vextrus_payments_sandbox.world import SandboxError, World

OPERATIONS: Final = (
    "session",
    "validate",
    "query",
    "refund",
    "refund_status",
    "invoice",
    "invoice_status",
    "invoice_cancel",
)
_ANY: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_TEXT_MAX: Final = 255
_INACTIVE: Final = "inactive_store"
_WRONG_PASSWORD: Final = "wrong_password"


@dataclass(frozen=True, slots=True)
class Ask:
    """One call as the handlers see it."""

    operation: str
    given: Given
    base_url: str
    fault: Fault | None = None

    def of(self, name: str) -> str:
        """A field; empty where it was not given."""
        return self.given.fields.get(name, "")

    def struck_by(self, *names: str) -> bool:
        """Whether one of these faults strikes the call."""
        return self.fault is not None and self.fault.name in names


class SslcommerzApi:
    """The API routes of the SSLCommerz sandbox."""

    def __init__(
        self,
        world: World,
        rules: SslcommerzRules,
        refunds: Refunds,
        invoices: Invoices,
        exchange: Exchange,
        merchants: Mapping[str, Merchant],
        panel_url: Callable[[], str] = str,
    ) -> None:
        self._world = world
        self._rules = rules
        self._refunds = refunds
        self._invoices = invoices
        self._exchange = exchange
        self._merchants = merchants
        self._panel_url = panel_url
        self._handlers: dict[str, Callable[[Ask], Done]] = {
            "session": self._session,
            "validate": self._validate,
            "query": self._query,
            "refund": self._refund,
            "refund_status": self._refund_status,
            "invoice": self._invoice,
            "invoice_status": self._invoice_status,
            "invoice_cancel": self._invoice_cancel,
        }
        self.manners = SslcommerzManners(world)

    def routes(self) -> list[Route]:
        """Every address of the API, with one slash in front or two."""
        table = (
            (m.PATH_SESSION, self._endpoint),
            (m.PATH_VALIDATION, self._endpoint),
            (m.PATH_QUERY, self._endpoint),
            (m.PATH_INVOICE, self._endpoint),
            (m.PATH_INVOICE_ACTION, self._endpoint),
            (m.PATH_INVOICE_ACTION.rstrip("/"), self._endpoint),
            (m.PATH_TLS, _tls),
            (m.PATH_EMBED, _embed),
        )
        return [Route(front + path, act, methods=_ANY) for path, act in table for front in ("", "/")]

    async def _endpoint(self, request: Request) -> Response:
        self._rules.settle_due()
        self._refunds.settle_due()
        try:
            raw = await read_body(request)
        except BodyTooLargeError:
            refused = json_response(w.refused("Invalid Information: the form is too long"), 413)
            return self._exchange.turned_away(request, GATEWAY, _operation(request, Given({})), refused)
        fields = await given(request, raw)
        operation = _operation(request, fields)
        ask = Ask(operation, fields, str(request.base_url).rstrip("/"))
        session = self._named(ask)
        self.manners.called(operation, ask.of(m.TRAN_ID), request.headers)

        def coded(code: str) -> Response:
            return self._said_no(ask, f"Invalid Information ({code})")

        def work(fault: Fault | None) -> Done:
            try:
                return self._work(Ask(operation, fields, ask.base_url, fault))
            except SandboxError as broken:
                return Done(json_response({"message": f"the sandbox itself: {broken}"}, broken.status))

        answer = await self._exchange.carry(
            request,
            gateway=GATEWAY,
            operation=operation,
            reference=session.key if session is not None else ask.of(m.TRAN_ID) or None,
            work=work,
            coded=coded,
            subject=lambda: self._subject(ask, session),
            parted=lambda parting: self.manners.parted(operation, session, parting),
        )
        if request.headers.get("connection", "").lower() == "close":
            answer.headers.setdefault("Connection", "close")
        return answer

    # ---------------------------------------------------------------------------------------------- the work

    def _work(self, ask: Ask) -> Done:
        if ask.given.problem:
            return Done(self._said_no(ask, f"Invalid Information: {ask.given.problem}"))
        if (
            ask.struck_by(_WRONG_PASSWORD, _INACTIVE)
            or self._rules.rules.inactive
            or self._store(ask) is None
        ):
            return Done(self._turned_away(ask))
        return self._handlers[ask.operation](ask)

    def _session(self, ask: Ask) -> Done:
        merchant = self._known(ask)
        try:
            wanted = asked(ask.given.fields, self._rules.rules)
            reused = self._rules.is_used(merchant, wanted.tran_id)
            session = self._rules.open_session(merchant, wanted)
        except Refusal as refusal:
            return Done(json_response(w.refused(str(refusal))))
        if reused:
            self.manners.miss("tran_id_reused", session.key)
        if ask.given.multipart:
            self.manners.once("multipart", session.key)
        for code, words in objections(ask.given.fields, wanted, self._panel_url()):
            self.manners.objected(code, session, words)
        return Done(json_response(w.opened(session, ask.base_url)), session.key)

    def _validate(self, ask: Ask) -> Done:
        found = self._rules.validated(self._known(ask), ask.of(m.VAL_ID))
        if found is None:
            nobody = {
                "status": m.Status.INVALID_TRANSACTION,
                "val_id": ask.of(m.VAL_ID)[:_TEXT_MAX],
                "APIConnect": m.ApiConnect.DONE,
                "validated_on": "",
                "gw_version": "",
            }
            return Done(self._answer(ask, nobody))
        session, attempt, status = found
        self.manners.looked_at(session)
        row = {**w.transaction(session, attempt), "status": status, "APIConnect": m.ApiConnect.DONE}
        return Done(self._answer(ask, row), session.key)

    def _query(self, ask: Ask) -> Done:
        merchant = self._known(ask)
        if ask.of(m.SESSION_KEY):
            return self._query_by_session(ask, merchant)
        tran_id = ask.of(m.TRAN_ID)
        if not tran_id:
            return Done(self._answer(ask, {"APIConnect": m.ApiConnect.INVALID_REQUEST}))
        sessions = self._rules.by_tran(merchant, tran_id)
        rows: list[dict[str, Any]] = []
        for session in sessions:
            rows += self._rows(session, stale=ask.struck_by("stale"))
        for session in sessions:
            if not ask.struck_by("stale"):
                self.manners.looked_at(session)
        count: Any = len(rows)
        unknown = [{"tran_id": tran_id[:_TEXT_MAX], "status": m.Status.INVALID}]
        element: Any = rows or unknown
        rules = self._rules.rules
        if ask.struck_by("other_types") or rules.count_as == "text":
            count = str(count)
        if len(element) == 1 and rows and (ask.struck_by("other_types") or rules.one_element == "object"):
            element = element[0]
        answer = {"APIConnect": m.ApiConnect.DONE, "no_of_trans_found": count, "element": element}
        return Done(self._answer(ask, answer), sessions[-1].key if sessions else None)

    def _query_by_session(self, ask: Ask, merchant: Merchant) -> Done:
        session = self._rules.by_key(merchant, ask.of(m.SESSION_KEY))
        if session is None:
            unknown = {"status": m.Status.INVALID, "sessionkey": ask.of(m.SESSION_KEY)[:_TEXT_MAX]}
            return Done(self._answer(ask, {**unknown, "APIConnect": m.ApiConnect.DONE}))
        stale = ask.struck_by("stale")
        best = None if stale else session.best
        if not stale:
            self.manners.looked_at(session)
        row = (
            w.unpaid(session, self._rules.rules.unpaid_status)
            if best is None
            else w.transaction(session, best)
        )
        answer = {**row, "sessionkey": session.key, "APIConnect": m.ApiConnect.DONE}
        return Done(self._answer(ask, answer), session.key)

    def _rows(self, session: Session, *, stale: bool) -> list[dict[str, Any]]:
        """The transactions of a session; one that nobody has tried to pay is one, too."""
        if stale or not session.attempts:
            return [w.unpaid(session, self._rules.rules.unpaid_status)]
        return [
            {**w.transaction(session, one), "bank_gw": one.channel}
            if one.status is not m.Status.PROCESSING
            else w.unpaid(session, self._rules.rules.unpaid_status)
            for one in session.attempts
        ]

    def _refund(self, ask: Ask) -> Done:
        bank_tran_id, trans_id = ask.of(m.BANK_TRAN_ID), ask.of(m.REFUND_TRANS_ID)
        found = self._rules.by_bank_tran(self._known(ask), bank_tran_id)
        reason = ""
        if self._rules.rules.refund_trans_id_needed and not trans_id:
            reason = "refund_trans_id is missing"
        elif len(trans_id) > m.REFUND_TRANS_ID_MAX:
            reason = f"refund_trans_id is longer than {m.REFUND_TRANS_ID_MAX} characters"
        elif found is None:
            reason = "Invalid Bank Transaction ID"
        if found is None or reason:
            return Done(self._answer(ask, w.refund_refused(bank_tran_id[:_TEXT_MAX], "", reason)))
        session, attempt = found
        if not trans_id:
            self.manners.miss("refund_unnamed", session.key)
        try:
            refund, status = self._refunds.begin(
                session,
                attempt,
                read_amount(ask.of(m.REFUND_AMOUNT)) or 0,
                trans_id=trans_id,
                remarks=ask.of(m.REFUND_REMARKS)[:_TEXT_MAX],
                fault=ask.fault,
            )
        except Refusal as refusal:
            refused = w.refund_refused(bank_tran_id, session.tran_id, str(refusal))
            return Done(self._answer(ask, refused), session.key)
        self.manners.owe("refund_unchecked", session.key)
        # The session of the refund that this name belongs to: another payment's, where a name is used twice.
        return Done(
            self._answer(ask, w.refund_answer(self._refunds.session_of(refund), refund, status)), session.key
        )

    def _refund_status(self, ask: Ask) -> Done:
        ref_id = ask.of(m.REFUND_REF_ID)
        refund = self._refunds.find(self._known(ask), ref_id)
        if refund is None:
            return Done(self._answer(ask, w.refund_unknown(ref_id[:_TEXT_MAX])))
        session = self._refunds.session_of(refund)
        self.manners.done("refund_unchecked", session.key)
        status = m.RefundStatus.PROCESSING if ask.struck_by("stale") else refund.status
        return Done(self._answer(ask, w.refund_status(session, refund, status)), session.key)

    # ------------------------------------------------------------------------------------------ invoices (§1.9)

    def _invoice(self, ask: Ask) -> Done:
        merchant = self._known(ask)
        try:
            wanted = asked(ask.given.fields, self._rules.rules)
            invoice = self._invoices.make(merchant, wanted, ask.of("refer")[:_TEXT_MAX])
        except Refusal as refusal:
            return Done(json_response(inv.refused(str(refusal))))
        return Done(json_response(inv.made(invoice, ask.base_url, ask.given.fields)), invoice.session)

    def _invoice_status(self, ask: Ask) -> Done:
        invoice = self._invoices.find(self._known(ask), ask.of("refer"), ask.of("invoice_id"))
        if invoice is None:
            return Done(self._answer(ask, self._no_invoice(ask, "Invalid invoice")))
        session = self._invoices.session_of(invoice)
        stale = ask.struck_by("stale")
        if not stale:
            self.manners.looked_at(session)
        return Done(self._answer(ask, inv.shown(invoice, session, stale=stale)), session.key)

    def _invoice_cancel(self, ask: Ask) -> Done:
        invoice = self._invoices.find(self._known(ask), ask.of("refer"), ask.of("invoice_id"))
        if invoice is None:
            return Done(self._answer(ask, self._no_invoice(ask, "Invalid invoice")))
        session = self._invoices.session_of(invoice)
        if not self._invoices.cancel(invoice):
            return Done(self._answer(ask, self._no_invoice(ask, "The invoice is paid or over")), session.key)
        return Done(self._answer(ask, inv.shown(invoice, session)), session.key)

    def _no_invoice(self, ask: Ask, reason: str) -> dict[str, Any]:
        return inv.not_done(ask.of("refer")[:_TEXT_MAX], ask.of("invoice_id")[:_TEXT_MAX], reason)

    # --------------------------------------------------------------------------------------------- the door

    def _store(self, ask: Ask) -> Merchant | None:
        """The store whose id and password were given."""
        merchant = self._merchants.get(ask.of(m.STORE_ID))
        given_password = ask.of(m.STORE_PASSWORD).encode("utf-8", "replace")
        if merchant is None or not hmac.compare_digest(given_password, merchant.password.encode("utf-8")):
            return None
        return merchant

    def _known(self, ask: Ask) -> Merchant:
        merchant = self._store(ask)
        if merchant is None:
            raise SandboxError("the store was known a moment ago", 500)
        return merchant

    def _turned_away(self, ask: Ask) -> Response:
        """The answer to wrong credentials, or of a de-activated store: nothing was done."""
        if ask.operation in ("session", "invoice"):
            return self._said_no(ask, m.CREDENTIAL_ERROR)
        inactive = ask.struck_by(_INACTIVE) or (self._rules.rules.inactive and self._store(ask) is not None)
        connect = m.ApiConnect.INACTIVE if inactive else self._rules.rules.wrong_password
        return self._answer(ask, {"APIConnect": connect, "status": m.Status.INVALID})

    def _said_no(self, ask: Ask, reason: str) -> Response:
        if ask.operation == "session":
            return json_response(w.refused(reason))
        if ask.operation == "invoice":
            return json_response(inv.refused(reason))
        return self._answer(ask, {"APIConnect": m.ApiConnect.INVALID_REQUEST, "status": m.Status.INVALID})

    def _answer(self, ask: Ask, content: Mapping[str, Any]) -> Response:
        shown = w.with_numbers(dict(content)) if ask.struck_by("other_types") else content
        return w.response(shown, ask.of(m.FORMAT) or m.FORMAT_JSON)

    # ------------------------------------------------------------------------------------------- what it is about

    def _named(self, ask: Ask) -> Session | None:
        """The session that a call is about, where it belongs to the store that calls."""
        merchant = self._store(ask)
        if merchant is None:
            return None
        for name in (m.SESSION_KEY, m.VAL_ID, m.BANK_TRAN_ID):
            found = self._rules.named(ask.of(name)) if ask.of(name) else None
            if found is not None and found.merchant == merchant:
                return found
        refund = self._refunds.find(merchant, ask.of(m.REFUND_REF_ID)) if ask.of(m.REFUND_REF_ID) else None
        if refund is not None:
            return self._refunds.session_of(refund)
        invoice = self._invoices.find(merchant, ask.of("refer"), ask.of("invoice_id"))
        if invoice is not None:
            return self._invoices.session_of(invoice)
        if ask.operation in ("session", "invoice"):
            return None
        sessions = self._rules.by_tran(merchant, ask.of(m.TRAN_ID))
        return sessions[-1] if sessions else None

    def _subject(self, ask: Ask, session: Session | None) -> Subject | None:
        """The payment whose amount, or whose payer's number, may bring a fault (``magic.py``)."""
        if not self._world.magic:
            return None
        if ask.operation in ("session", "invoice"):
            priced, currency = read_amount(ask.of("total_amount")), ask.of("currency").upper()
            rate = "1.0000" if currency == m.CURRENCY else self._rules.rules.rates.get(currency, "")
            return Subject("", in_taka(priced, rate)) if priced is not None and rate else None
        if session is None:
            return None
        last = session.attempts[-1] if session.attempts else None
        number = last.wallet.number if last is not None and last.wallet is not None else ""
        return Subject(session.key, session.amount_minor, number)

    def reset(self) -> None:
        """Forget the manners missed."""
        self.manners.clear()


def _operation(request: Request, given_: Given) -> str:
    path = "/" + request.url.path.strip("/")
    if path == m.PATH_SESSION:
        return "session"
    if path == m.PATH_VALIDATION:
        return "validate"
    if path == m.PATH_INVOICE:
        return "invoice"
    if path == m.PATH_INVOICE_ACTION.rstrip("/"):
        return "invoice_cancel" if given_.fields.get(m.ACTION) == m.ACTION_CANCEL else "invoice_status"
    if given_.fields.get(m.REFUND_AMOUNT):
        return "refund"
    return "refund_status" if given_.fields.get(m.REFUND_REF_ID) else "query"


async def _tls(request: Request) -> Response:
    return Response(m.TLS_ANSWER, media_type="text/plain")


async def _embed(request: Request) -> Response:
    return Response(EMBED, media_type="text/javascript", headers={"X-Content-Type-Options": "nosniff"})
