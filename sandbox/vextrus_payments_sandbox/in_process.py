"""The sandbox inside a test's own process: no port, no socket, and a fault that takes no time.

``vextrus_payments_sandbox.pytest_plugin`` hands one to a test; any other test runner can make one itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.applications import Starlette

from vextrus_payments.errors import AnswerLostError
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse
from vextrus_payments_sandbox.app import create_app
from vextrus_payments_sandbox.environment import named
from vextrus_payments_sandbox.gateways import DEFAULT
from vextrus_payments_sandbox.notation import to_paisa, to_text
from vextrus_payments_sandbox.seeding import checked, play, read_json, read_yaml
from vextrus_payments_sandbox.strikes import ConnectionDroppedError
from vextrus_payments_sandbox.wallets import CUSTOMER, Wallet
from vextrus_payments_sandbox.world import SandboxClock, SandboxError, World

URL: Final = "http://127.0.0.1:28600"
"""What the sandbox calls itself; nothing listens there."""


class NoWaiting:
    """Waits not at all, so that a time-out of 40 seconds costs a test nothing; `waits` says what it would have been."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Note it."""
        self.waits.append(seconds)


class InProcessTransport:
    """The SDK's transport into the application: what a fault drops is an :class:`AnswerLostError`, as on a line."""

    def __init__(self, app: Starlette) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL)

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """As :class:`vextrus_payments.transport.Transport`."""
        answer: httpx.Response | None = None
        try:
            answer = await self._client.request(
                request.method, request.url, headers=list(request.headers), content=request.body
            )
        except ConnectionDroppedError:
            pass
        if answer is None:
            raise AnswerLostError("The connection broke after the request had been sent.")
        return WireResponse(answer.status_code, dict(answer.headers), answer.content)

    async def aclose(self) -> None:
        """There is nothing to close."""


class PaymentSandbox:
    """The gateways of one test, and the hands of its payers.

    Args:
        keys: the folder of the keys that gateways make for themselves (Nagad), at their first need.
        more: as ``create_app``: ``seed``, ``clock``, ``merchants``, ``state`` ...
    """

    def __init__(self, *, keys: Path | None = None, **more: Any) -> None:
        self.sleeper = NoWaiting()
        self.app = create_app(**{"sleeper": self.sleeper, "keys": keys, **more})
        self.url = URL

    @property
    def world(self) -> World:
        """What is true in there."""
        world: World = self.app.state.world
        return world

    @property
    def clock(self) -> SandboxClock:
        """Its time: ``clock.now()``, ``clock.advance(3600)``."""
        return self.world.clock

    @property
    def wallets(self) -> Mapping[str, Wallet]:
        """The wallets by number."""
        return self.world.wallets

    def client(self) -> httpx.AsyncClient:
        """A client of its API, its pages and its ``/_sandbox`` routes."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url=URL)

    def transport(self) -> InProcessTransport:
        """What the SDK's gateways and ``Payments`` take as `transport`."""
        return InProcessTransport(self.app)

    def environment(self, merchant: str = "") -> dict[str, str]:
        """The ``BKASH_*``, ``NAGAD_*`` ... variables of a merchant; the first one's unless told."""
        found: dict[str, str] = {}
        for name, gateway in self.world.gateways.items():
            known = gateway.merchants_at(URL)
            facts = next((one.facts for one in known if one.name == (merchant or known[0].name)), None)
            if facts is None:
                raise SandboxError(f"{name} has no merchant of the name {merchant}", 404)
            found |= named(name, facts)
        return found

    def approve(
        self, reference: str, *, gateway: str = DEFAULT, outcome: str = "success", wallet: str | None = None
    ) -> str | None:
        """Do what a payer would do (`outcome`: success, cancel, failure); returns where he is sent back to.

        Raises :class:`SandboxError` where there is no such payment or wallet.
        """
        done = self.world.gateways[gateway].approve(reference, outcome, wallet)
        self.world.keep()
        redirect = done.get("redirect")
        return None if redirect is None else str(redirect)

    def balance(self, wallet: str = CUSTOMER["wallet"]) -> str:
        """What a wallet holds, in taka."""
        return to_text(self.world.books.balance(self.world.wallets[wallet].account))

    def set_balance(self, amount: str, wallet: str = CUSTOMER["wallet"]) -> None:
        """Let a wallet hold that much, in taka. Raises :class:`SandboxError`."""
        amount_minor = to_paisa(amount)
        if amount_minor is None:
            raise SandboxError('an amount is taka as a text, such as "100.50"')
        self.world.set_balance(wallet, amount_minor)

    def books(self) -> dict[str, Any]:
        """Payments with their money, and the wallets, as ``GET /_sandbox/books``."""
        return self.world.as_books()

    def payment(self, reference: str) -> dict[str, Any]:
        """One payment of the books. Raises KeyError."""
        found: dict[str, Any] | None = next(
            (row for row in self.books()["payments"] if row["reference"] == reference), None
        )
        if found is None:
            raise KeyError(reference)
        return found

    def order_fault(self, operation: str, fault: str, *, gateway: str = DEFAULT, **more: Any) -> None:
        """Let a fault strike calls to come; `more`: ``times``, ``chance``, ``seed``. Raises :class:`SandboxError`."""
        operations = {name: one.operations for name, one in self.world.gateways.items()}
        wish = {"gateway": gateway, "operation": operation, "fault": fault, **more}
        self.app.state.faults.order(wish, operations)

    async def seed(self, scenario: str | Mapping[str, Any]) -> list[dict[str, Any]]:
        """Play a scenario, YAML text or its parts; returns what became of its payments.

        Raises :class:`vextrus_payments_sandbox.seeding.ScenarioError`.
        """
        if isinstance(scenario, Mapping):
            tree = read_json(scenario)
        else:
            tree = read_yaml(scenario)
        return (await play(self.app.state.stage, checked(tree), URL)).payments

    def close(self) -> None:
        """Let its state file go, where it has one."""
        if self.app.state.keeper is not None:
            self.app.state.keeper.close()
