"""Where a Redis is, read from its URL, and the certificates for the way to it. Asks nobody and needs no redis-py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from vextrus_payments.errors import ConfigurationError

_DEFAULT_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Place:
    """Where the Redis is, as its client wants to be told."""

    shown: str
    """Without user, password and options: fit for messages."""
    tls: bool
    settings: dict[str, Any]


def place_of(url: str) -> Place:
    """Where a URL leads. Never shows what it was.

    Raises:
        ConfigurationError: it names no Redis, or carries an option.
    """
    rule = "redis://[user:password@]host[:port][/db], rediss://... for TLS, or unix:///path/to/socket[?db=1]"
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        parts, port = None, 0
    if parts is not None and not parts.fragment:
        who = {
            "username": unquote(parts.username or "") or None,
            "password": unquote(parts.password or "") or None,
        }
        if parts.scheme == "unix" and parts.path and not parts.hostname:
            wanted = parts.query.removeprefix("db=") if parts.query else "0"
            if wanted.isdecimal() and wanted.isascii():
                path = unquote(parts.path)
                return Place(f"unix://{path}", False, {**who, "path": path, "db": int(wanted)})
        wanted = parts.path.strip("/") or "0"
        if (
            parts.scheme in ("redis", "rediss")
            and parts.hostname
            and not parts.query
            and wanted.isdecimal()
            and wanted.isascii()
        ):
            shown = f"{parts.scheme}://{parts.hostname}:{port}/{int(wanted)}"
            settings = {**who, "host": parts.hostname, "port": port, "db": int(wanted)}
            return Place(shown, parts.scheme == "rediss", settings)
    raise ConfigurationError(
        "The URL names no Redis.",
        code="redis_url",
        next_step=f"Write {rule}; other options are arguments of RedisTokenCache.",
    )


def tls_settings(
    tls: bool, ca_file: str | Path | None, cert_file: str | Path | None, key_file: str | Path | None
) -> dict[str, Any]:
    """The client's settings for TLS; nothing where the URL asks for none.

    Raises:
        ConfigurationError: certificates are given, and the URL asks for no TLS.
    """
    files = {"ssl_ca_certs": ca_file, "ssl_certfile": cert_file, "ssl_keyfile": key_file}
    named = {name: str(file) for name, file in files.items() if file is not None}
    if not tls:
        if named:
            raise ConfigurationError(
                "Certificates are given for a Redis that is reached without TLS.",
                code="redis_tls",
                next_step="Write rediss:// in the URL, or leave ca_file, cert_file and key_file out.",
            )
        return {}
    return {**named, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
