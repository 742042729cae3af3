"""Grant and refresh: what travels, what is believed of a token's life, what a refusal is."""

import base64
import json
from typing import Any

import pytest

from tests.gateways.bkash.hand import API, answer, code, golden, play
from vextrus_payments.errors import (
    AnswerTimeoutError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    GatewayError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash.access import Credentials, grant_token, refresh_token
from vextrus_payments.secret import Secret
from vextrus_payments.wire import Safety

CREDENTIALS = Credentials(
    app_key=Secret("canary-app-key"),
    app_secret=Secret("canary-app-secret"),
    username=Secret("canary-username"),
    password=Secret("p<*@^ canary-password"),
)


def jwt(claims: Any) -> str:
    def part(value: Any) -> str:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part(claims)}.{part(b'signature')}"


def granted(**changes: Any) -> Any:
    return play(grant_token(API, CREDENTIALS), golden("grant", **changes))


def test_a_grant_carries_the_credentials_as_they_are() -> None:
    played = granted()
    send = played.sends[0]
    assert dict(send.request.headers) == {
        "username": "canary-username",
        "password": "p<*@^ canary-password",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    assert played.bodies == [{"app_key": "canary-app-key", "app_secret": "canary-app-secret"}]
    assert (send.safety, send.authorized) == (Safety.DISPOSABLE, False)
    assert "canary" not in repr(send) + repr(CREDENTIALS) + repr(played.result)
    assert played.result.access.reveal() == "eyJraWQ..."


def test_a_refresh_carries_the_refresh_token_too() -> None:
    played = play(refresh_token(API, CREDENTIALS, Secret("canary-refresh")), golden("grant"))
    assert played.paths == ["/v1.2.0-beta/tokenized/checkout/token/refresh"]
    assert played.bodies[0]["refresh_token"] == "canary-refresh"
    assert not played.sends[0].authorized
    assert "canary" not in repr(played.sends[0])


@pytest.mark.parametrize(
    ("expires_in", "token", "life_s"),
    [
        (3600, "opaque", 3600),
        ("3600", "opaque", 3600),
        (None, "opaque", 3600),
        ("soon", "opaque", 3600),
        (3600, jwt({"iat": 1000, "exp": 2000}), 1000),
        (600, jwt({"iat": 1000, "exp": 4600}), 600),
        (None, jwt({"iat": 1000, "exp": 2800}), 1800),
        (3600, jwt({"exp": 2000}), 3600),
        (3600, jwt({"iat": "1000", "exp": 2000}), 3600),
        (3600, jwt({"iat": 1000.5, "exp": 2000}), 3600),
        (3600, jwt({"iat": True, "exp": 2000}), 3600),
        (3600, jwt([1]), 3600),
        (3600, jwt(b"\xff\xfe"), 3600),
        (3600, jwt(b'{"iat":' * 800), 3600),
        (3600, "a.!!!.c", 3600),
        (3600, "a.b", 3600),
        # A number beyond any date is a day, never an OverflowError that costs a grant.
        (None, jwt({"iat": 0, "exp": 10**12}), 86_400),
        (None, jwt({"iat": 0, "exp": 10**300}), 86_400),
        (3600, jwt({"iat": 0, "exp": 10**14}), 3600),
    ],
)
def test_the_shorter_life_is_believed(expires_in: Any, token: str, life_s: int) -> None:
    assert granted(expires_in=expires_in, id_token=token).result.life_s == life_s


@pytest.mark.parametrize(
    "changes",
    [
        {"id_token": "a\r\nX-Evil: 1"},
        {"id_token": "a b"},
        {"id_token": "é"},
        {"id_token": "x" * 20_000},
        {"expires_in": 0},
        {"id_token": jwt({"iat": 2000, "exp": 1000})},
        {"id_token": None},
        {"id_token": ["a"]},
    ],
)
def test_a_token_that_no_header_can_carry_is_no_token(changes: dict[str, Any]) -> None:
    error = granted(**changes).raised
    assert isinstance(error, UnreadableAnswerError)
    assert error.effect is Effect.NONE


def test_a_refresh_token_that_is_no_use_is_left_out() -> None:
    assert granted(refresh_token="a b").result.refresh is None
    assert granted(refresh_token=None).result.refresh is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (golden("grant_failed_msg"), AuthenticationRejectedError),
        (golden("grant_2001"), AuthenticationRejectedError),
        (code("2079"), AuthenticationRejectedError),
        (code("2065"), AuthenticationRejectedError),
        (golden("gateway_unauthorized"), AuthenticationRejectedError),
        (golden("gateway_forbidden"), GatewayBlockedError),
        (golden("grant_9999"), GatewayError),
        (code("503"), GatewayError),
        (golden("grant_header_missing"), GatewayError),
        (code("1111"), UnreadableAnswerError),
        (answer(b"<html>", 502), UnreadableAnswerError),
        (AnswerTimeoutError, AnswerTimeoutError),
    ],
)
def test_a_refused_grant_is_never_a_declined_payment(body: Any, kind: type[GatewayError]) -> None:
    error = play(grant_token(API, CREDENTIALS), body).raised
    assert type(error) is kind
    assert not isinstance(error, DeclinedError)
    assert error.effect is not Effect.UNKNOWN, "a grant moves no money"
    assert "canary" not in str(error) + repr(error) + str(vars(error))


def test_9999_names_the_usual_cause() -> None:
    error = play(grant_token(API, CREDENTIALS), golden("grant_9999")).raised
    assert "BKASH_API_URL" in str(error)
