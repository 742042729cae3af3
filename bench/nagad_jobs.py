"""P17: Nagad's crypto and a whole opening, beside the primitives and bare calls."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bench.blocks import interleaved

Call = Callable[[], Awaitable[Any]]

MERCHANT: Final = "680000000000001"
ORDER_ID: Final = "INV8812"
_CHALLENGE: Final = "0123456789abcdef0123"


def _reference() -> str:
    return base64.b64encode(f"0304110607000.{MERCHANT}.{ORDER_ID}.{_CHALLENGE}".encode("ascii")).decode(
        "ascii"
    )


def prepare(folder: Path) -> dict[str, str]:
    """Two fresh key pairs in the folder, and what the server answers: the same to each call."""
    from vextrus_payments.gateways.nagad.crypto import Seal

    merchant, gateway = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    private = merchant.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = gateway.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for name, raw in (("merchant_pri", private), ("gateway_pub", public)):
        (folder / name).write_text(base64.b64encode(raw).decode("ascii"), encoding="ascii")
    text = {
        "paymentReferenceId": _reference(),
        "challenge": _CHALLENGE,
        "acceptDateTime": "20260304110607",
    }
    sealed = Seal(gateway, merchant.public_key()).seal(
        json.dumps(text, separators=(",", ":")).encode("ascii")
    )
    (folder / "sealed").write_text(json.dumps(sealed._asdict()), encoding="ascii")
    page = {
        "callBackUrl": f"https://sandbox-ssl.mynagad.com/check-out/{_reference()}",
        "status": "Success",
    }
    answer = {"sensitiveData": sealed.sensitive_data, "signature": sealed.signature}
    return {"check-out/initialize": json.dumps(answer), "check-out/complete": json.dumps(page)}


def opening_at_nagad(url: str, folder: str, rounds: int) -> dict[str, Any]:
    """The contenders side by side, one task; CPU microseconds of each, and how many keys were loaded meanwhile."""
    return asyncio.run(_opening(url, Path(folder), rounds))


async def _opening(url: str, folder: Path, rounds: int) -> dict[str, Any]:
    import httpx

    from bench.log_lines import configured, observer
    from vextrus_payments.gateways.nagad import NagadConfig, NagadGateway, keys
    from vextrus_payments.money import Money
    from vextrus_payments.payment import Evidence, PaymentRequest
    from vextrus_payments.secret import Secret
    from vextrus_payments.transport import HttpxTransport

    configured()
    config = NagadConfig(
        api_url=url,
        merchant_id=MERCHANT,
        private_key=Secret((folder / "merchant_pri").read_text(encoding="ascii")),
        public_key=(folder / "gateway_pub").read_text(encoding="ascii"),
        callback_url="https://shop.example/payments/nagad/return",
    )
    transport = HttpxTransport()
    gateway = NagadGateway(config, transport=transport, observer=observer())
    loads = _count_loads(keys)
    seal = config.seal()
    own = keys.private_key(config.private_key.reveal())
    other = keys.public_key(config.public_key)
    sealed = json.loads((folder / "sealed").read_text(encoding="ascii"))
    padding, digest = PKCS1v15(), SHA256()
    text = (
        b'{"merchantId":"680000000000001","datetime":"20260304110607","orderId":"INV8812","challenge":"'
        + (b"ab" * 20 + b'"}')
    )
    block, signature = base64.b64decode(sealed["sensitive_data"]), base64.b64decode(sealed["signature"])

    def primitives(seals: int) -> None:
        for _ in range(seals):
            own.sign(text, padding, digest)
            other.encrypt(text, padding)
        other.verify(signature, own.decrypt(block, padding), padding, digest)

    async def keep(evidence: Evidence) -> None:
        return None

    async def initialize() -> None:
        await gateway.initialize_payment(
            PaymentRequest(
                operation_id="order-8812/pay",
                gateway="nagad",
                amount=Money("1250.50", "BDT"),
                merchant_reference="INV-8812",
            ),
            on_checkpoint=keep,
        )

    client = httpx.AsyncClient()
    made = seal.seal(text)
    bodies = [
        {"dateTime": "20260304110607", "sensitiveData": made.sensitive_data, "signature": made.signature},
        {
            "sensitiveData": made.sensitive_data,
            "signature": made.signature,
            "merchantCallbackURL": "https://shop.example/payments/nagad/return",
        },
    ]
    targets = [
        f"{url}/api/dfs/check-out/initialize/{MERCHANT}/{ORDER_ID}",
        f"{url}/api/dfs/check-out/complete/{_reference()}",
    ]

    async def bare() -> None:
        for target, body in zip(targets, bodies, strict=True):
            response = await client.post(target, json=body)
            if response.status_code != 200:
                raise RuntimeError("the server did not answer")
        primitives(2)

    async def seal_and_open() -> None:
        seal.seal(text)
        seal.open(sealed["sensitive_data"], sealed["signature"])

    async def primitives_of_a_seal() -> None:
        primitives(1)

    contenders: dict[str, Call] = {
        "seal": seal_and_open,
        "primitives of a seal": primitives_of_a_seal,
        "initialize": initialize,
        "bare": bare,
    }
    samples = await interleaved(contenders, rounds=rounds, calls=20)
    await client.aclose()
    await transport.aclose()
    return {"cpu": {name: one.cpu for name, one in samples.items()}, "key loads after the start": loads[0]}


def _count_loads(keys: Any) -> list[int]:
    """From now on each key that is loaded is counted."""
    loads = [0]
    for name in ("load_der_private_key", "load_der_public_key", "load_pem_public_key"):
        load = getattr(keys, name)

        def counted(*args: Any, load: Any = load, **more: Any) -> Any:
            loads[0] += 1
            return load(*args, **more)

        setattr(keys, name, counted)
    return loads
