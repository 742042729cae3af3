"""Nobody is answered before what his request changed is on disk."""

import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vextrus_payments_sandbox.state.keeper import Keeper


class KeptAnswers:
    """Around the whole application: holds an answer back until its changes are written, or answers 503 instead."""

    def __init__(self, app: ASGIApp, keeper: Keeper) -> None:
        self._app = app
        self._keeper = keeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held_back = False

        async def kept(message: Message) -> None:
            nonlocal held_back
            if message["type"] == "http.response.start" and not self._keeper.keep():
                held_back = True
                await _refuse(send, self._keeper.problem)
            if not held_back:
                await send(message)

        try:
            await self._app(scope, receive, kept)
        finally:
            self._keeper.keep()  # also what a dropped answer leaves behind


async def _refuse(send: Send, problem: str) -> None:
    words = (
        f"the sandbox did what was asked and could not write it down, so the true answer was held back: {problem}. "
        "Look the payment up once there is room; do not send it again blindly"
    )
    body = json.dumps({"error": words}).encode("utf-8")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
