"""What every page of the dashboard shares: its frame, its tabs, and what an address may ask of it."""

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.admin import ADMIN_PREFIX
from vextrus_payments_sandbox.dashboard import snippets
from vextrus_payments_sandbox.rendering import live_html
from vextrus_payments_sandbox.world import SandboxError, World

ROWS: Final = 50
"""How many rows a list shows at most, so that a page costs the same with a hundred thousand payments as with ten."""
TEXT_MAX: Final = 100
EVENTS_PATH: Final = f"{ADMIN_PREFIX}/events"
TABS: Final = (
    ("/", "Payments"),
    ("/wallets", "Wallets"),
    ("/wire", "Wire log"),
    ("/faults", "Faults"),
    ("/manners", "Manners"),
    ("/webhooks", "Webhooks"),
    ("/start", "Start here"),
)
TOLD: Final[Mapping[str, str]] = {
    "success": "The payer has confirmed. Now your shop executes the payment, or asks how it ended.",
    "cancel": "The payer has left.",
    "failure": "The payer has failed.",
    "refund": "Refunded in the portal.",
    "capture": "Captured in the portal.",
    "void": "Voided in the portal.",
    "balance": "The balance is set.",
    "ordered": "The fault waits for its call.",
    "withdrawn": "The fault is withdrawn.",
    "cleared": "No fault waits any more.",
    "asked": "The endpoint was asked whether it wants to be told.",
    "stopped": "Nobody is told any more.",
    "walk_in": "A payer has paid by QR code. Only the webhook tells of it.",
    "time": "Time has moved.",
    "reset": "The sandbox has started over.",
}
"""What a page says after a form, by the word in its address: no other text can be put there."""
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)


class Frame:
    """Renders pages. `wrong` is what a form was refused for; the page then stands under that status."""

    def __init__(self, world: World, version: str) -> None:
        self.world = world
        self.version = version

    def refused(
        self, request: Request, heading: str, text: str, status: int, *, back: str = "/", tab: str = ""
    ) -> Response:
        """A page that says why something was not done."""
        return self.render(
            request, "dash_refused.html", heading, tab=tab, status=status, text=text, back=back
        )

    def kits(self, request: Request) -> list[dict[str, Any]]:
        """For each gateway its facts and examples, or why it cannot be used."""
        kits: list[dict[str, Any]] = []
        for name, gateway in self.world.gateways.items():
            kit: dict[str, Any] = {"gateway": name, "problem": "", "facts": [], "snippets": [], "others": []}
            try:
                kit["facts"] = list(gateway.describe(url_of(request)).items())
                kit["snippets"] = snippets.snippets(gateway, url_of(request))
                others = gateway.merchants_at(url_of(request))[1:]
                kit["others"] = [(one.name, list(one.facts.items())) for one in others]
            except SandboxError as broken:
                kit["problem"] = f"{str(broken)[:1].upper()}{str(broken)[1:]}."
            kits.append({**kit, "first": not kits})
        return kits

    def gateway_choices(self) -> list[tuple[str, str]]:
        return [("", "any"), *((name, name) for name in self.world.gateways)]

    def render(
        self,
        request: Request,
        template: str,
        heading: str,
        *,
        tab: str | None = None,
        status: int = 200,
        wrong: str = "",
        live: tuple[str, str] | None = None,
        **context: Any,
    ) -> Response:
        """`live`: the page keeps itself current, by news of this payment only where one is named."""
        here = request.url.path
        listening = {} if live is None else {"live": {"gateway": live[0], "reference": live[1]}}
        return live_html(
            template,
            status,
            heading=heading,
            tabs=TABS,
            here=here,
            tab=("/" if here.startswith("/payments/") else here) if tab is None else tab,
            told=TOLD.get(request.query_params.get("told", ""), ""),
            wrong=wrong,
            events=EVENTS_PATH,
            **listening,
            **context,
        )


def url_of(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def asked_of(request: Request, *names: str) -> dict[str, str]:
    return {name: request.query_params.get(name, "").strip()[:TEXT_MAX] for name in names}


def number_of(request: Request, name: str) -> int | None:
    given = request.query_params.get(name, "")
    return int(given) if _NUMBER.fullmatch(given) else None
