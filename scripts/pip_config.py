"""Lets uv install from where the user's pip installs: pip's configuration, told to uv in its own words.

uv does not read pip's configuration, and a project must not name a registry. So the settings of `pip config list`
(files and PIP_* variables) are handed over through UV_* variables, never on a command line: an index URL may hold
a password. What the user already told uv stays.
"""

import ast
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_INSTALL_TARGETS = (
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_EDITABLE",
)


def without_install_targets(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the PIP_* variables that would put packages elsewhere than into the venv."""
    return {name: value for name, value in environment.items() if name.upper() not in _INSTALL_TARGETS}


def pip_settings(listing: str) -> dict[str, str]:
    """The effective settings in the text of `pip config list`: variables over [install] over [global]."""
    by_section: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        name, separator, quoted = line.partition("=")
        section, _, option = name.strip().rpartition(".")
        if not separator or section not in by_section:
            continue
        try:
            value = ast.literal_eval(quoted)
        except (SyntaxError, ValueError):
            continue
        by_section[section][option.replace("_", "-")] = str(value)
    return by_section["global"] | by_section["install"] | by_section[":env:"]


def as_uv_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """The same settings as UV_* variables (and the two that TLS and proxies have in common)."""
    told: dict[str, str] = {}
    if "index-url" in settings:
        told["UV_DEFAULT_INDEX"] = settings["index-url"]
    if "extra-index-url" in settings:
        told["UV_INDEX"] = " ".join(settings["extra-index-url"].split())
    # pip takes the best version from all its indexes; uv would stop at the first that knows the name. Hashes hold.
    told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    links = [link for link in settings.get("find-links", "").split() if "://" in link or Path(link).is_dir()]
    if links:
        told["UV_FIND_LINKS"] = ",".join(links)
    if "trusted-host" in settings:
        told["UV_INSECURE_HOST"] = " ".join(settings["trusted-host"].split())
    if "cert" in settings:
        told["SSL_CERT_FILE"] = settings["cert"]
    if "proxy" in settings:
        told["ALL_PROXY"] = settings["proxy"]
    if "timeout" in settings or "default-timeout" in settings:
        told["UV_HTTP_TIMEOUT"] = settings.get("timeout", settings.get("default-timeout", ""))
    return told


def needs_pip(settings: Mapping[str, str]) -> bool:
    """True if only pip can follow these settings: no index at all, or a client certificate."""
    return "client-cert" in settings or settings.get("no-index", "").lower() in {"1", "true", "yes", "on"}


def uv_environment(python: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """The environment to run uv in, so that it installs from where `python -m pip` would; None if it cannot."""
    listing = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "config", "list"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**environment, "PYTHONUTF8": "1"},
        check=False,
    ).stdout
    settings = pip_settings(listing)
    if needs_pip(settings):
        return None
    told = as_uv_variables(settings)
    if any(name in environment for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_CONFIG_FILE")):
        # whoever configures uv himself means it
        for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_STRATEGY", "UV_FIND_LINKS"):
            told.pop(name, None)
    return {**told, **environment, "UV_PYTHON_DOWNLOADS": "never"}
