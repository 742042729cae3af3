"""What another package adds to `vextrus-pay`: commands, and a local sandbox to pay in.

The SDK never imports the sandbox. An entry point of the group `vextrus_payments.cli` names an `Extension`; loading
it must need nothing beyond click, so that a command whose packages are missing still stands in the help and says
what to install.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

from vextrus_payments.errors import MissingExtraError

if TYPE_CHECKING:
    import click

    from vextrus_payments.money import Money

GROUP: Final = "vextrus_payments.cli"


class SandboxTools(Protocol):
    """A local sandbox as `pay` needs it."""

    def started(self) -> AbstractAsyncContextManager[str]:
        """Start a sandbox on a free loopback port inside the running loop; gives its URL, and stops it after."""
        ...

    def customer(self) -> Mapping[str, str]:
        """What the good test customer types: input name -> value."""
        ...

    def environment(self, gateway: str, url: str) -> Mapping[str, str]:
        """The environment variables with which the gateway's config reaches the sandbox at `url`.

        Raises:
            UnknownGatewayError: the sandbox does not play this gateway.
        """
        ...

    async def held(self, gateway: str, api_url: str) -> "Mapping[str, Money] | None":
        """What the sandbox behind this API's address holds for its merchant, by gateway reference: what came in less
        what went back. None: there is no sandbox at that address.
        """
        ...

    async def approve(self, gateway: str, checkout_url: str) -> None:
        """Walk the hosted page as the good test customer would, up to and including the return.

        Raises:
            PaymentsError: the page is none of a sandbox, or it did not lead to a return.
        """
        ...

    async def play(self, checkout_url: str, *, typed: Mapping[str, str], cancels: bool) -> None:
        """As `approve`, by a payer who types something else (input name -> value), or closes the page.

        Raises:
            PaymentsError: as `approve`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Extension:
    """Commands and tools of another package.

    Attributes:
        extra: the extra of this distribution that brings what they need.
        needs: import names of what they need.
        summaries: command name -> its line in the help.
        load: gives a command by name; called only when nothing of `needs` is missing.
        sandbox: gives the sandbox tools; called only when nothing of `needs` is missing.
    """

    extra: str
    needs: tuple[str, ...]
    summaries: Mapping[str, str]
    load: "Callable[[str], click.Command]"
    sandbox: Callable[[], SandboxTools]

    def missing(self) -> tuple[str, ...]:
        """What is not installed of what it needs."""
        return tuple(name for name in self.needs if not is_installed(name))


#: Stands in where the sandbox package itself is not there: its commands are named all the same.
ABSENT: Final[Mapping[str, str]] = {
    "demo": "One payment and a refund through a local sandbox, step by step.",
    "sandbox": "Run a local sandbox, or print how to reach one.",
}


def is_installed(name: str) -> bool:
    """Whether a top-level module can be imported; does not import it."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def sandbox_extension() -> Extension | None:
    """The installed extension that brings the sandbox; None where there is none."""
    for found in entry_points(group=GROUP, name="sandbox"):
        try:
            extension = found.load()
        except ImportError:
            continue  # named by the distribution, but not there: as good as not installed
        if isinstance(extension, Extension):
            return extension
    return None


def sandbox_tools(what_for: str) -> SandboxTools:
    """The sandbox tools.

    Raises:
        MissingExtraError: they are not installed; it names the extra.
    """
    extension = sandbox_extension()
    if extension is None or extension.missing():
        raise missing_extra(what_for, extension)
    return extension.sandbox()


def missing_extra(what_for: str, extension: Extension | None) -> MissingExtraError:
    """The error that names the extra to install."""
    absent = extension.missing() if extension else ("the sandbox package",)
    extra = extension.extra if extension else "sandbox"
    return MissingExtraError(
        f"{what_for} needs what is not installed here: {', '.join(absent)}.",
        next_step=f'Install it: pip install "vextrus-payments[{extra}]"',
    )
