"""The signatures of what SSLCommerz posts, and what they are worth (dossier §1.5).

What is signed is `name=value` joined by `&`, sorted by name, **without escaping**; which names, the sender says himself
in `verify_key`. So one signed text can be cut in several ways: whoever has one true post, of a small payment of his
own, can post the same text cut into other fields, and the digest still fits; what is then no longer signed he fills in
as he likes. Both digests, MD5 and SHA-256, have this flaw. What is done about it here:

* `verify_key` must name at least what a post of its status always signs, each name once, and none that nobody knows;
* no signed value may contain `&name=` of a known field: so every border that was there when it was signed is still one;
* each signed value must have its field's own form (times, amounts, ids);
* only signed fields come out of here; whatever else was posted is not looked at;
* both digests are compared in constant time, and each one that is there must fit. One exception: SSLCommerz's own test
  environment makes the SHA-256 of a cancelled payment with an empty password (seen in May 2025, beside an MD5 that
  fits). Exactly that one counts as left out, for anybody could have made it: the MD5 decides.

And above all a signed post is news and no proof: what it says of money is asked for at the validation API before
anything is booked (webhook.py).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

from vextrus_payments.errors import MalformedWebhookError, SignatureError
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.manners import NAME
from vextrus_payments.secret import Secret

POST_MAX_BYTES: Final = 32_768
FIELDS_MAX: Final = 64
VALUE_MAX: Final = 1_024

AMBIGUOUS: Final = "signature_ambiguous"

_DIGESTS: Final = frozenset({m.VERIFY_KEY, m.VERIFY_SIGN, m.VERIFY_SIGN_SHA2})
SIGNABLE: Final = m.POSTED_FIELDS - _DIGESTS
"""What `verify_key` may name."""

_ID: Final = re.compile(r"[A-Za-z0-9_.-]{0,80}", re.ASCII)
_AMOUNT: Final = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,6})?)?", re.ASCII)
_CURRENCY: Final = re.compile(r"(?:[A-Z]{3})?", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", re.ASCII)
_FORMS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "tran_id": re.compile(r"[A-Za-z0-9_.-]{1,80}", re.ASCII),
        "val_id": _ID,
        "bank_tran_id": _ID,
        "store_id": re.compile(r"[A-Za-z0-9_.-]{1,30}", re.ASCII),
        "status": re.compile("|".join(m.Status), re.ASCII),
        "tran_date": _TIME,
        "amount": re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII),
        "store_amount": _AMOUNT,
        "base_fair": _AMOUNT,
        "currency": _CURRENCY,
        "currency_type": _CURRENCY,
        "currency_amount": _AMOUNT,
        "currency_rate": _AMOUNT,
        "card_no": re.compile(r"[0-9Xx* -]{0,30}", re.ASCII),
        "card_issuer_country_code": re.compile(r"[A-Za-z]{0,3}", re.ASCII),
        "risk_level": re.compile(r"[0-9]{0,2}", re.ASCII),
    }
)
"""The form of what decides; texts for people (issuers, errors, value_a..d) have none."""
_BORDER: Final = re.compile("&(?:" + "|".join(sorted(SIGNABLE | {m.STORE_PASSWORD})) + ")=", re.ASCII)
_NEEDED: Final[Mapping[str, frozenset[str]]] = {
    status.value: names for status, names in m.SIGNED_FIELDS.items()
}
_MD5: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def read_post(body: bytes) -> dict[str, str]:
    """The fields of a form as they were posted, blank ones included: a blank is signed like any other value.

    Raises:
        MalformedWebhookError: it is no form in UTF-8, too large, or has a field twice.
    """
    why, pairs = "", []
    if not body or len(body) > POST_MAX_BYTES:
        why = "it is too large" if body else "it is empty"
    else:
        try:
            pairs = parse_qsl(
                body.decode("utf-8"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=FIELDS_MAX,
            )
        except ValueError:
            why = "it is no form"
    fields = dict(pairs)
    if not why and len(fields) != len(pairs):
        why = "it has a field twice"
    if not why and any(len(value) > VALUE_MAX or "\x00" in value for value in fields.values()):
        why = "a field is too long or has a NUL in it"
    if why:
        raise MalformedWebhookError(f"The delivery is no post of SSLCommerz: {why}.", gateway=NAME)
    return fields


def verify(fields: Mapping[str, str], *, store_id: str, password: Secret) -> dict[str, str]:
    """The signed fields of a post, once they are proven to be signed with this store's password.

    Args:
        fields: as `read_post` gives them.

    Raises:
        SignatureError: it is not proven. Code "signature_ambiguous" where the digests fit, and the signed text could be
            cut otherwise; "another_store" where it is of another store with the same password.
    """
    signed = _signed(fields)
    _check_digests(fields, signed, password)
    _check_cut(signed)
    if not hmac.compare_digest(signed["store_id"].encode("utf-8"), store_id.encode("utf-8")):
        raise _refused("it is another store's", "another_store")
    return signed


def canonical(signed: Mapping[str, str], password_hash: str) -> bytes:
    """The text that is signed: sorted by name, nothing escaped, the password's digest among the fields."""
    whole = {**signed, m.STORE_PASSWORD: password_hash}
    return "&".join(f"{name}={whole[name]}" for name in sorted(whole)).encode("utf-8")


def _signed(fields: Mapping[str, str]) -> dict[str, str]:
    """What `verify_key` names, with its values."""
    names = fields.get(m.VERIFY_KEY, "").split(",")
    if len(set(names)) != len(names) or not SIGNABLE.issuperset(names):
        raise _refused("verify_key names a field twice, or one that nobody knows")
    if not fields.keys() >= set(names):
        raise _refused("verify_key names a field that was not posted")
    return {name: fields[name] for name in names}


def _check_digests(fields: Mapping[str, str], signed: Mapping[str, str], password: Secret) -> None:
    md5, sha256 = fields.get(m.VERIFY_SIGN), fields.get(m.VERIFY_SIGN_SHA2)
    if not md5 and not sha256:
        raise _refused("it is not signed")
    secret = password.reveal().encode("utf-8")
    fits = True
    if sha256 is not None and not (md5 and _made_without_password(signed, sha256)):
        fits &= _is_sha256(signed, sha256, secret)
    if md5 is not None:
        # MD5 is SSLCommerz's choice; a forger who has no password cannot make use of its collisions here.
        key = hashlib.md5(secret, usedforsecurity=False).hexdigest()
        digest = hashlib.md5(canonical(signed, key), usedforsecurity=False).hexdigest()
        fits &= bool(_MD5.fullmatch(md5)) and hmac.compare_digest(digest, md5)
    if not fits:
        raise _refused("its signature does not fit")


def _is_sha256(signed: Mapping[str, str], sha256: str, secret: bytes) -> bool:
    digest = hashlib.sha256(canonical(signed, hashlib.sha256(secret).hexdigest())).hexdigest()
    return bool(_SHA256.fullmatch(sha256)) and hmac.compare_digest(digest, sha256)


def _made_without_password(signed: Mapping[str, str], sha256: str) -> bool:
    """Whether it is what the test environment sends for a cancelled payment: proof of nothing."""
    return signed.get("status") == m.Status.CANCELLED and _is_sha256(signed, sha256, b"")


def _check_cut(signed: Mapping[str, str]) -> None:
    """The signature fits: can the signed text have been cut otherwise when it was signed?"""
    needed = _NEEDED.get(signed.get("status", ""))
    if needed is None:
        raise _refused("its status is none that is notified", AMBIGUOUS)
    if not needed <= signed.keys():
        raise _refused("verify_key leaves out what this status always signs", AMBIGUOUS)
    for name, value in signed.items():
        if _BORDER.search(value):
            raise _refused(f"the value of {name} holds another field", AMBIGUOUS)
        form = _FORMS.get(name)
        if form is not None and not form.fullmatch(value):
            raise _refused(f"{name} has not the form of its field", AMBIGUOUS)


def _refused(why: str, code: str | None = None) -> SignatureError:
    return SignatureError(f"The post does not prove that SSLCommerz sent it: {why}.", code=code, gateway=NAME)
