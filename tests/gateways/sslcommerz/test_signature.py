"""The signatures: the vectors, every mutation, and the attack that published clients let through (dossier §1.5)."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateways.sslcommerz.hand import PASSWORD, REFERENCE, STORE, golden, notified, posted, sign
from vextrus_payments.errors import MalformedWebhookError, SignatureError
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.signature import (
    AMBIGUOUS,
    FIELDS_MAX,
    POST_MAX_BYTES,
    canonical,
    read_post,
    verify,
)
from vextrus_payments.secret import Secret

VECTORS = golden("signatures.json")["vectors"]
DIGESTS = ("verify_sign", "verify_sign_sha2")
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"][:8])


def post_of(vector: dict[str, Any]) -> dict[str, str]:
    fields = dict(vector["fields"])
    return {
        **fields,
        "verify_key": ",".join(fields),
        "verify_sign": vector["verify_sign"],
        "verify_sign_sha2": vector["verify_sign_sha2"],
    }


def check(fields: dict[str, str], password: str = PASSWORD, store_id: str = STORE) -> dict[str, str]:
    """As the gateway does: over the bytes that were posted."""
    return verify(read_post(posted(fields)), store_id=store_id, password=Secret(password))


def refusal(fields: dict[str, str], **more: str) -> SignatureError:
    with pytest.raises(SignatureError) as caught:
        check(fields, **more)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    return caught.value


@each_vector
def test_every_vector_is_proven_by_both_digests_and_by_each(vector: dict[str, Any]) -> None:
    whole, store = post_of(vector), vector["fields"]["store_id"]
    assert check(whole, vector["password"], store) == vector["fields"]
    for digest in ("verify_sign", "verify_sign_sha2"):
        alone = {name: value for name, value in whole.items() if name != digest}
        assert check(alone, vector["password"], store) == vector["fields"]


@each_vector
def test_the_signed_text_is_the_dossiers(vector: dict[str, Any]) -> None:
    key = hashlib.md5(vector["password"].encode()).hexdigest()
    assert hashlib.md5(canonical(vector["fields"], key)).hexdigest() == vector["verify_sign"]


@each_vector
def test_a_change_of_any_field_is_refused(vector: dict[str, Any]) -> None:
    whole, store = post_of(vector), vector["fields"]["store_id"]
    for name, value in whole.items():
        for other in (value + "1", "1" + value, value[:-1] if value else "x", value.swapcase() + " "):
            refusal({**whole, name: other}, password=vector["password"], store_id=store)
        without = {key: kept for key, kept in whole.items() if key != name}
        if name not in DIGESTS:
            refusal(without, password=vector["password"], store_id=store)


def test_blank_fields_are_signed_too() -> None:
    """A reader that drops them makes another digest of the same notification (§1.5, §1.11)."""
    vector = VECTORS[1]
    kept = {name: value for name, value in vector["fields"].items() if value}
    key = hashlib.md5(vector["password"].encode()).hexdigest()
    assert hashlib.md5(canonical(kept, key)).hexdigest() == vector["verify_sign_without_blanks"]
    assert read_post(b"a=&b=1") == {"a": "", "b": "1"}


def test_another_password_store_or_no_signature_at_all() -> None:
    whole = sign(notified())
    assert check(whole)["tran_id"] == "INV-8812"
    assert refusal(whole, password="vextrustest@sss").code == "signature"
    assert refusal(whole, store_id="another").code == "another_store"
    unsigned = {name: value for name, value in whole.items() if not name.startswith("verify_sign")}
    assert "not signed" in refusal(unsigned).what
    assert "not signed" in refusal({**unsigned, "verify_sign": ""}).what


@each_vector
def test_each_digest_that_is_there_must_fit_and_one_alone_proves_a_post(vector: dict[str, Any]) -> None:
    whole, store = post_of(vector), vector["fields"]["store_id"]
    for name in DIGESTS:
        alone = {
            kept: value for kept, value in whole.items() if kept in (*vector["fields"], "verify_key", name)
        }
        assert check(alone, vector["password"], store) == vector["fields"]
        for other in (
            "",
            "0" * len(whole[name]),
            whole[name].upper(),
            whole[name][:-1],
            "ঢ" * len(whole[name]),
        ):
            refusal({**whole, name: other}, password=vector["password"], store_id=store)
            refusal({**alone, name: other}, password=vector["password"], store_id=store)


def test_a_cancelled_post_of_the_test_environment_is_proven_by_its_md5_alone() -> None:
    """Its SHA-256 is made with an empty password: it proves nothing, and anybody can make it."""
    fields = notified("CANCELLED", error="Cancelled by User", bank_tran_id="")
    fields = {name: value for name, value in fields.items() if not name.startswith("card_")}
    without_password = sign(fields, "")
    seen = {**sign(fields), "verify_sign_sha2": without_password["verify_sign_sha2"]}
    assert seen["verify_sign_sha2"] != sign(fields)["verify_sign_sha2"]
    assert check(seen)["status"] == "CANCELLED"
    refusal({name: value for name, value in seen.items() if name != "verify_sign"})
    refusal({**seen, "verify_sign": without_password["verify_sign"]})
    refusal({**seen, "verify_sign": ""})
    refusal({**seen, "verify_sign_sha2": "0" * 64})
    refusal({**seen, "error": "Cancelled by somebody"})
    for status in ("VALID", "FAILED"):
        paid = sign(notified(status))
        refusal({**paid, "verify_sign_sha2": sign(notified(status), "")["verify_sign_sha2"]})


def test_what_is_posted_beside_the_signed_fields_is_not_looked_at() -> None:
    whole = sign(notified())
    signed = check({**whole, "cus_fax": "", "subscription_id": "9"})
    assert "subscription_id" not in signed and "verify_sign" not in signed
    fields = notified()
    names = sorted(set(fields) - {"value_a"})
    assert "value_a" not in check(sign({**fields, "value_a": "forged"}, names=names))


@pytest.mark.parametrize(
    "name", ["tran_id", "amount", "status", "store_id", "val_id", "bank_tran_id", "currency"]
)
def test_verify_key_must_name_what_its_status_always_signs(name: str) -> None:
    fields = notified()
    error = refusal(sign(fields, names=sorted(set(fields) - {name})))
    assert error.code == AMBIGUOUS


def test_verify_key_names_nothing_twice_and_nothing_unknown() -> None:
    fields = notified()
    names = sorted(fields)
    refusal({**sign(fields), "verify_key": ",".join([*names, "amount"])})
    refusal(sign({**fields, "zz_rest": "1"}))
    refusal(sign(fields, names=[*names, "amount"]))
    refusal({**sign(fields), "verify_key": ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tran_date", "2026-11-23"),
        ("tran_date", "2026-11-23 10:15:00&value_a=x"),
        ("amount", "1,250.00"),
        ("amount", "1e3"),
        ("store_amount", "9.75 "),
        ("tran_id", "INV 8812"),
        ("val_id", "a b"),
        ("currency", "bdt"),
        ("risk_level", "low"),
        ("status", "PAID"),
        ("status", "PENDING"),
        ("value_a", "note&tran_id=INV-9"),
        ("value_b", "x&store_passwd=0"),
        ("card_issuer", "Bank&amount=1.00"),
    ],
)
def test_a_value_that_could_be_cut_otherwise_is_refused_though_it_is_signed(name: str, value: str) -> None:
    error = refusal(sign(notified(**{name: value})))
    assert error.code == AMBIGUOUS


def test_an_ampersand_alone_is_no_border() -> None:
    assert check(sign(notified(value_a="inv/77 & co", value_b="a=b&c=d")))["value_b"] == "a=b&c=d"


# --- the attack (§1.5) ------------------------------------------------------------------------------------------------


def as_published_clients_check(fields: dict[str, str], password: str) -> bool:
    """The check of two clients on PyPI, after the dossier's description: the sender says what is signed.

    sslcommerz-lib 1.0 and sslcommerz-sdk 1.0.4 were given the two posts of `attack`, too: each takes both.
    """
    pieces = {name: fields[name] for name in fields["verify_key"].split(",")}
    pieces["store_passwd"] = hashlib.md5(password.encode()).hexdigest()
    text = "&".join(f"{name}={pieces[name]}" for name in sorted(pieces))
    return hmac.compare_digest(hashlib.md5(text.encode()).hexdigest(), fields["verify_sign"])


def attack() -> tuple[dict[str, str], dict[str, str]]:
    """(what SSLCommerz signed for ORDER-A, the same signed text cut so that it speaks of ORDER-B).

    The payer of ORDER-A wrote the note in value_a himself.
    """
    true = sign(notified(tran_id="ORDER-A", val_id="VAL-A", value_a="note&tran_id=ORDER-B&val_id=VAL-A"))
    forged = {name: value for name, value in true.items() if name != "value_a"}
    forged["tran_date"] = f"{true['tran_date']}&tran_id=ORDER-A&val_id=VAL-A&value_a=note"
    forged["tran_id"] = "ORDER-B"
    forged["verify_key"] = ",".join(n for n in true["verify_key"].split(",") if n != "value_a")
    return true, forged


def test_the_attack_is_accepted_as_published_clients_check_and_refused_here() -> None:
    true, forged = attack()
    assert as_published_clients_check(true, PASSWORD) and as_published_clients_check(forged, PASSWORD)
    assert forged["tran_id"] == "ORDER-B" and forged["verify_sign"] == true["verify_sign"]
    error = refusal(forged)
    assert error.code == AMBIGUOUS and "tran_date" in error.what
    # And what it is made of is refused before it is signed: the note itself, as posted for ORDER-A.
    assert refusal(true).code == AMBIGUOUS


def test_the_attack_fails_by_sha256_too() -> None:
    true, forged = attack()
    for fields in (true, forged):
        del fields["verify_sign"]
    assert canonical(cut(forged), "k") == canonical(cut(true), "k")
    assert refusal(forged).code == AMBIGUOUS


def swallowed_by_names(true: dict[str, str], **altered: str) -> dict[str, str]:
    """The whole signed text in two fields whose *names* end just before its last values: every other is free."""
    names = sorted(true["verify_key"].split(","))
    pieces = {}
    for part in ([n for n in names if n < "store_passwd"], [n for n in names if n > "store_passwd"]):
        name, _, value = "&".join(f"{one}={true[one]}" for one in part).rpartition("=")
        pieces[name] = value
    return {**true, **altered, **pieces, "verify_key": ",".join(pieces)}


def swallowed_by_neighbors(true: dict[str, str], **altered: str) -> dict[str, str]:
    """Each altered field stands, as it was signed, at the end of the value before it, and is signed no more."""
    kept: list[str] = []
    values = dict(true)
    for name in sorted(true["verify_key"].split(",")):
        if name in altered:
            values[kept[-1]] += f"&{name}={true[name]}"
        else:
            kept.append(name)
    return {**values, **altered, "verify_key": ",".join(kept)}


@pytest.mark.parametrize("swallowed", [swallowed_by_names, swallowed_by_neighbors])
@pytest.mark.parametrize(
    "altered",
    [
        {"tran_id": "ORDER-B"},
        {"value_d": "another-session"},
        {"currency_amount": "50000.00"},
        {"status": "VALID", "risk_level": "0"},
        {"tran_id": "ORDER-B", "value_d": "another-session", "currency_amount": "50000.00"},
    ],
    ids=lambda altered: "+".join(altered),
)
@pytest.mark.parametrize("left_out", [None, *DIGESTS])
def test_one_true_post_forges_every_other_for_published_clients_and_none_here(
    swallowed: Any, altered: dict[str, str], left_out: str | None
) -> None:
    """Nobody has to write into a field for this: one small payment, and its own post cut anew.

    Run against a post of the sandbox, sslcommerz-sdk 1.0.4 settled an order of 50,000 taka with a payment of 10:
    it reads fields that are not signed, and of the validation nothing but the status.
    """
    true = sign(notified(card_issuer="DBBL Mobile Banking", value_b="", value_c=""))
    forged = swallowed(true, **altered)
    assert as_published_clients_check(forged, PASSWORD)
    assert {name: forged[name] for name in altered} == altered
    assert check(true)["tran_id"] == true["tran_id"] == "INV-8812"
    error = refusal({name: value for name, value in forged.items() if name != left_out})
    assert "No money moved" in str(error)


def cut(fields: dict[str, str]) -> dict[str, str]:
    return {name: fields[name] for name in fields["verify_key"].split(",")}


FREE = st.sampled_from(["note", "&", "=", "tran_id", "amount", "ORDER-B", "value_b", "error", "1.00", " "])


@settings(max_examples=150, deadline=None)
@given(
    note=st.lists(FREE, max_size=8).map("".join), left_out=st.sampled_from(["value_a", "error", "card_no"])
)
def test_whatever_is_proven_says_of_what_decides_what_was_signed(note: str, left_out: str) -> None:
    """The same signed text, cut in every way at its own borders: none that is taken says anything else."""
    true = sign(notified(value_a=note))
    text = canonical(cut(true), "k").decode()
    pieces = text.split("&")
    names = [piece.partition("=")[0] for piece in pieces]
    again = {name: piece.partition("=")[2] for name, piece in zip(names, pieces, strict=True)}
    again.pop("store_passwd", None)
    forged = {**true, **again}
    forged["verify_key"] = ",".join(name for name in again if name != left_out)
    try:
        signed = check(forged)
    except (SignatureError, MalformedWebhookError):
        return
    for name in m.SIGNED_FIELDS[m.Status.VALID]:
        assert signed[name] == true[name]
    assert signed["value_d"] == REFERENCE


# --- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"amount",
        b"amount=1&amount=2",
        b"amount=1&amount=1",
        b"amount=%ff",
        b"amount=\xff",
        b"a=%00",
        b"{}",
        b"a=" + b"x" * 2_000,
        b"a=" + b"x" * POST_MAX_BYTES,
        b"&".join(b"f%d=1" % n for n in range(FIELDS_MAX + 1)),
    ],
)
def test_what_is_no_form_is_malformed_and_quoted_nowhere(body: bytes) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        read_post(body)
    assert caught.value.__context__ is None
    assert "amount" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_bring_anything_but_a_refusal(body: bytes) -> None:
    with pytest.raises((MalformedWebhookError, SignatureError)):
        verify(read_post(body), store_id=STORE, password=Secret(PASSWORD))
