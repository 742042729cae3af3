"""How the sandbox's load proof walks a payer's page: as a browser without script does it."""

import re
from html import unescape
from typing import Final
from urllib.parse import urlencode

from bench.loopback_client import Client, WireError

WALLETS: Final = 200
_OTP, _PIN = "123456", "12121"
_FORM: Final = re.compile(r'<form[^>]*action="([^"]+)"')


def wallet_of(number: int) -> str:
    """Which wallet pays a payment."""
    return f"017990{number % WALLETS:05}"


async def walk(client: Client, page: str, wallet: str) -> str:
    """From the page at a path to the shop: the address that the browser is sent back to. Raises WireError."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for name, value in (("wallet", wallet), ("otp", _OTP), ("pin", _PIN)):
        shown = await client.ask("GET", page)
        form = _FORM.search(shown.body.decode("utf-8")) if shown.status == 200 else None
        if form is None:
            raise WireError(f"the page shows no form for the {name}; it was answered with {shown.status}")
        sent = urlencode({name: value, "action": "Confirm"}).encode()
        moved = await client.ask("POST", unescape(form[1]), sent, kind)
        if moved.status != 303:
            raise WireError(f"the {name} was answered with {moved.status}")
        page = moved.headers["location"]
    return page
