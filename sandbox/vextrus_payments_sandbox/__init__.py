"""A local stand-in for the payment gateways: their real rules, test wallets, and answers that get lost on purpose.

Nothing here is real money, and nothing here listens beyond this machine unless it is told to. ``create_app``
gives the ASGI application (a real server, or in-process under ``httpx.ASGITransport``), ``SandboxServer`` runs it
inside an event loop, ``run`` runs it as a process of its own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vextrus_payments_sandbox.app import create_app
    from vextrus_payments_sandbox.serve import SandboxServer, describe, run

__all__ = ["SandboxServer", "create_app", "describe", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "create_app":
        from vextrus_payments_sandbox.app import create_app

        return create_app
    from vextrus_payments_sandbox import serve

    return getattr(serve, name)
