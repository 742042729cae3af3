"""The line on which webhooks leave: one POST, one answer of which only the beginning is read."""

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx

TIMEOUT_S: Final = 15.0
ANSWER_MAX: Final = 65_536
"""How much of an endpoint's answer is read: its status is what counts."""


class Sender:
    """Posts for every gateway of one sandbox. Give it a `transport` to reach an endpoint without a socket."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[httpx.Response, bytes]:
        """POST it: what the endpoint answered, and the beginning of its body; the line is closed on one that goes on.

        Raises httpx.HTTPError and, after :data:`TIMEOUT_S`, TimeoutError.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(
                transport=self._transport, trust_env=False, follow_redirects=False, timeout=TIMEOUT_S
            )
        async with asyncio.timeout(TIMEOUT_S):  # on the loop's clock: an answer may drip without end
            async with self._client.stream("POST", url, content=body, headers=headers) as answer:
                beginning = bytearray()
                async for part in answer.aiter_bytes():
                    beginning += part
                    if len(beginning) >= ANSWER_MAX:
                        break
                return answer, bytes(beginning[:ANSWER_MAX])

    async def close(self) -> None:
        """Let the connections go."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()
