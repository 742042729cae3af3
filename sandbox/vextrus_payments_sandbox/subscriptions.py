"""Who is told of payments, and what is on its way to them: the records of ``delivery.py``."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx

from vextrus_payments.config import is_loopback
from vextrus_payments_sandbox import sns
from vextrus_payments_sandbox.magic import Subject
from vextrus_payments_sandbox.world import SandboxError

_URL_MAX: Final = 2_048


@dataclass(frozen=True, slots=True)
class Notice:
    """A completed payment as its gateway announces it."""

    gateway: str
    reference: str
    """The gateway's reference; of a walk-in payment, which has none, the transaction id."""
    transaction_id: str
    message: Mapping[str, str]
    """The inner message: flat, texts only."""
    subject: Subject | None = None
    """What the payment's amount and wallet may bring about (``magic.py``)."""


@dataclass(slots=True)
class Try:
    """One request to the endpoint, as `GET /_sandbox/webhooks/...` shows it."""

    seq: int
    at: str
    type: str
    message_id: str
    topic_arn: str
    reference: str | None
    transaction_id: str | None
    fault: str | None
    number: int
    """1 for the first; 0 where nothing is ever sent."""
    status: int | None = None
    """What the endpoint answered; None while the request is under way, and when no answer came."""
    error: str | None = None


@dataclass(slots=True)
class Subscription:
    """An endpoint that is, was, or is to be told."""

    gateway: str
    url: str
    topic: sns.Topic
    base_url: str
    """The sandbox's own address, as the envelopes name it."""
    arn: str
    token: str = field(repr=False)
    confirmed: bool = False


@dataclass(slots=True)
class Parcel:
    """An envelope on its way."""

    subscription: Subscription
    envelope: Mapping[str, str]
    notice: Notice | None = None
    fault: str | None = None
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first try is over, or will never be made."""


def checked_endpoint(url: object) -> str:
    """An address on this machine to which webhooks may be sent; raises :class:`SandboxError` for any other."""
    good = False
    if (
        isinstance(url, str)
        and len(url) <= _URL_MAX
        and url.isascii()
        and url.isprintable()
        and " " not in url
    ):
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
            good = good and parts.port != 0 and parts.username is None and not parts.fragment
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL):
            good = False
    if not good:
        raise SandboxError(
            "url is an http or https address of this machine, such as http://127.0.0.1:8000/webhook"
        )
    return str(url)


def checked_version(version: object) -> sns.SignatureVersion:
    """The version of a signature; raises :class:`SandboxError` for what is none."""
    if version == "1":
        return "1"
    if version == "2":
        return "2"
    raise SandboxError('signature_version is "1" (SHA-1) or "2" (SHA-256)')
