"""bKash's tokens as sans-IO generators: grant and refresh (dossier §3). A token of either version serves both (§5)."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Final

from vextrus_payments.errors import GatewayError
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.calls import GRANT, REFRESH
from vextrus_payments.gateways.bkash.envelope import Call, error_of
from vextrus_payments.gateways.bkash.steps import JSON_HEADERS, Api, ask
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.secret import Secret
from vextrus_payments.wire import WireCall

_TOKEN: Final = re.compile(r"[!-~]{1,16384}", re.ASCII)
_TOKEN_LIFE_S: Final = 3600
_LONGEST_LIFE_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A merchant's four values. User name and password travel as headers, the other two in the body (§3.1)."""

    app_key: Secret
    app_secret: Secret
    username: Secret
    password: Secret

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What a grant carries in place of a token: values as they are, never URL-encoded, never trimmed (§2)."""
        return (
            ("username", self.username.reveal()),
            ("password", self.password.reveal()),
            *JSON_HEADERS,
        )


@dataclass(frozen=True, slots=True)
class Granted:
    """A token as bKash gave it; `life_s` is the smaller of `expires_in` and the JWT's own `exp - iat`."""

    access: Secret
    refresh: Secret | None
    life_s: int


def grant_token(api: Api, credentials: Credentials) -> WireCall[Granted]:
    """Grant a token (§3.1). At most two an hour, refreshes included, or bKash blocks for an hour (§1.4).

    Raises:
        AuthenticationRejectedError: bKash does not take the credentials.
        GatewayError: no token, and no money moved either way.
    """
    body = m.GrantBody(app_key=credentials.app_key.reveal(), app_secret=credentials.app_secret.reveal())
    answer = yield from ask(
        GRANT, api.url(api.dialect.grant_path), body, headers=credentials.headers(), authorized=False
    )
    return _granted(GRANT, answer)


def refresh_token(api: Api, credentials: Credentials, refresh: Secret) -> WireCall[Granted]:
    """Refresh a token (§3.2); counts as a grant. Raises as `grant_token`."""
    body = m.RefreshBody(
        app_key=credentials.app_key.reveal(),
        app_secret=credentials.app_secret.reveal(),
        refresh_token=refresh.reveal(),
    )
    answer = yield from ask(
        REFRESH, api.url(api.dialect.refresh_path), body, headers=credentials.headers(), authorized=False
    )
    return _granted(REFRESH, answer)


def _granted(call: Call[m.TokenAnswer], answer: m.TokenAnswer | GatewayError) -> Granted:
    if isinstance(answer, GatewayError):
        raise answer
    token, refresh = answer.id_token or "", answer.refresh_token
    lives = [life for life in (answer.expires_in, _jwt_life_s(token)) if life is not None]
    life_s = min(lives, default=_TOKEN_LIFE_S)
    if not _TOKEN.fullmatch(token) or life_s <= 0:
        raise error_of(call, Unreadable("its token is no usable token", 200), step=call.operation.value)
    if refresh is not None and not _TOKEN.fullmatch(refresh):
        refresh = None  # optional: without it there is simply a full grant next time
    return Granted(Secret(token), None if refresh is None else Secret(refresh), life_s)


def _jwt_life_s(token: str) -> int | None:
    """How long the token itself says it lives (§1.11), a day at the most.

    Unverified: it only ever shortens what bKash says, and where bKash says nothing no number in it is too large.
    """
    parts = token.split(".")
    if len(parts) != 3 or len(parts[1]) > 8000:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    issued, ends = claims.get("iat"), claims.get("exp")
    if type(issued) is not int or type(ends) is not int:
        return None
    return min(ends - issued, _LONGEST_LIFE_S)
