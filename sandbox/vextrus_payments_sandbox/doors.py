"""A shop's doors on a loopback socket, for as long as a demo lasts: what a web server does in front of `asgi()`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from vextrus_payments_sandbox.listening import loopback_socket
from vextrus_payments_sandbox.prompt_server import PromptServer


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application on a free port: its URL, without a slash at the end."""
    bound = loopback_socket(0)
    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = PromptServer(config)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started:
            if task.done():
                bound.close()
                await task
                raise RuntimeError("the server of the doors ended before it had started")
            await asyncio.sleep(0.005)
        host, port = bound.getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        await task
