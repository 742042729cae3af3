"""Credentials and tokens of the bKash sandbox: the shape of the real ones, the worth of none.

An id_token looks like the real one (dossier §1.11, §12.3: a Cognito RS256 JWT of some 900 characters), but its
signature is a stretched HMAC under a key that is printed right here. So a token needs no memory: one granted
by an earlier start of the sandbox is honoured until it expires.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments_sandbox.world import World

TOKEN_LIFE_S: Final = 3600
REFRESH_LIFE: Final = timedelta(days=28)
GRANTS_PER_WINDOW: Final = 2
GRANT_WINDOW: Final = timedelta(hours=1)

# Not a secret: it protects nothing and says so.
_SIGNING_KEY: Final = b"vextrus sandbox signing key: fake on purpose, worth nothing"
_ISSUER: Final = "https://cognito-idp.ap-southeast-1.amazonaws.com/ap-southeast-1_SANDBOX00"
_HEX: Final = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Merchant:
    """One merchant's four credentials. In the sandbox they are fixed, public and visibly fake."""

    app_key: str = "sandboxAppKey0000000000000"
    app_secret: str = field(default="sandboxAppSecret" + "0" * 34, repr=False)
    username: str = "sandboxTokenizedUser00"
    password: str = field(default="sandbox@Password<00>", repr=False)
    name: str = "SandboxMerchant"
    short_code: str = "40001"
    till: str = ""
    """What its account in the books is called behind the gateway's name; the first merchant's has no name."""


def numbered(number: int, name: str) -> Merchant:
    """The merchant of that number, 2 or more: other credentials than the first one's, and as fake."""
    index = number - 1
    return Merchant(
        app_key=f"sandboxAppKey{index:013d}",
        app_secret=f"sandboxAppSecret{index:034d}",
        username=f"sandboxTokenizedUser{index:02d}",
        password=f"sandbox@Password<{index:02d}>",
        name=name,
        short_code=f"{40000 + number}",
        till=name,
    )


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _stretch(label: bytes, message: bytes, length: int) -> bytes:
    blocks = (
        hmac.new(_SIGNING_KEY, label + bytes([index]) + message, hashlib.sha256).digest()
        for index in range(-(-length // 32))
    )
    return b"".join(blocks)[:length]


def mint_id_token(world: World, merchant: Merchant) -> str:
    """An id_token for `merchant`, valid for an hour of the sandbox's time."""
    now = int(world.now().timestamp())

    def random_id() -> str:
        text = world.text(_HEX, 32)
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    header = {"kid": _b64(b"vextrus sandbox key, not a secret"), "alg": "RS256"}
    claims = {
        "sub": random_id(),
        "aud": merchant.app_key,
        "event_id": random_id(),
        "token_use": "id",
        "auth_time": now,
        "iss": _ISSUER,
        "cognito:username": merchant.username,
        "exp": now + TOKEN_LIFE_S,
        "iat": now,
    }
    signed = ".".join(_b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{signed}.{_b64(_stretch(b'id', signed.encode('ascii'), 256))}"


def read_id_token(token: str, now: datetime) -> tuple[str, bool] | None:
    """(app key, expired?) of a token that the sandbox made, or ``None`` for any other text."""
    signed, _, signature = token.rpartition(".")
    claims = _claims(b"id", signed, signature, 256)
    if claims is None:
        return None
    return str(claims["aud"]), now.timestamp() >= int(claims["exp"])


def mint_refresh_token(world: World, merchant: Merchant) -> str:
    """A refresh token: five parts like the real JWE, its third carrying the claims in the open."""
    claims = {"aud": merchant.app_key, "exp": int((world.now() + REFRESH_LIFE).timestamp())}
    header = _b64(b'{"cty":"JWT","enc":"A256GCM","alg":"RSA-OAEP"}')
    nonce = world.text(_HEX, 32)
    signed = ".".join(
        (header, _b64(_stretch(b"key", nonce.encode(), 256)), _b64(json.dumps(claims).encode()))
    )
    signed = f"{signed}.{_b64(_stretch(b'text', nonce.encode(), 896))}"
    return f"{signed}.{_b64(_stretch(b'refresh', signed.encode('ascii'), 16))}"


def refresh_token_is_good(token: str, merchant: Merchant, now: datetime) -> bool:
    """Whether the sandbox made this refresh token for `merchant` and its 28 days are not over."""
    signed, _, signature = token.rpartition(".")
    claims = _claims(b"refresh", signed, signature, 16, part=2)
    return claims is not None and claims["aud"] == merchant.app_key and now.timestamp() < int(claims["exp"])


def _claims(label: bytes, signed: str, signature: str, length: int, part: int = 1) -> dict[str, Any] | None:
    try:
        expected = _stretch(label, signed.encode("ascii"), length)
        if not hmac.compare_digest(expected, _unb64(signature)):
            return None
        claims: dict[str, Any] = json.loads(_unb64(signed.split(".")[part]))
    except (ValueError, IndexError):  # not base64, not ASCII, not ours
        return None
    return claims


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant or refresh, as logged. ``over_budget``: more than two within an hour (dossier §1.4)."""

    at: datetime
    kind: str  # grant | refresh
    app_key: str
    username: str
    over_budget: bool
    refused: bool


class GrantLog:
    """Two grants an hour for each credential set, then an hour's block: always recorded, enforced when strict."""

    def __init__(self, world: World, *, strict: bool) -> None:
        self._world = world
        self._strict = strict
        self.grants: list[Grant] = []
        self.blocked_until: dict[tuple[str, str], datetime] = {}

    def admit(self, kind: str, merchant: Merchant) -> bool:
        """Log one grant or refresh; false when it is refused for exceeding the budget."""
        now, key = self._world.now(), (merchant.app_key, merchant.username)
        granted = [
            grant
            for grant in self.grants
            if (grant.app_key, grant.username) == key and not grant.refused and now - grant.at < GRANT_WINDOW
        ]
        blocked = now < self.blocked_until.get(key, now)
        over = blocked or len(granted) >= GRANTS_PER_WINDOW
        refused = self._strict and over
        if refused and not blocked:
            self.blocked_until[key] = now + GRANT_WINDOW
        self.grants.append(Grant(now, kind, *key, over_budget=over, refused=refused))
        return not refused

    def reset(self) -> None:
        """Forget the log and lift every block."""
        self.grants.clear()
        self.blocked_until.clear()
