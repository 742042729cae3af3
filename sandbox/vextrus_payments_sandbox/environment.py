"""How to reach a sandbox: its address checked, and the environment variables that lead a client to it."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.config import is_loopback
from vextrus_payments.errors import ConfigurationError, InvalidRequestError, UnknownGatewayError
from vextrus_payments.money import Money
from vextrus_payments_sandbox.gateways import FACTS, TOPICS
from vextrus_payments_sandbox.serve import facts_of, played
from vextrus_payments_sandbox.world import KeysError

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
    """What the sandbox behind an API's address holds for its merchant; None: there is none.

    By gateway reference; what was paid out is below zero, by its invoice number (which is the payout's id).
    """
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
    kept = {
        row["alias"] or row["reference"]: _kept_for(row)
        for row in books["payments"]
        if row["gateway"] == gateway
    }
    for row in books["payouts"]:
        if row["gateway"] == gateway:  # one number may have paid out more than once
            before = kept.get(row["invoice"], Money("0", row["currency"]))
            kept[row["invoice"]] = before - _sent_by(row)
    return kept


def _kept_for(row: Mapping[str, str]) -> Money:
    """What a payment leaves the merchant once the gateway pays out."""
    captured, refunded, fee = (Money(row[name], row["currency"]) for name in ("captured", "refunded", "fee"))
    return captured - refunded - fee


def _sent_by(row: Mapping[str, str]) -> Money:
    """What a payout takes from the merchant."""
    amount, fee = (Money(row[name], row["currency"]) for name in ("amount", "fee"))
    return amount + fee


def variables(gateway: str, url: str) -> dict[str, str]:
    """The environment variables of one gateway for the sandbox at `url`, in the order of its configuration.

    Raises:
        UnknownGatewayError: the sandbox does not play this gateway.
        ConfigurationError: its keys cannot be kept on this machine.
    """
    known = played()
    if gateway not in known:
        raise UnknownGatewayError(
            f"The sandbox does not play {gateway!r}; it plays {', '.join(known)}.",
            gateway=gateway,
            next_step="Name one of them.",
        )
    facts: dict[str, str] = {}
    problem: KeysError | None = None
    try:
        facts = dict(facts_of(known[gateway], url))
    except KeysError as error:
        problem = error
    if problem is not None:
        raise keys_refusal(problem)
    return named(gateway, facts)


def named(gateway: str, facts: Mapping[str, str]) -> dict[str, str]:
    """What a gateway's client needs, as environment variables."""
    prefix, names, topic = gateway.upper(), FACTS[gateway].variables, TOPICS.get(gateway)
    called = {key: names.get(key, key.upper()) for key in facts}
    found = {f"{prefix}_{name}": facts[key] for key, name in called.items() if name}
    found |= {
        f"{prefix}_{name}": value.format_map(facts) for name, value in FACTS[gateway].more_variables.items()
    }
    return {**found, f"{prefix}_MODE": "sandbox", **({f"{prefix}_SNS_TOPIC_ARN": topic} if topic else {})}


def keys_refusal(error: KeysError) -> ConfigurationError:
    """What a command says where a gateway's keys cannot be kept."""
    problem = str(error)
    return ConfigurationError(
        f"{problem[:1].upper()}{problem[1:]}.",
        code="sandbox_keys",
        next_step="Name a folder that can be written to in VEXTRUS_PAY_HOME.",
        gateway=error.gateway,
    )


def all_variables(url: str) -> dict[str, str]:
    """The environment variables of every gateway of the sandbox at `url`."""
    return {name: value for gateway in played() for name, value in variables(gateway, url).items()}


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
