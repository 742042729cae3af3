"""The pages with levers: wallets, the fault dial, webhooks, and the start."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.dashboard import dial, reading, snippets
from vextrus_payments_sandbox.dashboard.frame import ROWS, Frame, number_of, url_of
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.notation import iso
from vextrus_payments_sandbox.world import CUSTOMER, MerchantFacts, SandboxError, World

_TIME_STEPS: Final = (
    (300, "5 minutes"),
    (3_600, "1 hour"),
    (86_400, "1 day"),
    (30 * 86_400, "30 days"),
)


class Controls(Frame):
    """Renders what can be set. `typed` is what somebody entered that was refused."""

    def __init__(self, world: World, version: str, plans: FaultPlans, courier: Courier) -> None:
        super().__init__(world, version)
        self._plans = plans
        self._courier = courier

    def wallets(
        self, request: Request, *, wrong: str = "", status: int = 200, typed_for: str = "", typed: str = ""
    ) -> Response:
        """The test wallets and what lies in them."""
        wallets = [
            {
                "number": wallet.number,
                "note": wallet.note,
                "balance": reading.money(self.world.books.balance(wallet.account)),
            }
            for wallet in self.world.wallets.values()
        ]
        return self.render(
            request,
            "dash_wallets.html",
            "Wallets",
            status=status,
            wrong=wrong,
            live=("", ""),
            wallets=wallets,
            tills=self._tills(request),
            customer=CUSTOMER,
            typed_for=typed_for,
            typed=typed,
        )

    def _tills(self, request: Request) -> list[dict[str, str]]:
        """The merchants' accounts; those of a gateway that cannot be used have nothing in them."""
        tills: list[dict[str, str]] = []
        for gateway, merchants in self._merchants(request):
            for one in merchants:
                for called, account in {"": one.account, **one.more}.items():
                    words = [one.name, called] if called else [one.name]
                    tills.append(
                        {
                            # by name, for an account may come in between while the page is open
                            "id": "-".join(("m", gateway, *words)),
                            "gateway": gateway,
                            "name": ", ".join(words),
                            "balance": reading.money(self.world.books.balance(account)),
                        }
                    )
        return tills

    def _merchants(self, request: Request) -> Iterator[tuple[str, Sequence[MerchantFacts]]]:
        for name, gateway in self.world.gateways.items():
            try:
                yield name, gateway.merchants_at(url_of(request))
            except SandboxError:  # its keys cannot be kept: `/start` says so
                continue

    def faults(
        self, request: Request, *, wrong: str = "", status: int = 200, typed: Mapping[str, str] | None = None
    ) -> Response:
        """The fault dial: order, list, clear."""
        return self.render(
            request,
            "dash_faults.html",
            "Faults",
            status=status,
            wrong=wrong,
            live=("", ""),
            typed={**dial.UNTOUCHED, **(typed or {})},
            calls=[(name, dial.calls(gateway)) for name, gateway in self.world.gateways.items()],
            phases=dial.phases(),
            plans=[{**plan, "strikes": dial.strikes(plan)} for plan in self._plans.as_json()],
            by_api=snippets.fault_snippet(url_of(request)),
            magic=dial.magic_table() if self.world.magic else [],
        )

    def webhooks(
        self,
        request: Request,
        *,
        wrong: str = "",
        status: int = 200,
        typed_for: str = "",
        walked_for: str = "",
        typed: str = "",
    ) -> Response:
        """Who is told of payments, and every try to tell."""
        before = number_of(request, "before")
        tries = self.world.record.newest(ROWS + 1, kind="webhook", before=before)
        senders = []
        for name in self._courier.gateways:
            known = self._courier.subscription(name)
            senders.append(
                {
                    **known,
                    "facts": _subscribed(known),
                    "by_api": snippets.webhook_snippet(url_of(request), name),
                }
            )
        older = reading.address("/webhooks", before=tries[ROWS - 1].seq) if len(tries) > ROWS else ""
        return self.render(
            request,
            "dash_webhooks.html",
            "Webhooks",
            status=status,
            wrong=wrong,
            live=("", ""),
            senders=senders,
            silent=[name for name in self.world.gateways if name not in self._courier.gateways],
            tries=[reading.moment(entry) for entry in tries[:ROWS]],
            newest="/webhooks" if before is not None else "",
            older=older,
            walked_for=walked_for,
            typed_for=typed_for,
            typed=typed,
        )

    def start(self, request: Request, *, wrong: str = "", status: int = 200) -> Response:
        """How a client reaches this sandbox, and the sandbox's own levers."""
        ahead_s = self.world.clock.offset_s
        return self.render(
            request,
            "dash_start.html",
            "Start here",
            status=status,
            wrong=wrong,
            version=self.version,
            url=url_of(request),
            customer=CUSTOMER,
            kits=self.kits(request),
            variables=snippets.variables_snippet(url_of(request)),
            now=iso(self.world.now()),
            ahead=reading.span(ahead_s) if ahead_s else "",
            steps=_TIME_STEPS,
        )


def _subscribed(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    named = (
        ("topic", "topic_arn"),
        ("signature", "signature_version"),
        ("certificate", "cert_url"),
        ("held back until the next", "held"),
    )
    versions = {"1": "version 1 (SHA-1)", "2": "version 2 (SHA-256)"}
    told = {**known, "signature_version": versions.get(str(known["signature_version"]))}
    return [(text, str(told[key])) for text, key in named if told[key]]
