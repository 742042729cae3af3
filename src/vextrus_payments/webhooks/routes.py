"""The addresses of the doors: `{mount}[/t/{tenant}]/{gateway}/webhook`, `.../return`, and `{mount}/health`.

One grammar, read by every door and written by whoever tells people what to register. A slash at the end is the same
address: gateways' forms and proxies add and drop it.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Door(StrEnum):
    """What is behind an address."""

    WEBHOOK = "webhook"
    RETURN = "return"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class Route:
    """What a path names. A gateway or tenant of that name need not exist."""

    door: Door
    gateway: str = ""
    tenant: str | None = None


GATEWAY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

_PATH_MAX: Final = 512
_ROUTE: Final = re.compile(
    rf"(?:/t/(?P<tenant>{TENANT.pattern}))?/(?P<gateway>{GATEWAY.pattern})/(?P<door>webhook|return)/?",
    re.ASCII,
)
_HEALTH: Final = re.compile(r"/health/?", re.ASCII)


def route_of(path: str, root_path: str = "") -> Route | None:
    """What a request's path names; None: nothing of ours.

    Args:
        path: percent-decoded. Some frameworks hand over the whole path, some what is left under the mount.
        root_path: where the application is mounted, as ASGI's `root_path` or WSGI's SCRIPT_NAME tell; "" without.
    """
    return _route_of(path, root_path) if len(path) + len(root_path) <= _PATH_MAX else None


@lru_cache(maxsize=1_024)
def _route_of(path: str, root_path: str) -> Route | None:
    """Kept: nearly every request is for one of a few addresses, and what is kept is short and bounded."""
    left = _under_the_mount(path, root_path)
    named = _ROUTE.fullmatch(left)
    if named is not None:
        return Route(Door(named["door"]), named["gateway"], named["tenant"])
    return Route(Door.HEALTH) if _HEALTH.fullmatch(left) is not None else None


def _under_the_mount(path: str, root_path: str) -> str:
    """What is left of the path under the mount.

    ASGI's path begins with the whole root_path (Starlette, FastAPI); but a proxy that strips a prefix, of which the
    application was told, leaves only the end of it; and Litestar and WSGI hand over what is left.
    """
    root_path = root_path.rstrip("/")
    while root_path:
        if path.startswith(root_path) and path[len(root_path) : len(root_path) + 1] == "/":
            return path[len(root_path) :]
        cut = root_path.find("/", 1)
        root_path = root_path[cut:] if cut > 0 else ""
    return path


def webhook_address(public_url: str, gateway: str, tenant: str | None = None) -> str:
    """The address to give to the gateway for its webhooks."""
    return f"{public_url}{_middle(tenant)}/{gateway}/{Door.WEBHOOK.value}"


def return_address(public_url: str, gateway: str, tenant: str | None = None) -> str:
    """The address to which the gateway sends browsers back."""
    return f"{public_url}{_middle(tenant)}/{gateway}/{Door.RETURN.value}"


def health_address(public_url: str) -> str:
    """The address for a probe."""
    return f"{public_url}/{Door.HEALTH.value}"


def _middle(tenant: str | None) -> str:
    return "" if tenant is None else f"/t/{tenant}"
