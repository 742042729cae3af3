"""The pages that show what happened: payments, one payment, the wire log, manners.

Each is made from what is true now; nothing is remembered between two requests.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox import magic
from vextrus_payments_sandbox.dashboard import reading
from vextrus_payments_sandbox.dashboard.frame import ROWS, Frame, asked_of, number_of, url_of
from vextrus_payments_sandbox.hosted import see_other
from vextrus_payments_sandbox.manners import UNSEEN
from vextrus_payments_sandbox.notation import to_text
from vextrus_payments_sandbox.record import Entry
from vextrus_payments_sandbox.world import CUSTOMER, BookRow

MOMENTS_MAX: Final = 100
"""How many entries of one payment's record its page shows: each may hold two bodies."""
_UNDER_WAY: Final = frozenset({"InProgress", "UnKnownFailed"})
"""States in which the payer is done and the gateway is not."""
_STATUSES: Final = (
    ("", "any"),
    ("2xx", "2xx"),
    ("4xx", "4xx"),
    ("5xx", "5xx"),
    ("none", "no answer"),
)
_WIRE_KINDS: Final = (
    ("call", "API calls"),
    ("webhook", "Webhooks"),
    ("page", "Steps of payers"),
    ("money", "Money"),
    ("admin", "The sandbox's own"),
    ("all", "Everything"),
)


class Views(Frame):
    """Renders what happened."""

    # ------------------------------------------------------------------------------------------- payments

    def payments(self, request: Request) -> Response:
        """The list, newest first."""
        asked = asked_of(request, "gateway", "state", "text")
        before = number_of(request, "before")
        page = self.world.payments(ROWS, **asked, before=before)
        now = self.world.now()
        return self.render(
            request,
            "dash_payments.html",
            "Payments",
            live=("", ""),
            asked=asked,
            filtered=any(asked.values()),
            total=page.total,
            gateways=self.gateway_choices(),
            states=[("", "any"), *((state, state) for state in reading.STATES)],
            summary=reading.totals(page.total, page.captured_minor, page.refunded_minor, asked["gateway"]),
            rows=[reading.payment_row(listed, now) for listed in page.rows],
            newest=reading.address("/", **asked) if before is not None else "",
            older=reading.address("/", **asked, before=page.before) if page.before is not None else "",
            kits=self.kits(request) if not page.total else [],
            url=url_of(request),
        )

    def payment(self, request: Request, *, wrong: str = "", status: int = 200) -> Response:
        """One payment: its state, its money, what happened to it, and what can be done."""
        name, reference = _subject(request)
        gateway = self.world.gateways.get(name)
        row = None if gateway is None else gateway.row(reference)
        moments = self.world.record.of(name, row.reference if row else reference)
        story = self._story(moments, row)
        if gateway is None or row is None:
            absent: dict[str, Any] = {"gateway": name, "reference": reference, **story}
            return self.render(request, "dash_absent.html", "No such payment", status=404, **absent)
        if reference != row.reference:  # it was named by its transaction id
            return see_other(reading.payment_path(name, row.reference))
        captured, refunded = self.world.books.money(name, reference)
        page_url = gateway.page_url(reference, url_of(request)) or ""
        waits = reading.tone_of_state(row.state) == "wait"
        return self.render(
            request,
            "dash_payment.html",
            row.invoice or row.reference,
            status=status,
            wrong=wrong,
            live=(name, row.reference),
            row={
                "path": reading.payment_path(name, row.reference),
                "state": row.state,
                "tone": reading.tone_of_state(row.state),
                "amount": reading.money(row.amount_minor),
            },
            facts=[
                *_payment_facts(row, captured, refunded, reading.ago(row.created_at, self.world.now())),
                *self._magic_facts(row),
            ],
            problems=_problems(row, captured, refunded),
            movements=[
                {
                    "kind": one.kind,
                    "source": one.source,
                    "target": one.target,
                    "amount": reading.money(one.amount_minor),
                }
                for one in self.world.books.of(name, row.reference)[-MOMENTS_MAX:]
            ],
            hands={
                "payer": bool(page_url) or row.state in _UNDER_WAY,
                "shop": waits and not page_url and row.state not in _UNDER_WAY,
                "held": row.state == "Authorized",
                "refundable": to_text(captured - refunded) if captured > refunded else "",
            },
            page_url=page_url,
            customer=CUSTOMER,
            **story,
        )

    def _magic_facts(self, row: BookRow) -> list[tuple[str, str]]:
        """What its amount brings about: a magic one looks like any other, and whoever met it by accident is lost."""
        brought = magic.announced(row.gateway, row.amount_minor) if self.world.magic else ""
        return [("magic amount", f"{brought} (see Faults)")] if brought else []

    def _story(self, entries: Sequence[Entry], row: BookRow | None) -> dict[str, Any]:
        shown = entries[-MOMENTS_MAX:]
        began = row.created_at if row is not None else None
        left_out = len(entries) - len(shown)
        whole = row is None or self.world.record.is_whole(row.created_at)
        cut = f"{left_out} earlier entries are left out here; the wire log has them." if left_out else ""
        if not whole and not cut:
            cut = "The beginning is forgotten: the record keeps the newest entries only."
        return {"moments": [reading.moment(entry, began) for entry in shown], "cut": cut, "whole": whole}

    # ------------------------------------------------------------------------------------------- the wire

    def wire(self, request: Request) -> Response:
        """What went over the wire, newest first."""
        asked = asked_of(request, "kind", "gateway", "operation", "status", "text")
        asked["kind"] = asked["kind"] or "call"
        before = number_of(request, "before")
        fitting = {**asked, "kind": "" if asked["kind"] == "all" else asked["kind"]}
        rows = self.world.record.newest(ROWS + 1, **fitting, before=before)
        operations = dict.fromkeys(name for one in self.world.gateways.values() for name in one.operations)
        return self.render(
            request,
            "dash_wire.html",
            "Wire log",
            live=("", ""),
            asked=asked,
            filtered=any(asked[name] for name in asked if name != "kind") or asked["kind"] != "call",
            kinds=_WIRE_KINDS,
            gateways=self.gateway_choices(),
            operations=[("", "any"), *((name, name) for name in operations)],
            statuses=_STATUSES,
            rows=[
                {**reading.moment(entry), "name": self._name(entry.gateway, entry.reference)}
                for entry in rows[:ROWS]
            ],
            newest=reading.address("/wire", **asked) if before is not None else "",
            older=reading.address("/wire", **asked, before=rows[ROWS - 1].seq) if len(rows) > ROWS else "",
            kits=self.kits(request) if not len(self.world.record) else [],
        )

    def entry(self, request: Request) -> Response:
        """One entry of the record, with all that was said."""
        seq = int(request.path_params["seq"])
        found = self.world.record.newest(1, before=seq + 1)
        if not found or found[0].seq != seq:
            text = "The record keeps the newest entries only, and a reset forgets all of them."
            return self.refused(request, "No such entry", text, 404, back="/wire", tab="/wire")
        moment = reading.moment(found[0])
        about = [
            ("at", moment["at"]),
            ("what", moment["label"]),
            ("gateway", moment["gateway"]),
            ("payment", moment["reference"]),
            ("took", moment["took"]),
        ]
        return self.render(
            request,
            "dash_entry.html",
            moment["title"],
            tab="/wire",
            live=(moment["gateway"], moment["reference"]),
            moment=moment,
            about=[(name, value) for name, value in about if value],
            payment=moment["payment"],
        )

    # ------------------------------------------------------------------------------- manners and webhooks

    def manners(self, request: Request) -> Response:
        """What an acceptance test would object to, and the tokens that were granted."""
        missed: list[dict[str, Any]] = []
        owed: list[dict[str, Any]] = []
        grants: list[dict[str, Any]] = []
        for name, gateway in self.world.gateways.items():
            notes = gateway.notes()
            missed += [{"gateway": name, **one} for one in notes.get("manners", [])[-ROWS:]]
            owed += notes.get("owed", [])[-ROWS:]
            grants += notes.get("grants", [])[-ROWS:]
        return self.render(
            request,
            "dash_manners.html",
            "Manners",
            live=("", ""),
            missed=[self._manner(one) for one in _newest(missed)],
            owed=[self._manner(one) for one in sorted(owed, key=lambda one: str(one["due_at"]))[:ROWS]],
            unseen=UNSEEN,
            grants=[{**one, "clock": _clock(one), **_verdict(one)} for one in _newest(grants)],
        )

    def _manner(self, one: Mapping[str, Any]) -> dict[str, Any]:
        """A missed manner, or one that is owed, as its row shows it."""
        moment = str(one["at"] if "at" in one else one["due_at"])
        return {
            **one,
            "at": moment,
            "clock": moment[11:19],
            "payment": reading.payment_path(one["gateway"], one["reference"]),
            "name": self._name(one["gateway"], one["reference"]),
        }

    def _name(self, gateway: str, reference: str) -> str:
        """What people call a payment: the merchant's own reference, where there is one."""
        known = self.world.gateways.get(gateway)
        row = known.row(reference) if known is not None and reference else None
        return row.invoice if row is not None and row.invoice else reference


def _subject(request: Request) -> tuple[str, str]:
    return request.path_params["gateway"], request.path_params["reference"]


def _payment_facts(row: BookRow, captured: int, refunded: int, ago: str) -> list[tuple[str, str]]:
    facts = [
        ("gateway", row.gateway),
        ("reference", row.reference),
        ("merchant reference", row.invoice),
        ("transaction id", row.transaction_id or ""),
        ("received", reading.money(captured)),
        ("given back", reading.money(refunded)),
        ("made", f"{row.created_at:%Y-%m-%d %H:%M:%S} UTC ({ago})"),
    ]
    return [(name, value) for name, value in facts if value]


def _problems(row: BookRow, captured: int, refunded: int) -> list[str]:
    """Where the books and the gateway's own beliefs about this payment part."""
    pairs = (
        ("received", captured, row.captured_minor),
        ("given back", refunded, row.refunded_minor),
    )
    return [
        f"{what} {to_text(booked)} by the books, {to_text(believed)} by the gateway"
        for what, booked, believed in pairs
        if booked != believed
    ]


def _newest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["at"]), reverse=True)[:ROWS]


def _clock(row: Mapping[str, Any]) -> str:
    return str(row["at"])[11:19]


def _verdict(grant: Mapping[str, Any]) -> dict[str, str]:
    if grant["refused"]:
        return {"verdict": "refused", "tone": "bad"}
    if grant["over_budget"]:
        return {"verdict": "over two an hour", "tone": "wait"}
    return {"verdict": "granted", "tone": "good"}
