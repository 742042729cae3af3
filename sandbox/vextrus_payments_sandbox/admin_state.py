"""``/_sandbox/seed`` and ``/_sandbox/merchants``: what a sandbox begins with, and who its merchants are."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments_sandbox.admin import ADMIN_PREFIX, guarded, wish
from vextrus_payments_sandbox.exchange import json_response
from vextrus_payments_sandbox.seeding import Mistake, ScenarioError, Stage, checked, play, read_json
from vextrus_payments_sandbox.seeding.reading import SIZE_MAX, UnreadableError
from vextrus_payments_sandbox.world import CURRENCY, to_text


class StateAdmin:
    """Scenarios and merchants."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def routes(self) -> list[Route]:
        """Below ``/_sandbox``."""
        return [
            Route(f"{ADMIN_PREFIX}/seed", guarded(self.seed, body_max=SIZE_MAX), methods=["POST"]),
            Route(f"{ADMIN_PREFIX}/merchants", guarded(self.merchants), methods=["GET"]),
        ]

    async def seed(self, request: Request) -> Response:
        """Play a scenario: merchants, wallets, payments and faults."""
        asked = await wish(request, body_max=SIZE_MAX)
        problem, scenario = "", None
        try:
            scenario = checked(read_json(asked))
        except UnreadableError as error:
            problem = str(error)
        if scenario is None:
            raise ScenarioError([Mistake("", problem)])
        url = str(request.base_url).rstrip("/")
        return json_response((await play(self._stage, scenario, url)).as_json())

    async def merchants(self, request: Request) -> Response:
        """Every merchant of every gateway, its balance, and what a client of its needs."""
        url, books = str(request.base_url).rstrip("/"), self._stage.world.books
        return json_response(
            {
                "merchants": [
                    {
                        "gateway": name,
                        "name": one.name,
                        "account": one.account,
                        "balance": to_text(books.balance(one.account)),
                        "more": {
                            named: to_text(books.balance(account)) for named, account in one.more.items()
                        },
                        "currency": CURRENCY,
                        "client": dict(one.facts),
                    }
                    for name, gateway in self._stage.world.gateways.items()
                    for one in gateway.merchants_at(url)
                ]
            }
        )
