"""A merchant's backend that speaks Nagad's wire by hand, for the sandbox's load proof: what it sends is sealed and
signed, and what it is answered is opened and checked."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from bench.load_page import WALLETS, walk, wallet_of
from bench.loopback_client import Client, WireError

_DHAKA: Final = timezone(timedelta(hours=6))
_HEADERS: Final = {
    "Content-Type": "application/json",
    "X-KM-Api-Version": "v-0.2.0",
    "X-KM-IP-V4": "192.0.2.7",
    "X-KM-Client-Type": "PC_WEB",
}


class NagadShop:
    """It has the keys that the sandbox names."""

    def __init__(self, client: Client, facts: dict[str, str]) -> None:
        self._client = client
        self._root = urlsplit(facts["base_url"]).path + "/api/dfs"
        self._merchant = facts["merchant_id"]
        key = load_der_private_key(
            _der(facts["merchant_private_key_file"]), None, unsafe_skip_rsa_key_validation=True
        )
        gateway = load_der_public_key(_der(facts["gateway_public_key_file"]))
        assert isinstance(key, RSAPrivateKey) and isinstance(gateway, RSAPublicKey)
        self._key, self._gateway = key, gateway

    async def walked(self, number: int) -> None:
        """One payment, its page walked: with the PIN it is paid, and the look-up says so."""
        reference, page = await self._opened(number)
        back = await walk(self._client, page, wallet_of(number))
        if "status=Success" not in back:
            raise WireError("the page did not lead back with Success")
        await self._verify(reference)

    async def approved(self, number: int) -> None:
        """One payment, approved by the admin API."""
        reference, _ = await self._opened(number)
        wish = {"gateway": "nagad", "reference": reference, "wallet": wallet_of(number)}
        await self._json("POST", "/_sandbox/approve", wish)
        await self._verify(reference)

    async def _opened(self, number: int) -> tuple[str, str]:
        """Initialize and complete: the reference, and the path of the payer's page."""
        order_id, now = f"LOAD{number:08}", f"{datetime.now(UTC).astimezone(_DHAKA):%Y%m%d%H%M%S}"
        ours = {"merchantId": self._merchant, "orderId": order_id}
        sealed = self._sealed({**ours, "datetime": now, "challenge": "c" * 40})
        path = f"{self._root}/check-out/initialize/{self._merchant}/{order_id}"
        answer = await self._json(
            "POST", path, {"accountNumber": "01000000000", "dateTime": now, **sealed}, _HEADERS
        )
        told = json.loads(self._read(answer))
        reference = told["paymentReferenceId"]
        priced = {"currencyCode": "050", "amount": f"{10 + number // WALLETS % 3_000}.00"}
        inside = self._sealed({**ours, **priced, "challenge": told["challenge"]})
        path = f"{self._root}/check-out/complete/{quote(reference, safe='')}"
        back = {"merchantCallbackURL": "http://127.0.0.1:9/return"}
        page = urlsplit((await self._json("POST", path, {**inside, **back}, _HEADERS))["callBackUrl"])
        return reference, page.path + (f"?{page.query}" if page.query else "")

    async def _verify(self, reference: str) -> None:
        found = await self._json("GET", f"{self._root}/verify/payment/{quote(reference, safe='')}")
        if found.get("status") != "Success":
            raise WireError(f"verify: {found.get('status')}")

    def _sealed(self, fields: dict[str, str]) -> dict[str, str]:
        inside = json.dumps(fields, separators=(",", ":")).encode()
        return {
            "sensitiveData": base64.b64encode(self._gateway.encrypt(inside, PKCS1v15())).decode(),
            "signature": base64.b64encode(self._key.sign(inside, PKCS1v15(), SHA256())).decode(),
        }

    def _read(self, answer: dict[str, Any]) -> bytes:
        inside = self._key.decrypt(base64.b64decode(answer["sensitiveData"]), PKCS1v15())
        self._gateway.verify(base64.b64decode(answer["signature"]), inside, PKCS1v15(), SHA256())
        return inside

    async def _json(
        self,
        method: str,
        path: str,
        wish: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        sent = b"" if wish is None else json.dumps(wish).encode()
        answer = await self._client.ask(method, path, sent, headers or {"Content-Type": "application/json"})
        if answer.status != 200:
            raise WireError(f"{path.partition('?')[0][:80]} was answered with {answer.status}")
        found: dict[str, Any] = json.loads(answer.body)
        return found


def _der(file: str) -> bytes:
    return base64.b64decode(Path(file).read_text(encoding="ascii"))
