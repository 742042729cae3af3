"""bKash's front door (dossier §3, §9): Amazon's API gateway, which knows tokens and headers and nothing of payments.

It answers with an HTTP status and a lone ``message``, and then nothing was done. One door stands before every product:
a token that one of them granted opens all the others (§5).
"""

import hmac
from collections.abc import Iterable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.products import Product
from vextrus_payments_sandbox.bkash.records import Refusal
from vextrus_payments_sandbox.bkash.tokens import (
    TOKEN_LIFE_S,
    GrantLog,
    Merchant,
    mint_id_token,
    mint_refresh_token,
    read_id_token,
    refresh_token_is_good,
)
from vextrus_payments_sandbox.bkash.watching import BkashManners
from vextrus_payments_sandbox.exchange import json_response
from vextrus_payments_sandbox.world import World

_WRONG_ROUTE: Final = (
    "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
    "Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a "
    "'X-Amz-Date' or a 'Date' header."
)


def front_door(message: str, status: int) -> Response:
    """An answer of the API gateway in front of bKash: a lone message, and nothing was done (§9)."""
    return json_response({"message": message}, status)


def unknown_route(request: Request) -> Response:
    """What bKash's host answers on a path it does not have (§9)."""
    if "authorization" in request.headers:
        return front_door(_WRONG_ROUTE, 403)
    return front_door("Missing Authentication Token", 403)


class FrontDoor:
    """Who may come in, and how a token is had."""

    def __init__(
        self, world: World, grants: GrantLog, manners: BkashManners, merchants: Iterable[Merchant]
    ) -> None:
        self._world = world
        self._grants = grants
        self._manners = manners
        self._merchants = {merchant.app_key: merchant for merchant in merchants}

    def admit(self, merchant: Merchant) -> None:
        """Know one more merchant."""
        self._merchants[merchant.app_key] = merchant

    def who_is_it(self, request: Request) -> Merchant | Response:
        """The merchant whose token this is, or what the door answers instead (§3.3)."""
        token = request.headers.get("authorization", "")
        if token[:7].lower() == "bearer ":
            token = token[7:]
        read = read_id_token(token.strip(), self._world.now())
        merchant = self._merchants.get(read[0]) if read else None
        if read is None or merchant is None:
            return front_door("Unauthorized", 401)
        if read[1]:
            return front_door("The incoming token has expired", 401)
        if not _same(request.headers.get("x-app-key", ""), merchant.app_key):
            return front_door("Forbidden", 403)
        if request.method == "GET" and "content-type" not in request.headers:
            return front_door(
                "Missing required request parameters: [Content-Type]", 400
            )  # §3.3: also on GETs
        return merchant

    def token(
        self, request: Request, kind: str, fields: Mapping[str, str] | None, product: Product
    ) -> Response:
        """Grant or refresh (§3.1, §3.2). The legacy checkout answers without a code, be it yes or no."""
        missing = [name for name in ("password", "username") if name not in request.headers]
        if missing:
            return front_door(f"Missing required request parameters: [{', '.join(missing)}]", 400)
        if fields is None:
            return front_door("Invalid request body", 400)
        merchant = self._merchants.get(fields.get("app_key", ""))
        if merchant is None or not _same(fields.get("app_secret", ""), merchant.app_secret):
            if product.is_coded:
                raise Refusal("2001")
            return _failed("Invalid app key or app secret")
        known = _same(request.headers["username"], merchant.username)
        if not _same(request.headers["password"], merchant.password) or not known:
            return _failed("Invalid username and password combination")
        if kind == "refresh":
            token = fields.get("refresh_token", "")
            if not refresh_token_is_good(token, merchant, self._world.now()):
                if product.is_coded:
                    raise Refusal("2079")
                return _failed("Invalid refresh token")
        admitted = self._grants.admit(kind, merchant)
        self._manners.granted(over_budget=self._grants.grants[-1].over_budget)
        if not admitted:
            return front_door("Too Many Requests", 429)
        answer = m.TokenAnswer(
            status_code=m.CODE_SUCCESS if product.is_coded else None,
            status_message="Successful" if product.is_coded else None,
            id_token=mint_id_token(self._world, merchant),
            token_type="Bearer",  # noqa: S106 - the name of a scheme
            expires_in=TOKEN_LIFE_S,
            refresh_token=mint_refresh_token(self._world, merchant),
        )
        return json_response(answer.to_wire())


def _failed(why: str) -> Response:
    return json_response({"status": "fail", "msg": why})


def _same(given: str, known: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), known.encode("utf-8", "surrogatepass"))
