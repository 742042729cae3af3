"""How to reach a sandbox: its address checked, and the environment variables that lead a client to it."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.config import is_loopback
from vextrus_payments.errors import InvalidRequestError, UnknownGatewayError
from vextrus_payments.money import Money
from vextrus_payments_sandbox.app import TOPICS
from vextrus_payments_sandbox.serve import gateways_at

SHELLS: Final = ("sh", "powershell", "dotenv")
_RULE: Final = "the address that `sandbox serve` shows, such as http://127.0.0.1:28600"


def checked_url(url: str, *, field: str = "--sandbox") -> str:
    """The sandbox's own address without a slash at its end.

    Raises:
        InvalidRequestError: it is no http address of this machine, or it has a path.
    """
    good = False
    if url.isascii() and url.isprintable() and " " not in url:
        try:
            parts = urlsplit(url)
            good = parts.scheme == "http" and is_loopback(parts.hostname or "") and (parts.port or 80) > 0
            good = good and parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
        except ValueError:
            good = False
    if not good:
        raise InvalidRequestError(
            f"This is no sandbox's address; give {_RULE}.", field=field, rule=_RULE, code="sandbox_url"
        )
    return url.rstrip("/")


async def held(gateway: str, api_url: str) -> dict[str, Money] | None:
    """What the sandbox behind an API's address holds for its merchant, by gateway reference; None: none is there."""
    import httpx

    parts = urlsplit(api_url)
    if not is_loopback(parts.hostname or ""):
        return None
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.get(f"{parts.scheme}://{parts.netloc}/_sandbox/books")
            books = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    return {
        row["reference"]: Money(row["captured"], row["currency"]) - Money(row["refunded"], row["currency"])
        for row in books["payments"]
        if row["gateway"] == gateway
    }


def variables(gateway: str, url: str) -> dict[str, str]:
    """The environment variables of one gateway for the sandbox at `url`, in the order of its configuration.

    Raises:
        UnknownGatewayError: the sandbox does not play this gateway.
    """
    known = gateways_at(url)
    facts = known.get(gateway)
    if facts is None:
        raise UnknownGatewayError(
            f"The sandbox does not play {gateway!r}; it plays {', '.join(known)}.",
            gateway=gateway,
            next_step="Name one of them.",
        )
    prefix = gateway.upper()
    named = {
        f"{prefix}_{'API_URL' if key == 'base_url' else key.upper()}": value for key, value in facts.items()
    }
    topic = TOPICS.get(gateway)
    return {**named, f"{prefix}_MODE": "sandbox", **({f"{prefix}_SNS_TOPIC_ARN": topic} if topic else {})}


def all_variables(url: str) -> dict[str, str]:
    """The environment variables of every gateway of the sandbox at `url`."""
    return {name: value for gateway in gateways_at(url) for name, value in variables(gateway, url).items()}


def script(named: Mapping[str, str], shell: str) -> str:
    """The variables as lines of a shell (`sh`, `powershell`) or of a `.env` file (`dotenv`), each value quoted."""
    quote = {"sh": _sh, "powershell": _powershell, "dotenv": _dotenv}[shell]
    return "".join(quote(name, value) + "\n" for name, value in named.items())


def _sh(name: str, value: str) -> str:
    quoted = value.replace("'", "'\"'\"'")
    return f"export {name}='{quoted}'"


def _powershell(name: str, value: str) -> str:
    # PowerShell takes the typographic quotes for quotes as well; doubled, each stands for itself.
    quoted = "".join(c * 2 if c in "'\u2018\u2019\u201a\u201b" else c for c in value)
    return f"$env:{name} = '{quoted}'"


def _dotenv(name: str, value: str) -> str:
    if "'" not in value:
        return f"{name}='{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'{name}="{escaped}"'
