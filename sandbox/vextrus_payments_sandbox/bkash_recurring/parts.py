"""bKash's recurring platform, put into a sandbox."""

from functools import partial

from vextrus_payments_sandbox.bkash_recurring.gateway import BkashRecurringSandbox
from vextrus_payments_sandbox.bkash_recurring.lasting import RecurringLasting
from vextrus_payments_sandbox.bkash_recurring.records import Rules
from vextrus_payments_sandbox.bkash_recurring.scripted import RecurringScript
from vextrus_payments_sandbox.building import Built, Setting


def build(setting: Setting) -> Built:
    """The gateway of one sandbox."""
    gateway = BkashRecurringSandbox(
        setting.world, setting.exchange, setting.rules or Rules(), setting.courier
    )
    return Built(gateway=gateway, lasting=partial(RecurringLasting, gateway), script=RecurringScript(gateway))
