"""What has to be so before real money: a checklist that reads what it can, and names what only a person can see."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vextrus_payments.cli.findings import Finding, fail, ok, skipped, warn
from vextrus_payments.config import is_loopback
from vextrus_payments.errors import PaymentsError
from vextrus_payments.mode import Mode
from vextrus_payments.webhooks.routes import webhook_address

if TYPE_CHECKING:
    from vextrus_payments.app import Payments
    from vextrus_payments.gateways.base import PaymentGateway
    from vextrus_payments.health import Setup


async def go_live_findings(payments: "Payments | None", gateway: str, tenant: str) -> list[Finding]:
    """The checklist for one gateway."""
    if payments is None:
        return [
            fail(
                "live.app",
                "Without the application nobody can see with what it goes live.",
                "Run it with --app shop.payments:payments, with the live settings in its environment.",
            )
        ]
    setup = payments.setup
    findings = [await _credentials(payments, gateway, tenant), *_addresses(payments, setup, gateway, tenant)]
    if payments.store.durable:
        findings.append(ok("live.store", "Payments are kept in a store that survives a restart."))
    else:
        findings.append(
            fail(
                "live.store",
                "The store forgets everything with its process.",
                "Name a durable one: store=...",
            )
        )
    findings.append(
        ok("live.tokens", "Tokens and the count of grants survive a restart.")
        if setup.tokens_durable
        else fail(
            "live.tokens",
            "Tokens are kept in memory: every restart would use up a grant.",
            "Leave tokens= out, or keep them in a file or in Redis.",
        )
    )
    findings += _ledger(setup)
    findings.append(_epoch(payments))
    findings += [
        skipped("live.backups", "By hand: the database is backed up, and restoring it has been tried once."),
        skipped(
            "live.alarms", "By hand: somebody is told of set-aside entries, old unknowns and dead workers."
        ),
        skipped("live.clock", "By hand: every machine's clock is set by NTP."),
    ]
    return findings


async def _credentials(payments: "Payments", name: str, tenant: str) -> Finding:
    gateway: PaymentGateway | None = None
    failure: PaymentsError | None = None
    try:
        gateway = await payments.gateway_of(tenant, name)
    except PaymentsError as error:
        failure = error
    if gateway is None:
        assert failure is not None
        return fail("live.credentials", failure.what, failure.next_step)
    if gateway.mode is not Mode.LIVE:
        return fail(
            "live.credentials",
            f"{name} is configured for {gateway.mode.value}: no real money would move.",
            f"Set {name.upper()}_MODE=live with the live credentials; a sandbox's are refused there.",
        )
    return ok("live.credentials", f"{name} has live credentials for {urlsplit(gateway.address).netloc}.")


def _addresses(payments: "Payments", setup: "Setup", gateway: str, tenant: str) -> list[Finding]:
    url = setup.public_url
    if url is None:
        return [
            fail(
                "live.public_url",
                "Nobody said where this service is reached from outside.",
                'Give Payments(public_url="https://shop.example/payments").',
            )
        ]
    parts = urlsplit(url)
    if parts.scheme != "https" or is_loopback(parts.hostname or ""):
        return [
            fail(
                "live.public_url",
                f"{url} is no https address that a payer can reach.",
                "Name the shop's own.",
            )
        ]
    door = payments.return_door(tenant, gateway)
    webhook = webhook_address(url, gateway, tenant if setup.has_tenants else None)
    return [
        ok("live.public_url", f"Payers come back to {door}."),
        skipped(
            "live.return_url", f"By hand: where {gateway} wants return addresses registered, register {door}."
        ),
        skipped(
            "live.webhook",
            f"By hand: {webhook} is registered at {gateway} for its notifications (vextrus-pay urls tells how).",
        ),
    ]


def _ledger(setup: "Setup") -> list[Finding]:
    findings = []
    if setup.takes_entries:
        findings.append(ok("live.ledger", "A ledger takes the entries."))
    else:
        findings.append(
            fail(
                "live.ledger",
                "No ledger is attached: entries wait, and no books are kept.",
                "Give ledger=...",
            )
        )
    if not setup.takes_events:
        findings.append(
            warn(
                "live.events",
                "Nobody listens to events: what a worker settles reaches the shop only by looking.",
                "Give on_event=...",
            )
        )
    if setup.workers:
        findings.append(ok("live.workers", "Opening it starts the workers."))
    else:
        findings.append(
            warn(
                "live.workers",
                "It starts no workers of its own.",
                "See that vextrus-pay worker runs somewhere, always.",
            )
        )
    return findings


def _epoch(payments: "Payments") -> Finding:
    if payments.setup.epoch_marked:
        return ok("live.epoch", "A restored backup is noticed: there is an epoch mark outside the database.")
    return warn(
        "live.epoch",
        "A restored backup would go unnoticed: no epoch mark is kept outside the database.",
        'Give Payments(epoch=FileEpochMark("/var/lib/shop/epoch")), on another disk than the database.',
    )
