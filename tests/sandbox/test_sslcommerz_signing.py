"""The sandbox's own signature, judged by the dossier's three vectors: one of them the vendor's own."""

import pytest

from vextrus_payments_sandbox.sslcommerz.signing import signed

REAL = {
    "amount": "10.00",
    "bank_tran_id": "200105225825DBgSoRGLvczhFjj",
    "base_fair": "0.00",
    "card_brand": "VISA",
    "card_issuer": "TRUST BANK, LTD.",
    "card_issuer_country": "Bangladesh",
    "card_issuer_country_code": "BD",
    "card_no": "418117XXXXXX6675",
    "card_type": "VISA-Dutch Bangla",
    "currency": "BDT",
    "currency_amount": "10.00",
    "currency_rate": "1.0000",
    "currency_type": "BDT",
    "risk_level": "0",
    "risk_title": "Safe",
    "status": "VALID",
    "store_amount": "9.75",
    "store_id": "test_testemi",
    "tran_date": "2020-01-05 22:58:21",
    "tran_id": "5E121A0D01F92",
    "val_id": "200105225826116qFnATY9sHIwo",
    **dict.fromkeys(("value_a", "value_b", "value_c", "value_d"), ""),
}
PAID = {
    "amount": "1250.00",
    "bank_tran_id": "261123101500Zx9Wv8Ut7Sr6",
    "base_fair": "0.00",
    "card_brand": "MOBILEBANKING",
    "card_issuer": "BKash Mobile Banking",
    "card_issuer_country": "Bangladesh",
    "card_issuer_country_code": "BD",
    "card_no": "",
    "card_sub_brand": "Classic",
    "card_type": "BKASH-BKash",
    "currency": "BDT",
    "currency_amount": "1250.00",
    "currency_rate": "1.0000",
    "currency_type": "BDT",
    "error": "",
    "risk_level": "0",
    "risk_title": "Safe",
    "status": "VALID",
    "store_amount": "1218.75",
    "store_id": "vextrustest",
    "tran_date": "2026-11-23 10:15:00",
    "tran_id": "VTX-2026-000123",
    "val_id": "261123101500aB3dE5fG7hJ9kL",
    "value_a": "inv/77 & co",
    "value_b": "ঢাকা",
    "value_c": "",
    "value_d": "",
}
FAILED = {
    **{name: "" for name in PAID if name not in ("val_id", "store_amount", "risk_level", "risk_title")},
    "amount": "1250.00",
    "bank_tran_id": "261123101800Qq1Ww2Ee3Rr4",
    "base_fair": "0.00",
    "card_sub_brand": "Classic",
    "currency": "BDT",
    "currency_amount": "1250.00",
    "currency_rate": "1.0000",
    "currency_type": "BDT",
    "error": "Do not honor",
    "status": "FAILED",
    "store_id": "vextrustest",
    "tran_date": "2026-11-23 10:18:00",
    "tran_id": "VTX-2026-000124",
}


@pytest.mark.parametrize(
    ("fields", "password", "md5", "sha256"),
    [
        pytest.param(
            REAL,
            "test_testemi@ssl",
            "d42fab70ae0bcbda5280e7baffef60b0",
            "02c0417ff467c109006382d56eedccecd68382e47245266e7b47abbb3d43976e",
            id="vendor",
        ),
        pytest.param(
            PAID,
            "vextrustest@ssl",
            "53ef5c9099563d6125b38080395cc491",
            "fb24e895eff521341a334f929d30a017cdba6094f438023d0876ef6f6095ffe6",
            id="paid",
        ),
        pytest.param(
            FAILED,
            "vextrustest@ssl",
            "39e68ae73041bbce15edb4131c03ecd9",
            "f6379e2fe4369a61d938c41a05ca11ccdf70558d630703a8170c3ac97e424ea8",
            id="failed",
        ),
    ],
)
def test_the_dossiers_vectors(fields: dict[str, str], password: str, md5: str, sha256: str) -> None:
    found = signed(fields, fields, password)
    assert (found["verify_sign"], found["verify_sign_sha2"]) == (md5, sha256)
    assert found["verify_key"] == ",".join(sorted(fields))
    assert password not in str(found)


def test_every_signed_field_counts() -> None:
    whole = signed(PAID, PAID, "vextrustest@ssl")
    for name in PAID:
        other = signed({**PAID, name: PAID[name] + "x"}, PAID, "vextrustest@ssl")
        assert other["verify_sign"] != whole["verify_sign"]
        assert other["verify_sign_sha2"] != whole["verify_sign_sha2"]
