"""Keeps one merchant's token: where it comes from, the headers made of it, and the budget it stands under."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.gateways.bkash.access import Credentials, Granted, grant_token, refresh_token
from vextrus_payments.gateways.bkash.config import AuthScheme, BkashConfig
from vextrus_payments.gateways.bkash.manners import GRANT_BUDGET, NAME
from vextrus_payments.gateways.bkash.steps import JSON_HEADERS, Api
from vextrus_payments.gateways.front_door import Authorization
from vextrus_payments.ids import Entropy
from vextrus_payments.observe import Observer
from vextrus_payments.token_port import GrantOrder, Token, TokenHealth, TokenKey, require_durable
from vextrus_payments.wire import CallContext, WireCall

if TYPE_CHECKING:
    from vextrus_payments.tokens.cache import TokenCache

#: Runs a grant's generator over the wire.
Drive = Callable[[WireCall[Granted], CallContext], Awaitable[Granted]]


class TokenKeeper:
    """The token of one merchant at one origin, out of the shared cache.

    Args:
        cache: the token cache that all gateways of the process share; not closed here. None: one of our own, in
            memory, which live mode refuses.

    Raises:
        ConfigurationError: live mode without durable tokens, or a cache that waits shorter than a grant may take.
    """

    def __init__(
        self,
        config: BkashConfig,
        api: Api,
        drive: Drive,
        *,
        cache: "TokenCache | None",
        clock: Clock,
        sleeper: Sleeper,
        entropy: Entropy,
        observer: Observer,
    ) -> None:
        self._config = config
        self._api = api
        self._drive = drive
        self._clock = clock
        self._key = TokenKey.of(
            config.api_url,
            config.app_key,
            config.username,
            secrets=(config.app_secret, config.password),
        )
        self._credentials = Credentials(
            app_key=config.app_key,
            app_secret=config.app_secret,
            username=config.username,
            password=config.password,
        )
        self._authorization: Authorization | None = None
        self._owns_cache = cache is None
        if cache is not None:
            self._cache = _checked(cache, config)
        else:
            self._cache = _own_cache(config, clock, sleeper, entropy, observer)

    @property
    def current(self) -> Authorization | None:
        """The headers last handed out, while their token was not rejected."""
        return self._authorization

    async def authorize(self) -> Authorization:
        """The headers of a good token, made once per token (§3.3).

        Raises: what TokenCache.token raises.
        """
        token = await self._cache.token(self._key, self._grant, budget=GRANT_BUDGET)
        known = self._authorization
        if known is not None and token.is_version(known.version):
            return known
        scheme = "Bearer " if self._config.auth_scheme is AuthScheme.BEARER else ""
        made = Authorization(
            headers=(
                ("Authorization", scheme + token.access.reveal()),
                ("X-App-Key", self._config.app_key.reveal()),
                *JSON_HEADERS,
            ),
            version=token.version,
        )
        self._authorization = made
        return made

    async def reject(self, authorization: Authorization) -> None:
        """Drop this very token; a newer one stays."""
        if self._authorization is authorization:
            self._authorization = None
        await self._cache.reject(self._key, authorization.version)

    async def health(self) -> TokenHealth:
        """How token and budget stand.

        Raises:
            StorageError: they are kept where nothing can be read now.
        """
        return await self._cache.health(self._key, budget=GRANT_BUDGET)

    async def aclose(self) -> None:
        """Close the cache, if it is ours."""
        if self._owns_cache:
            await self._cache.aclose()

    async def _grant(self, order: GrantOrder) -> Token:
        """One wire call that brings a token; the cache sees to it that it is made once, within the budget."""
        use_refresh = self._config.use_refresh
        refresh = order.previous.refresh if use_refresh and order.previous is not None else None
        wire_call = (
            grant_token(self._api, self._credentials)
            if refresh is None
            else refresh_token(self._api, self._credentials, refresh)
        )
        issued_at = self._clock.now()
        granted = await self._drive(wire_call, CallContext(send_by=order.send_by))
        return Token.granted(
            granted.access,
            issued_at=issued_at,
            life_s=granted.life_s,
            refresh=granted.refresh if use_refresh else None,  # what is not used is not kept
        )


def _checked(cache: "TokenCache", config: BkashConfig) -> "TokenCache":
    require_durable(cache, config.mode)
    if cache.answer_s < config.timeout_s:
        raise ConfigurationError(
            f"A token grant may take timeout_s={config.timeout_s:g} s, but the token cache waits only"
            f" answer_s={cache.answer_s:g} s for it.",
            code="answer_s_too_short",
            next_step="Lower timeout_s, or give the token cache a longer answer_s.",
            gateway=NAME,
        )
    return cache


def _own_cache(
    config: BkashConfig, clock: Clock, sleeper: Sleeper, entropy: Entropy, observer: Observer
) -> "TokenCache":
    from vextrus_payments.tokens.cache import TokenCache
    from vextrus_payments.tokens.memory import MemoryTokenBackend

    backend = MemoryTokenBackend()
    require_durable(backend, config.mode)
    return TokenCache(
        backend,
        clock=clock,
        sleeper=sleeper,
        entropy=entropy,
        observer=observer,
        budget=GRANT_BUDGET,
        answer_s=config.timeout_s,
        lease_s=max(90.0, config.timeout_s + 30.0),
    )
