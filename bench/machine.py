"""What the numbers were taken on, and how processes are kept apart."""

import importlib.metadata
import os
import platform
from typing import Any

_PINNED = (
    "httpx",
    "httpcore",
    "h11",
    "pydantic",
    "tenacity",
    "structlog",
    "aiohttp",
    "stripe",
    "squareup",
    "pybkash",
)


def cpus() -> list[int]:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(pid: int, to: list[int]) -> None:
    """Keep a process (0 = this one) on some processors, where the system can."""
    if to and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, to)


def load() -> float:
    """How many processes wanted to run over the last minute; -1 where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1.0


def described() -> dict[str, Any]:
    """The machine and the versions, without anything that names it."""
    versions = {}
    for name in _PINNED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": len(cpus()),
        "versions": versions,
    }
