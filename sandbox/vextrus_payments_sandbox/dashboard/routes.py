"""The addresses of the dashboard.

Whoever opens a page may come from anywhere: it shows, and changes nothing. A form changes something, so it is taken
only from the sandbox's own pages, as the admin routes are.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments_sandbox.admin import is_foreign
from vextrus_payments_sandbox.dashboard.actions import Actions
from vextrus_payments_sandbox.dashboard.controls import Controls
from vextrus_payments_sandbox.dashboard.views import Views
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.hosted import see_other
from vextrus_payments_sandbox.rendering import SCRIPT_PATH, script
from vextrus_payments_sandbox.world import World

_Show = Callable[[Request], Response]
_Act = Callable[[Request], Awaitable[Response]]
PAYMENT_PATH: Final = "/payments/{gateway}/{reference:path}"


class Dashboard:
    """The dashboard of one sandbox."""

    def __init__(self, world: World, faults: FaultPlans, courier: Courier, version: str) -> None:
        self._views = Views(world, version)
        self._controls = Controls(world, version, faults, courier)
        self._actions = Actions(world, faults, courier, self._views, self._controls)

    def home(self, request: Request) -> Response:
        """`GET /`: the list of payments."""
        return self._views.payments(request)

    def routes(self) -> list[Route]:
        """Every page but ``/``, which the application shares out, and every form."""
        pages: tuple[tuple[str, _Show], ...] = (
            (PAYMENT_PATH, self._views.payment),
            ("/wallets", self._controls.wallets),
            ("/wire", self._views.wire),
            ("/wire/{seq:int}", self._views.entry),
            ("/faults", self._controls.faults),
            ("/manners", self._views.manners),
            ("/webhooks", self._controls.webhooks),
            ("/start", self._controls.start),
        )
        forms: tuple[tuple[str, _Act], ...] = (
            (PAYMENT_PATH, self._actions.payment),
            ("/wallets/{number}", self._actions.wallet),
            ("/faults", self._actions.faults),
            ("/webhooks/{gateway}", self._actions.webhooks),
            ("/walk-in/{gateway}", self._actions.walk_in),
            ("/time", self._actions.time),
            ("/reset", self._actions.reset),
        )
        return [
            Route(SCRIPT_PATH, script, methods=["GET"]),
            *(Route(path, _shown(show), methods=["GET"]) for path, show in pages),
            # A form that was refused shows its page under the form's own address, which is then loaded again.
            Route("/wallets/{number}", _leads_to("/wallets"), methods=["GET"]),
            Route("/webhooks/{gateway}", _leads_to("/webhooks"), methods=["GET"]),
            Route("/walk-in/{gateway}", _leads_to("/webhooks"), methods=["GET"]),
            Route("/time", _leads_to("/start"), methods=["GET"]),
            Route("/reset", _leads_to("/start"), methods=["GET"]),
            *(Route(path, self._guarded(act), methods=["POST"]) for path, act in forms),
        ]

    def _guarded(self, act: _Act) -> _Act:
        """Take the form from the sandbox's own pages only."""

        async def guard(request: Request) -> Response:
            if is_foreign(request):
                text = "This form was sent by a page that is not the sandbox's own. Nothing was done."
                return self._views.refused(request, "Not from here", text, 403)
            return await act(request)

        return guard


def _shown(show: _Show) -> _Act:
    async def page(request: Request) -> Response:
        return show(request)

    return page


def _leads_to(path: str) -> _Act:
    async def elsewhere(request: Request) -> Response:
        return see_other(path)

    return elsewhere
