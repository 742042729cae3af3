"""SSLCommerz, put into a sandbox."""

from functools import partial

from vextrus_payments_sandbox.building import Built, Setting
from vextrus_payments_sandbox.sslcommerz.gateway import SslcommerzSandbox
from vextrus_payments_sandbox.sslcommerz.lasting import SslcommerzLasting
from vextrus_payments_sandbox.sslcommerz.records import Rules
from vextrus_payments_sandbox.sslcommerz.scripted import SslcommerzScript
from vextrus_payments_sandbox.sslcommerz.wallets import WALLETS

__all__ = ["WALLETS", "build"]


def build(setting: Setting) -> Built:
    """The gateway of one sandbox."""
    gateway = SslcommerzSandbox(setting.world, setting.exchange, setting.rules or Rules(), setting.courier)
    return Built(
        gateway=gateway, lasting=partial(SslcommerzLasting, gateway), script=SslcommerzScript(gateway)
    )
