"""What the sandbox adds to `vextrus-pay`. Importing this needs nothing beyond the SDK and click."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final

from vextrus_payments.cli.extension import Extension, SandboxTools

if TYPE_CHECKING:
    import click

    from vextrus_payments.money import Money

_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("vextrus_payments_sandbox.demo_command", "One payment and a refund, shown step by step."),
    "sandbox": ("vextrus_payments_sandbox.sandbox_command", "Run a local sandbox, or say how to reach one."),
}


def _load(name: str) -> "click.Command":
    command: click.Command = import_module(_COMMANDS[name][0]).command
    return command


class Tools:
    """The sandbox as `vextrus-pay pay` uses it."""

    @asynccontextmanager
    async def started(self) -> AsyncIterator[str]:
        """A sandbox on a free loopback port inside the running loop: its URL."""
        from vextrus_payments_sandbox.serve import SandboxServer

        async with SandboxServer() as server:
            yield server.url

    def customer(self) -> Mapping[str, str]:
        """What the good test customer types."""
        from vextrus_payments_sandbox.walk import CUSTOMER

        return CUSTOMER

    def environment(self, gateway: str, url: str) -> Mapping[str, str]:
        """The variables with which `gateway`'s configuration reaches the sandbox at `url`."""
        from vextrus_payments_sandbox.environment import checked_url, variables

        return variables(gateway, checked_url(url))

    async def held(self, gateway: str, api_url: str) -> "Mapping[str, Money] | None":
        """What the sandbox behind this API's address holds, by gateway reference; None: no sandbox is there."""
        from vextrus_payments_sandbox.environment import held

        return await held(gateway, api_url)

    async def approve(self, gateway: str, checkout_url: str) -> None:
        """Walk the hosted page as the test customer would, and come back."""
        from vextrus_payments_sandbox.walk import come_back, walk

        await come_back(await walk(checkout_url))

    async def play(self, checkout_url: str, *, typed: Mapping[str, str], cancels: bool) -> None:
        """Walk the hosted page as another payer would, or close it, and come back."""
        from vextrus_payments_sandbox.walk import CUSTOMER, come_back, walk

        action = "Cancel" if cancels else "Confirm"
        await come_back(await walk(checkout_url, customer={**CUSTOMER, **typed}, action=action))


def _tools() -> SandboxTools:
    return Tools()


#: The entry point of the group `vextrus_payments.cli`.
commands: Final = Extension(
    extra="sandbox",
    needs=("starlette", "jinja2", "python_multipart", "uvicorn", "yaml"),
    summaries={name: summary for name, (_, summary) in _COMMANDS.items()},
    load=_load,
    sandbox=_tools,
)
