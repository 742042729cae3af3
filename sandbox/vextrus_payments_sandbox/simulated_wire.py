"""One simulated exchange carried through a sandbox application: what every simulated gateway shares."""

import asyncio
import json
from typing import Any, Final

from starlette.applications import Starlette

from vextrus_payments.testing.simulation import HttpAnswer, HttpAsk
from vextrus_payments_sandbox.notation import to_paisa
from vextrus_payments_sandbox.wallets import WALLETS

POOR: Final = "01823074817"
"""The published wallet that has too little."""
GOOD: Final = tuple(
    wallet.number
    for wallet in WALLETS
    if not wallet.blocked and wallet.number != POOR and wallet.opening_minor
)
"""The published wallets that can pay."""
_TLS_PORT: Final = 443


class VirtualSleeper:
    """Waits on the simulator's loop, in virtual time."""

    async def sleep(self, seconds: float) -> None:
        """Let that much time pass."""
        await asyncio.sleep(seconds)


async def carried(app: Starlette, ask: HttpAsk, site: tuple[str, int]) -> HttpAnswer:
    """Ask the application, as a server at `site` would; port 443 stands for https."""
    status, content_type, body = 500, "application/json", b""
    received = False

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:
            await asyncio.Event().wait()
        received = True
        return {"type": "http.request", "body": ask.body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, content_type, body
        if message["type"] == "http.response.start":
            status = message["status"]
            content_type = dict(message["headers"]).get(b"content-type", b"").decode()
        else:
            body += message.get("body", b"")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": ask.method,
        "scheme": "https" if site[1] == _TLS_PORT else "http",
        "path": ask.path,
        "raw_path": ask.path.encode(),
        "root_path": "",
        "query_string": ask.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in ask.headers.items()],
        "server": site,
        "client": ("192.0.2.2", 50_000),
    }
    await app(scope, receive, send)
    return HttpAnswer(status, body, content_type)


def read_object(raw: bytes) -> dict[str, Any]:
    """A body's JSON object; empty for what is none."""
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def minor_of(text: object) -> int:
    """An amount of a body in paisa; 0 for what is none."""
    return to_paisa(str(text or "")) or 0
