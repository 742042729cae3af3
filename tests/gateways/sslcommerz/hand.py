"""An SSLCommerz of the tests' own: its answers, its signatures, its two attempts at one tran_id."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from vextrus_payments.gateways.sslcommerz.steps import Api
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import RefundCall, StatusCall
from vextrus_payments.secret import Secret
from vextrus_payments.wire import Send, WireResponse

STORE = "vextrustest"
PASSWORD = "vextrustest@ssl"
ROOT = "http://127.0.0.1:28700"
NOW = datetime(2026, 11, 23, 4, 20, 0, tzinfo=UTC)
"""10:20 in Dhaka."""
TRAN_ID = "INV-8812"
REFERENCE = "MFRGGZDFMZTWQ2LKNNWG23TPOA"
KEY = "F650E87F23DD2A8FFCB4E4E333C13B28"
VAL_ID = "261123101500aB3dE5fG7hJ9kL0"
BANK = "261123101500Zx9Wv8Ut7Sr6Qp5"
REFUND_REF = "6566AAAA1234B"
CALL = StatusCall(gateway_reference=REFERENCE, gateway_order_id=TRAN_ID, amount=Money("1250.00"))

GOLDEN = Path(__file__).parent / "golden"


def api(mode: Mode = Mode.SANDBOX, root: str = ROOT) -> Api:
    return Api(root=root, mode=mode, store_id=STORE, password=Secret(PASSWORD))


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> WireResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status, headers or {}, raw)


def opened(**changes: Any) -> WireResponse:
    known = {
        "status": "SUCCESS",
        "failedreason": "",
        "sessionkey": KEY,
        "GatewayPageURL": f"https://sandbox.sslcommerz.com/EasyCheckOut/testcde{KEY.lower()}",
        "storeLogo": "https://sandbox.sslcommerz.com/stores/logos/demoLogo.png",
    }
    return answer({**known, **changes})


def row(status: str = "VALID", **changes: Any) -> dict[str, Any]:
    """One attempt as the query and the validation show it."""
    known = {
        "status": status,
        "tran_date": "2026-11-23 10:15:00",
        "tran_id": TRAN_ID,
        "val_id": VAL_ID,
        "amount": "1250.00",
        "store_amount": "1218.75",
        "currency": "BDT",
        "bank_tran_id": BANK,
        "card_type": "BKASH-BKash",
        "card_no": "",
        "card_issuer": "BKash Mobile Banking",
        "card_brand": "MOBILEBANKING",
        "currency_type": "BDT",
        "currency_amount": "1250.00",
        "currency_rate": "1.0000",
        "base_fair": "0.00",
        "value_a": "",
        "value_b": "",
        "value_c": "",
        "value_d": REFERENCE,
        "risk_title": "Safe",
        "risk_level": "0",
    }
    return {**known, **changes}


def unpaid(status: str, **changes: Any) -> dict[str, Any]:
    """An attempt without money: no val_id, no store_amount, no risk."""
    blank = {"val_id": "", "store_amount": "", "bank_tran_id": "", "card_type": "", "card_brand": ""}
    return {**row(status), **blank, **changes}


def listed(*rows: dict[str, Any], **changes: Any) -> WireResponse:
    return answer({"APIConnect": "DONE", "no_of_trans_found": len(rows), "element": list(rows), **changes})


def validated(status: str = "VALID", **changes: Any) -> WireResponse:
    return answer({**row(status), "APIConnect": "DONE", "validated_on": "2026-11-23 10:20:00", **changes})


def unknown_tran_id() -> WireResponse:
    """No transaction, and an element all the same (§1.7)."""
    return listed(no_of_trans_found=0, element=[{"tran_id": TRAN_ID, "status": "INVALID"}])


def refund_call(**changes: Any) -> RefundCall:
    known: dict[str, Any] = {
        "operation_id": "order-8812/refund-1",
        "gateway_reference": REFERENCE,
        "transaction_id": BANK,
        "amount": Money("250.00"),
        "reason": "Returned goods",
        "sku": "INV-8812",
    }
    return RefundCall(**{**known, **changes})


def accepted(status: str | None = "success", **changes: Any) -> WireResponse:
    known = {
        "APIConnect": "DONE",
        "bank_tran_id": BANK,
        "trans_id": TRAN_ID,
        "refund_ref_id": REFUND_REF,
        "status": status,
        "errorReason": "",
    }
    return answer({**known, **changes})


def refund_is(status: str, **changes: Any) -> WireResponse:
    known = {
        "APIConnect": "DONE",
        "bank_tran_id": BANK,
        "tran_id": TRAN_ID,
        "initiated_on": "2026-11-23 10:30:00",
        "refunded_on": "0000-00-00 00:00:00",
        "status": status,
        "refund_ref_id": REFUND_REF,
        "errorReason": "",
    }
    return answer({**known, **changes})


def query_of(send: Send) -> dict[str, str]:
    """What a question asked, its query decoded."""
    return dict(parse_qsl(urlsplit(send.request.url).query, keep_blank_values=True))


# --- signatures, by another hand than the adapter's ----------------------------------------------------------------


def sign(
    fields: dict[str, str], password: str = PASSWORD, *, names: list[str] | None = None
) -> dict[str, str]:
    """The fields with verify_key and both digests, as SSLCommerz posts them."""
    names = sorted(fields) if names is None else names
    digests = {}
    for field, kind in (("verify_sign", "md5"), ("verify_sign_sha2", "sha256")):
        pieces = {name: fields[name] for name in names}
        pieces["store_passwd"] = hashlib.new(kind, password.encode()).hexdigest()
        text = "&".join(key + "=" + pieces[key] for key in sorted(pieces))
        digests[field] = hashlib.new(kind, text.encode()).hexdigest()
    return {**fields, "verify_key": ",".join(names), **digests}


def posted(fields: dict[str, str]) -> bytes:
    return urlencode(fields, encoding="utf-8").encode()


def notified(status: str = "VALID", **changes: str) -> dict[str, str]:
    """The fields of a notification, unsigned."""
    known = {name: str(value) for name, value in row(status).items()}
    known.update(
        card_sub_brand="Classic",
        card_issuer_country="Bangladesh",
        card_issuer_country_code="BD",
        error="",
        store_id=STORE,
    )
    if status != "VALID":
        for name in ("val_id", "store_amount", "risk_level", "risk_title"):
            del known[name]
        known.update(error="Do not honor" if status == "FAILED" else "", card_type="", card_brand="")
    known.update(changes)
    return known
