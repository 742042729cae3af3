"""`vextrus-pay webhooks verify`: is this delivery who it says it is? From two files, and nothing is recorded."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from vextrus_payments.cli.application import APP_HELP, app_name, load_app
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.look import line
from vextrus_payments.cli.output import console, emit_json
from vextrus_payments.cli.params import GATEWAY, WHEN, FilePath
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.clock import Clock, SystemClock
from vextrus_payments.errors import InvalidRequestError, SignatureError, WebhookError
from vextrus_payments.events import Confirm, Delivery, Events, GatewayEvent, Ignored
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.printable import one_line
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse

if TYPE_CHECKING:
    from vextrus_payments.config import GatewayConfig
    from vextrus_payments.gateways.base import PaymentGateway

_FILE_MAX: Final = 1_048_576
_FILE = FilePath(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class _StoppedClock:
    """A clock that shows the moment of a delivery, for its signature to be judged at."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0


class _CertificateFile:
    """A transport that answers every question for a certificate from a file, and no other question."""

    def __init__(self, pem: bytes) -> None:
        self._pem = pem

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """The file."""
        if request.method != "GET" or safety is not Safety.READ:
            raise SignatureError("Only a certificate is given from a file; nothing else was asked for.")
        return WireResponse(200, {}, self._pem)

    async def aclose(self) -> None:
        """Nothing is open."""


@click.command(
    "verify",
    cls=Command,
    examples=(
        (
            "vextrus-pay webhooks verify --gateway bkash --headers headers.json --body body.json --at 2d",
            "the two files that `webhooks show` wrote; signed two days ago",
        ),
        (
            "vextrus-pay webhooks verify --gateway bkash --headers headers.txt --body body.json --cert signing.pem",
            "with the certificate at hand, nothing is fetched",
        ),
    ),
)
@click.option("--gateway", type=GATEWAY, required=True, help="Whose webhook it is: bkash.")
@click.option(
    "--headers",
    "headers_file",
    required=True,
    type=_FILE,
    help="Its headers: a line `Name: value` each, or a JSON object.",
)
@click.option(
    "--body",
    "body_file",
    required=True,
    type=_FILE,
    help="Its body, byte by byte as it came: no newline added.",
)
@click.option(
    "--cert", "cert_file", type=_FILE, help="The signing certificate (.pem), in place of fetching it."
)
@click.option(
    "--at", type=WHEN, help="Judge the time of signing as of then: 90m, 12h, 3d (ago), or an ISO time."
)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose settings to verify by.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(
    gateway: str,
    headers_file: Path,
    body_file: Path,
    cert_file: Path | None,
    at: datetime | None,
    tenant: str,
    app: str | None,
    as_json: bool,
) -> int:
    """Verify one delivery by the settings of the application or of the environment.

    Exits 0 when it is proven, 1 when it is refused; when it cannot be decided (a certificate that cannot be fetched)
    by the codes of other failures. Nothing is recorded, and no subscription is confirmed.
    """
    delivery = Delivery(
        method="POST",
        query="",
        headers=_headers(_read(headers_file, "--headers")),
        body=_read(body_file, "--body"),
        received_at=at or SystemClock().now(),
    )
    pem = None if cert_file is None else _read(cert_file, "--cert")

    async def run() -> Events | Confirm | Ignored:
        async with AsyncExitStack() as stack:
            checker = await _gateway(stack, gateway, tenant, app, pem, at)
            return await checker.handle_webhook(delivery)

    try:
        with Waiting("Verifying it", quiet=as_json):
            found = asyncio.run(run())
    except WebhookError as error:
        _show_refusal(error, as_json=as_json)
        return Exit.DECLINED
    _show(found, as_json=as_json)
    return Exit.DONE


async def _gateway(
    stack: AsyncExitStack, name: str, tenant: str, app: str | None, pem: bytes | None, at: datetime | None
) -> "PaymentGateway":
    """A gateway of its own, with the settings that would judge the delivery at the door."""
    from vextrus_payments.cli.home import Home
    from vextrus_payments.gateways.registry import Registry
    from vextrus_payments.tokens import TokenCache

    clock: Clock = SystemClock() if at is None else _StoppedClock(at)
    named = app_name(app)
    source = None
    if named is not None:
        payments = load_app(named)
        stack.push_async_callback(payments.aclose)
        made = await payments.gateway_of(tenant, name)

        async def source(_tenant: str, _name: str) -> "GatewayConfig":
            return made.config

    registry = Registry(
        credentials=source,
        transport=None if pem is None else _CertificateFile(pem),
        # No token is asked for; a gateway in live mode is only made where it could be kept.
        tokens=TokenCache(Home.find(None).tokens()),
        clock=clock,
    )
    stack.push_async_callback(registry.aclose)
    return await registry.gateway(tenant, name)


def _read(path: Path, option: str) -> bytes:
    with path.open("rb") as file:
        raw = file.read(_FILE_MAX + 1)
    if len(raw) > _FILE_MAX:
        rule = f"at most {_FILE_MAX} bytes"
        raise InvalidRequestError(f"{option}: the file is too long: {rule}.", field=option, rule=rule)
    return raw


def _headers(raw: bytes) -> dict[str, str]:
    """Headers by lower-case name, as a door hands them on: several of one name joined by commas.

    Raises:
        InvalidRequestError: it is neither lines of headers nor a JSON object of texts.
    """
    rule = "lines of `Name: value`, or a JSON object of texts"
    pairs: list[tuple[str, str]] | None = None
    try:
        text = raw.decode("utf-8-sig")
        if text.lstrip().startswith("{"):
            found = json.loads(text, object_pairs_hook=list)
            if all(isinstance(value, str) for _, value in found):
                pairs = found
        else:
            lines = [line for line in text.splitlines() if line.strip()]
            if all(":" in line and not line[0].isspace() for line in lines):
                parted = (line.partition(":") for line in lines)
                pairs = [(name.strip(), value.strip()) for name, _, value in parted]
    except (ValueError, RecursionError):
        pairs = None
    if pairs is None:
        raise InvalidRequestError(f"--headers does not fit: {rule}.", field="--headers", rule=rule)
    headers: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _show_refusal(error: WebhookError, *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "type": "webhook_verification",
                "proven": False,
                "error": {"type": type(error).__name__, "code": error.code, "what": error.what},
                "exit_code": int(Exit.DECLINED),
            }
        )
        return
    line(console(), ("Refused.", "bad"), " ", one_line(f"{error.what} {error.next_step}", 600))


def _show(found: Events | Confirm | Ignored, *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {"type": "webhook_verification", "proven": True, **_document(found), "exit_code": int(Exit.DONE)}
        )
        return
    out = console()
    said: str
    match found:
        case Events():
            said = "; ".join(one_line(_in_words(event), 600) for event in found.events)
        case Confirm():
            said = "It asks whether it may send here. It was not answered."
        case Ignored():
            said = one_line(f"It is passed over: {found.why}.", 600)
    line(out, ("Proven.", "good"), " ", said)


def _document(found: Events | Confirm | Ignored) -> Mapping[str, Any]:
    match found:
        case Events():
            return {"what": "news", "events": [_told(event) for event in found.events]}
        case Confirm():
            return {"what": "confirmation"}
        case Ignored():
            return {"what": "ignored", "why": found.why}


def _told(event: GatewayEvent) -> dict[str, Any]:
    """The event without the payer's account."""
    told: dict[str, Any] = {"event_id": event.event_id, "news_key": event.news_key}
    if event.refund is not None:
        told |= {
            "kind": "refund",
            "state": event.refund.state.value,
            "transaction_id": event.refund.transaction_id,
            "amount": None if event.refund.amount is None else str(event.refund.amount),
        }
    elif event.snapshot is not None:
        told |= {
            "kind": "payment",
            "state": event.snapshot.state.value,
            "transaction_id": event.snapshot.transaction_id,
            "gateway_order_id": event.snapshot.gateway_order_id,
            "amount": None if event.snapshot.amount is None else str(event.snapshot.amount),
        }
    return told


def _in_words(event: GatewayEvent) -> str:
    told = _told(event)
    parts = (told.get(name) for name in ("kind", "state", "amount", "transaction_id", "gateway_order_id"))
    return f"{' '.join(part for part in parts if part)} (event {event.event_id})"
