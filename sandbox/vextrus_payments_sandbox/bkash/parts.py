"""bKash, put into a sandbox."""

from collections.abc import Awaitable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.bkash.api import unknown_route
from vextrus_payments_sandbox.bkash.gateway import BkashSandbox
from vextrus_payments_sandbox.bkash.lasting import BkashLasting
from vextrus_payments_sandbox.bkash.pages import payment_id_of
from vextrus_payments_sandbox.bkash.records import Rules
from vextrus_payments_sandbox.bkash.scripted import BkashScript
from vextrus_payments_sandbox.building import Built, Setting


def build(setting: Setting) -> Built:
    """The gateway of one sandbox."""
    gateway = BkashSandbox(
        setting.world,
        setting.exchange,
        setting.rules or Rules(unique_invoices=setting.strict_manners),
        strict_manners=setting.strict_manners,
        announce=setting.courier.announce,
    )

    def at_root(request: Request) -> Awaitable[Response] | None:
        if not payment_id_of(request):
            return None
        return gateway.pages.act(request) if request.method == "POST" else gateway.pages.show(request)

    return Built(
        gateway=gateway,
        lasting=partial(BkashLasting, gateway),
        script=BkashScript(gateway),
        at_root=at_root,
        lost=unknown_route,
    )
