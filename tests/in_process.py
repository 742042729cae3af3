"""The sandbox called in this process: for tests that put a line of their own between it and an adapter."""

import httpx

from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse


class AppTransport:
    """The sandbox's application called in this process, as a Transport. It never loses anything."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        answer = await self._client.request(
            request.method, request.url, headers=list(request.headers), content=request.body
        )
        return WireResponse(answer.status_code, dict(answer.headers), answer.content)

    async def aclose(self) -> None:
        """Nothing: the client belongs to the world."""
