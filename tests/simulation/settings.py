"""Who is simulated in our own tests: one process and several, one gateway and several, one tenant and several."""

from tests.simulation.raw import page, raw
from vextrus_payments.testing.simulation import Setting
from vextrus_payments.testing.simulation.story import shop_story
from vextrus_payments_sandbox.simulated import bkash

SETTINGS = {
    "bkash": Setting(worlds=[bkash], story=shop_story),
    "two": Setting(worlds=[bkash, raw], story=shop_story, processes=2),
    "raw": Setting(worlds=[raw], story=shop_story),
    "tenants": Setting(worlds=[bkash, raw], story=shop_story, tenants=("acme", "zeta"), processes=2),
    "page": Setting(worlds=[page, bkash], story=shop_story),
}
