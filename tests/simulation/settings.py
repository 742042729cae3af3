"""Who is simulated in our own tests: one process and several, one gateway and several, one tenant and several."""

from dataclasses import replace

from tests.simulation.raw import page, raw
from vextrus_payments import AccountMap
from vextrus_payments.app import Payments
from vextrus_payments.testing.simulation import ServicePorts, Setting, Weather, WireFault
from vextrus_payments.testing.simulation.story import hard_story, shop_story
from vextrus_payments.testing.simulation.story_consent import consent_story
from vextrus_payments.testing.simulation.story_payouts import payout_story
from vextrus_payments.testing.simulation.story_payouts_restored import payout_restore_story
from vextrus_payments.testing.simulation.story_people import people_story
from vextrus_payments.testing.simulation.story_restore import restore_story
from vextrus_payments.testing.simulation.story_subscriptions import subscription_story
from vextrus_payments.webhooks.limits import DoorLimits, Rate
from vextrus_payments_sandbox.bkash_recurring.simulated import bkash_recurring
from vextrus_payments_sandbox.nagad.simulated import nagad
from vextrus_payments_sandbox.simulated import bkash
from vextrus_payments_sandbox.sslcommerz.simulated import sslcommerz

#: Merchants of bKash on Tokenized Checkout v2, and one on each version.
V2 = {"api_version": "v2"}
BOTH = {"api_version": {"acme": "v1", "zeta": "v2"}}

SETTINGS = {
    "bkash": Setting(worlds=[bkash], story=shop_story),
    "bkash-v2": Setting(worlds=[bkash], story=shop_story, world_options=V2),
    "bkash-both": Setting(
        worlds=[bkash], story=shop_story, tenants=("acme", "zeta"), processes=2, world_options=BOTH
    ),
    "two": Setting(worlds=[bkash, raw], story=shop_story, processes=2),
    "raw": Setting(worlds=[raw], story=shop_story),
    "tenants": Setting(worlds=[bkash, raw], story=shop_story, tenants=("acme", "zeta"), processes=2),
    "page": Setting(worlds=[page, bkash], story=shop_story),
    "nagad": Setting(worlds=[nagad], story=shop_story),
    "nagad-two": Setting(worlds=[nagad, bkash], story=shop_story, processes=2),
    "nagad-tenants": Setting(worlds=[nagad], story=shop_story, tenants=("acme", "zeta"), processes=2),
    "sslcommerz": Setting(worlds=[sslcommerz], story=shop_story),
    "sslcommerz-two": Setting(worlds=[sslcommerz, bkash], story=shop_story, processes=2),
    "sslcommerz-tenants": Setting(
        worlds=[sslcommerz], story=shop_story, tenants=("acme", "zeta"), processes=2
    ),
}


def marked(ports: ServicePorts) -> Payments:
    """The mark outside is renewed before every call that moves money: then no backup can be too old to be noticed."""
    return ports.payments(epoch_interval_s=0.001)


def parted(ports: ServicePorts) -> Payments:
    """The books tell apart what payments come into and what payouts are made from."""
    return ports.payments(accounts=AccountMap(disbursement="gateway_disbursement:{gateway}:{mode}"))


def marked_and_parted(ports: ServicePorts) -> Payments:
    """Both."""
    accounts = AccountMap(disbursement="gateway_disbursement:{gateway}:{mode}")
    return ports.payments(accounts=accounts, epoch_interval_s=0.001)


#: Their own stories, in every weather but the hard ones.
PEOPLE = {
    "people": Setting(worlds=[bkash, raw], story=people_story, processes=2),
    "people-bkash": Setting(worlds=[bkash], story=people_story),
    "people-nagad": Setting(worlds=[nagad], story=people_story, processes=2),
    "people-sslcommerz": Setting(worlds=[sslcommerz], story=people_story, processes=2),
    "consent": Setting(worlds=[bkash], story=consent_story, processes=2),
    "consent-tenants": Setting(worlds=[bkash], story=consent_story, tenants=("acme", "zeta")),
    "consent-both": Setting(
        worlds=[bkash], story=consent_story, tenants=("acme", "zeta"), processes=2, world_options=BOTH
    ),
    "restored": Setting(worlds=[bkash, raw], story=restore_story, service=marked, processes=2, epoch=True),
}


def limited(ports: ServicePorts) -> Payments:
    """Sources are counted, and one that sends wrong signatures is blocked: it must not be in a real sender's way."""
    strict = DoorLimits(per_source=Rate(20, per_s=60), block_after=3, block_s=300, headers_max=20)
    return ports.payments(door_limits=strict)


#: Money leaves, at most once for each operation id.
PAYING = {
    "paying": Setting(worlds=[bkash], story=payout_story, processes=2, world_options={"payouts": "checkout"}),
    "paying-by-id": Setting(
        worlds=[bkash],
        story=payout_story,
        tenants=("acme", "zeta"),
        processes=2,
        world_options={"payouts": "tokenized"},
    ),
    "paying-parted": Setting(
        worlds=[bkash],
        story=payout_story,
        service=parted,
        world_options={"payouts": "checkout", "payout_fee_minor": 500},
    ),
    "paying-restored": Setting(
        worlds=[bkash],
        story=payout_restore_story,
        service=marked,
        processes=2,
        epoch=True,
        world_options={"payouts": "checkout", "payout_fee_minor": 500},
    ),
    "paying-by-id-restored": Setting(
        worlds=[bkash],
        story=payout_restore_story,
        service=marked_and_parted,
        tenants=("acme", "zeta"),
        processes=2,
        epoch=True,
        world_options={"payouts": "tokenized"},
    ),
}

#: What is collected under a subscription is told by webhook, or seen by a look.
CLUBS = {
    "club": Setting(worlds=[bkash_recurring], story=subscription_story, processes=2, doors=True),
    "club-unheard": Setting(worlds=[bkash_recurring], story=subscription_story),
    "club-tenants": Setting(
        worlds=[bkash_recurring, bkash],
        story=subscription_story,
        tenants=("acme", "zeta"),
        doors=True,
        world_options={"either_door": True},
    ),
}

#: Gateways send webhooks, strangers forge them, browsers come back through the doors.
DOORS = {
    "doors": Setting(worlds=[bkash, raw], story=shop_story, processes=2, doors=True),
    "doors-bkash": Setting(worlds=[bkash], story=shop_story, doors=True),
    "doors-both": Setting(
        worlds=[bkash],
        story=shop_story,
        tenants=("acme", "zeta"),
        processes=2,
        doors=True,
        world_options=BOTH,
    ),
    "doors-nagad": Setting(worlds=[nagad], story=shop_story, doors=True),
    "doors-sslcommerz": Setting(worlds=[sslcommerz], story=shop_story, doors=True),
    "doors-sslcommerz-tenants": Setting(
        worlds=[sslcommerz, bkash], story=shop_story, tenants=("acme", "zeta"), processes=2, doors=True
    ),
    "doors-limited": Setting(worlds=[bkash, raw], story=hard_story, service=limited, processes=2, doors=True),
    "doors-page": Setting(worlds=[page, raw], story=shop_story, doors=True),
    "doors-tenants": Setting(
        worlds=[bkash, raw], story=shop_story, tenants=("acme", "zeta"), processes=2, doors=True
    ),
}

#: Nearly everything fails now and then: what has to be found is found sooner.
FOUL = Weather(wire=0.35, connect=0.05, disk=0.01, ledger=0.6)

_LOST = (
    WireFault.ZOMBIE,
    WireFault.SILENT_AFTER,
    WireFault.RESET_AFTER,
    WireFault.ERROR_AFTER,
    WireFault.DRIP,
    WireFault.LOST,
)
#: Answers get lost, most of them after the gateway did what was asked.
LOSSY = Weather(wire=0.3, ledger=0.5, outages=2, only=_LOST)

#: Gateways do late what callers have long given up.
LATE = Weather(wire=0.3, ledger=0.2, latency_s=1.0, only=(WireFault.ZOMBIE,))

#: The finance system is down most of the time, and the disk fails now and then.
BOOKS = Weather(disk=0.02, ledger=0.9, latency_s=0.05)

#: The disk is full or locked much of the time.
FULL = Weather(disk=0.15)

#: Wall clocks are set all the time, and answers take their time.
STEPPED = Weather(
    wire=0.3, clock=0.5, latency_s=2.0, only=(WireFault.SILENT_AFTER, WireFault.ZOMBIE, WireFault.DRIP)
)

#: Connections are hard to get, so that much has not left when somebody gives up; the finance system is mostly down.
UNREACHED = Weather(connect=0.2, ledger=0.8, outages=1)

#: What can be played again by name: a setting, and a weather (None: drawn from the seed).
CASES: dict[str, tuple[Setting, Weather | None]] = {
    **{name: (setting, None) for name, setting in SETTINGS.items()},
    **{f"{name}-foul": (setting, FOUL) for name, setting in SETTINGS.items()},
    **{name: (setting, None) for name, setting in (PEOPLE | PAYING | CLUBS | DOORS).items()},
    **{f"{name}-lossy": (setting, LOSSY) for name, setting in (PEOPLE | PAYING | CLUBS | DOORS).items()},
    "paying-by-id-late": (PAYING["paying-by-id"], LATE),
    "paying-stepped": (PAYING["paying"], STEPPED),
    "paying-restored-books": (PAYING["paying-restored"], BOOKS),
    "paying-restored-unreached": (PAYING["paying-restored"], UNREACHED),
    "restored-late": (PEOPLE["restored"], LATE),
    "doors-disk": (DOORS["doors"], FULL),
    **{f"{name}-lossy": (replace(setting, story=hard_story), LOSSY) for name, setting in SETTINGS.items()},
    **{f"{name}-late": (replace(setting, story=hard_story), LATE) for name, setting in SETTINGS.items()},
    **{f"{name}-books": (replace(setting, story=hard_story), BOOKS) for name, setting in SETTINGS.items()},
}

#: planted bug -> in which case it is hunted, and within how many seeds, counted from 0, it has to be found.
HUNTS = {
    "timeout_not_sent": ("raw-lossy", 40),
    "early_look_up_trusted": ("two-late", 80),
    "executed_after_cancel": ("bkash-lossy", 30),
    "late_answer_dropped": ("raw-lossy", 120),
    "freed_on_unknown": ("raw-lossy", 200),
    "adopted_twice": ("bkash-lossy", 120),
    "expiry_is_decline": ("raw-lossy", 60),
    "second_entry_first": ("bkash-books", 60),
    "amount_unchecked": ("raw-lossy", 60),
    "tenant_missing": ("tenants-lossy", 60),
    "slot_unreserved": ("two-lossy", 100),
    "dedupe_at_seen": ("doors-disk", 80),
    "any_signature": ("doors-bkash", 30),
    "portal_ignored": ("people-bkash", 40),
    "restore_unnoticed": ("restored-lossy", 30),
    "accepted_at_once": ("restored-late", 150),
    "lost_consent_denied": ("consent-lossy", 60),
    "payout_freed_on_unknown": ("paying-lossy", 60),
    "payout_checkpoint_ignored": ("paying-stepped", 120),
    "payout_absence_trusted": ("paying-by-id-late", 120),
    "payouts_not_compared": ("paying-restored-books", 30),
    "payout_not_doubted": ("paying-restored-unreached", 40),
    "list_unread": ("club-lossy", 60),
    "end_assumed": ("club-lossy", 60),
    "pages_unasked": ("club-unheard-lossy", 60),
    "second_left": ("club-unheard-lossy", 120),
}
