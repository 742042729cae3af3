"""Code to copy: a whole payment in Python, curl, Node and PHP, with this sandbox's own addresses and keys filled in.

The texts lie in ``pages/snippets/GATEWAY_LANGUAGE.txt``. Whatever is filled in passes through a quote of the language
it stands in, because a path may hold a quote or a backslash.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from vextrus_payments_sandbox.admin import ADMIN_PREFIX
from vextrus_payments_sandbox.gateways import DEFAULT, FACTS
from vextrus_payments_sandbox.world import SandboxGateway

LANGUAGES: Final[Mapping[str, str]] = {"python": "Python", "curl": "curl", "node": "Node", "php": "PHP"}
_APPROVE: Final = f"{ADMIN_PREFIX}/approve"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One text to copy."""

    id: str
    language: str
    text: str


def as_json(value: Any) -> str:
    """A text as a literal of Python or JavaScript, or any data as JSON: both read what JSON writes."""
    return json.dumps(value, ensure_ascii=False)


def as_sh(text: str) -> str:
    """A text as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def as_php(text: str) -> str:
    """A text as a literal of PHP in which nothing is replaced."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("vextrus_payments_sandbox", "pages/snippets"),
    autoescape=False,  # noqa: S701 - these are programs; the page that shows them escapes them
    undefined=StrictUndefined,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters |= {"py": as_json, "js": as_json, "json": as_json, "sh": as_sh, "php": as_php}


def snippets(gateway: SandboxGateway, url: str) -> list[Snippet]:
    """A payment through `gateway` of the sandbox at `url`, once for each language.

    Raises :class:`SandboxError` where the gateway's keys cannot be kept.
    """
    calls = FACTS[gateway.name].calls
    if not calls:
        return []
    facts = gateway.describe(url)
    return [
        Snippet(
            f"{gateway.name}-{language}",
            name,
            _ENVIRONMENT.get_template(f"{gateway.name}_{language}.txt").render(
                facts, api=facts["base_url"] + calls, approve=url + _APPROVE
            ),
        )
        for language, name in LANGUAGES.items()
    ]


def webhook_snippet(url: str, gateway: str) -> Snippet:
    """How to have payments announced to an endpoint."""
    address = as_sh(f"{url}{ADMIN_PREFIX}/webhooks/{gateway}")
    wanted = as_sh(as_json({"url": f"http://127.0.0.1:8000/payments/{gateway}/webhook"}))
    return Snippet(
        f"webhook-{gateway}",
        "curl",
        f"curl -X PUT {address} -H 'Content-Type: application/json' -d {wanted}\n",
    )


def fault_snippet(url: str) -> Snippet:
    """How to order a fault by the admin API."""
    struck = FACTS[DEFAULT].moves[0]
    wanted = as_sh(as_json({"gateway": DEFAULT, "operation": struck, "fault": "drop_after", "times": 1}))
    address = as_sh(f"{url}{ADMIN_PREFIX}/faults")
    return Snippet(
        "fault-example", "curl", f"curl {address} -H 'Content-Type: application/json' -d {wanted}\n"
    )


def variables_snippet(url: str) -> Snippet:
    """How a shell gets the variables that lead a client to this sandbox."""
    return Snippet("variables", "shell", f'eval "$(vextrus-pay sandbox env --url {url})"\n')
