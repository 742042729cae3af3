"""The tokens port: what a gateway token is, what its cache asks of a backend, what a store offers for it.

Three seams. An adapter hands `TokenCache.token(key, grant)` a `Grant`: one wire call that brings a Token. The cache
(tokens/cache.py) sees to it that the call is made once, whoever asks, in however many processes. It keeps what it
learns in a `TokenBackend` (tokens/memory.py, file.py, store.py). The store backend in turn stands on `TokenRows`,
five methods that the payment stores implement.

Tokens are shared by key, not by tenant: two tenants on one merchant, and both protocol versions, have one token and
one grant budget, because the gateway counts them as one (DESIGN rule 13). The budget belongs to whoever names the
merchant; the token only to its *holder*, who has the very secrets it was granted for (docs/adr/0004-token-holder.md).
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, Self, runtime_checkable
from urllib.parse import urlsplit

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, to_millis
from vextrus_payments.wire import SendBy

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_HOLDER: Final = re.compile(r"([0-9a-f]{64})?\Z")
_LONGEST_LIFE_S: Final = 366 * 86_400
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def _joined_digest(*parts: str) -> str:
    """SHA-256 over the parts, each with its length in front: no two lists of parts read the same."""
    hashed = hashlib.sha256()
    for part in parts:
        data = part.encode()
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Whose token.

    Attributes:
        digest: names the merchant, and with it the row and the grant budget: a SHA-256 in hex. It shows no key
            material and is safe as a file name and in a log.
        holder: who has the merchant's secrets: an HMAC-SHA256 in hex; "" where none were told. A token is served
            to the holder it was granted to and to nobody else. Never shown.
    """

    digest: str
    holder: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not _DIGEST.match(self.digest):
            raise ValueError("a token key is a SHA-256 in lower-case hex; make it with TokenKey.of()")
        if not _HOLDER.match(self.holder):
            raise ValueError(
                "a token's holder is an HMAC-SHA256 in lower-case hex; make it with TokenKey.of()"
            )

    @classmethod
    def of(
        cls,
        url: str,
        app_key: str | Secret,
        username: str | Secret,
        *,
        secrets: tuple[str | Secret, str | Secret] | None = None,
    ) -> Self:
        """The key of one set of credentials at one origin.

        Of `url` (the API's root or any address under it) only scheme, host and port count, a default port written
        out or not: every product version behind one origin shares one token and one budget.

        Args:
            secrets: the app secret and the password: what the gateway asks for before it grants a token. Whoever
                names the merchant without them shares its budget, not its token. Leave it out only where nobody but
                the merchant itself can reach the cache and its backend.

        Raises:
            ConfigurationError: `url` is no http(s) address.
        """
        origin = _origin(url)
        if origin is None:
            raise ConfigurationError(
                "The gateway's address is no http or https URL with a host.", code="invalid_url"
            )
        digest = _joined_digest(origin, _plain(app_key), _plain(username))
        return cls(digest, "" if secrets is None else _holder(*secrets))

    @property
    def short(self) -> str:
        """The first 12 digits, for logs and messages."""
        return self.digest[:12]


def _origin(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return f"{parts.scheme}://{parts.hostname.rstrip('.')}:{port}"


def _holder(app_secret: str | Secret, password: str | Secret) -> str:
    return hmac.new(_plain(app_secret).encode(), _plain(password).encode(), hashlib.sha256).hexdigest()


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


@dataclass(frozen=True, slots=True)
class Token:
    """A gateway's token. `repr` shows neither token, nor its holder.

    Attributes:
        access: what goes on the wire.
        refresh: what may buy the next one, where the gateway gives it.
        issued_at: when we got it, by our clock.
        expires_at: when we stop using it by choice: the gateway's end less a margin for clocks and travel.
        version: names this very token, without telling anything of it: what `reject` compares.
        ends_at: the gateway's own end; None = `expires_at`. Between the two the token is used only if no other can
            be had: a token that ended too early is a 401 at the front door, which moves nothing.
        holder: whose secrets bought it (`TokenKey.holder`); the cache sets it. "" = nobody said.
    """

    access: Secret = field(repr=False)
    refresh: Secret | None = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    version: str
    ends_at: datetime | None = None
    holder: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        moments = (self.issued_at, self.expires_at, self.ends_at or self.expires_at)
        if any(moment.tzinfo is None for moment in moments):
            raise ValueError("a token's times are aware datetimes")
        if not self.version:
            raise ValueError("a token has a version")
        if not _HOLDER.match(self.holder):
            raise ValueError("a token's holder is an HMAC-SHA256 in lower-case hex, or empty")

    @classmethod
    def granted(
        cls,
        access: Secret,
        *,
        issued_at: datetime,
        life_s: int,
        refresh: Secret | None = None,
        skew_s: int = 300,
    ) -> Self:
        """A token fresh from the gateway; the version is computed.

        Args:
            issued_at: when the request for it was *sent*, by our clock: the gateway's count starts no earlier.
            life_s: how long the gateway says it lives, in seconds. Where a JWT tells too, the smaller of
                `expires_in` and `exp - iat`: a difference of the gateway's own times, so that no clock of ours
                that runs wrong makes every token look expired. More than a year counts as a year: such a number is
                a mistake of the gateway's, and no reason to lose the token.
            skew_s: the margin; at most a tenth of the life, so that a short-lived token is still used.

        Raises:
            ValueError: the life is not positive.
        """
        if life_s <= 0:
            raise ValueError("a token lives for a while")
        life = timedelta(seconds=min(life_s, _LONGEST_LIFE_S))
        margin = min(timedelta(seconds=skew_s), life / 10)
        ends_at = issued_at + life
        version = _joined_digest(access.reveal(), str(to_millis(issued_at)))[:32]
        return cls(access, refresh, issued_at, ends_at - margin, version, ends_at)

    @property
    def last_use(self) -> datetime:
        """The gateway's own end."""
        return self.ends_at or self.expires_at

    def is_version(self, version: str) -> bool:
        """Whether this is the very token of that version."""
        return hmac.compare_digest(self.version.encode(), version.encode())

    def is_held_by(self, key: TokenKey) -> bool:
        """Whether it was granted for the secrets that this key stands for: nobody else may use or refresh it."""
        return hmac.compare_digest(self.holder.encode(), key.holder.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantOrder:
    """What the cache tells a grant.

    Attributes:
        previous: the last token, if it is the asking holder's and carries a refresh token that was not refused yet:
            the grant may refresh it in place of a full grant. None = make a full grant.
        send_by: no first byte may leave after it (hand it to the transport): by then others stop waiting.
    """

    previous: Token | None
    send_by: SendBy


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHealth:
    """How a gateway's token and its grant budget stand: for a person who looks, never for deciding."""

    ends_at: datetime | None
    """The end of the token there is; None: there is none, or it is over or another holder's."""
    used: int | None
    """Grants that count now; None: somebody is making one at this moment."""
    limit: int
    window_s: int
    retry_after_s: int | None = None
    """Where the budget is used up: for how long."""
    failure: str | None = None
    """Where it is used up: the error code of the last grant, when that failed."""


#: One wire call that brings a Token: a grant, or a refresh of `order.previous`. Never both: each takes a slot of its
#: own, and a refresh that raises AuthenticationRejectedError or DeclinedError is followed by a grant under a second
#: slot. It ends by itself within the cache's `answer_s` after `send_by`, and raises NotSentError only if no request
#: of it was sent.
Grant = Callable[[GrantOrder], Awaitable[Token]]


class TokenBackend(Protocol):
    """Keeps one token and one grant log per `key.digest`. check_token_backend() judges it.

    The holders of one digest share both: whose token it is stands in the token, and the cache looks before it serves.
    A backend keeps `token.holder` with the token and lets the last one put or granted replace another holder's.

    Raises from every method:
        StorageError: it could not be done; nothing was sent to a gateway because of it.
    """

    @property
    def durable(self) -> bool:
        """Whether what it took survives the process."""
        ...

    async def get(self, key: TokenKey) -> Token | None:
        """The token as last put, be it expired; None when there is none or it cannot be read."""
        ...

    async def put(self, key: TokenKey, token: Token) -> None:
        """Keep this one."""
        ...

    async def drop(self, key: TokenKey, version: str) -> bool:
        """Remove the token if it is of that version, in one step; True when it was. Never touches the grant log."""
        ...

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        """Take a slot, durably before this returns, or say who has it (`GrantLog.reserve`), in one step."""
        ...

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        """Close the slot and keep the token, in one step (`GrantLog.finish`).

        A token whose grant is not the latest one is kept only where there is no other.
        """
        ...


@runtime_checkable
class ConnectedTokenBackend(Protocol):
    """A TokenBackend that holds connections of its own."""

    async def aclose(self) -> None:
        """Let go of them, after what is under way; the next use connects again. Idempotent."""
        ...


class TokenRows(Protocol):
    """What a payment store offers for tokens: one row per digest with the columns version, document, grants.

    Plain values in and out. Each method is one transaction. `document` holds secrets (the one table that may).
    """

    @property
    def durable(self) -> bool:
        """Whether rows survive the process (False: a memory store)."""
        ...

    async def token_get(self, digest: str) -> str | None:
        """The document as last put."""
        ...

    async def token_put(self, digest: str, version: str, document: str) -> None:
        """Set version and document; the grants column stays as it is."""
        ...

    async def token_drop(self, digest: str, version: str) -> bool:
        """Empty version and document if the version is this one; the grants column stays. True when it was."""
        ...

    async def grant_reserve(self, digest: str, ask: GrantAsk) -> GrantDecision:
        """`log, decision = GrantLog.from_json(row's grants or None).reserve(ask)`; save `log.to_json()` where the log
        changed; commit, as durably as a payment; answer the decision. A store that several machines share puts its
        own time into `ask` and `end` (`dataclasses.replace(ask, now=...)`)."""
        ...

    async def grant_finish(
        self, digest: str, end: GrantEnd, version: str | None, document: str | None
    ) -> None:
        """`log, latest = GrantLog.from_json(row's grants or None).finish(end)`; save `log.to_json()`; where a
        document came, set version and document if `latest` or if the row has no document. One transaction."""
        ...


class _SaysDurable(Protocol):
    @property
    def durable(self) -> bool: ...


def require_durable(backend: _SaysDurable, mode: Mode) -> None:
    """Refuse, in live mode, to keep tokens and the grant budget where a restart forgets them.

    Takes a TokenBackend, a TokenRows or a TokenCache.

    Raises:
        ConfigurationError: live mode and not durable.
    """
    if mode is Mode.LIVE and not backend.durable:
        raise ConfigurationError(
            "Live mode with gateway tokens kept in memory only: every restart would ask for a new token, and the"
            " gateway blocks a merchant who asks too often.",
            code="tokens_not_durable",
            next_step="Keep tokens in a file (FileTokenBackend) or in the payment store (StoreTokenBackend).",
        )
