"""Signatures: every changed bit is noticed, times are good up to the second, keys are exchanged without a gap."""

import base64
import copy
import hashlib
import hmac
import pickle
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.errors import (
    ConfigurationError,
    MalformedWebhookError,
    SignatureError,
    TimestampOutsideWindowError,
    WebhookError,
)
from vextrus_payments.secret import Secret
from vextrus_payments.signing import (
    Ed25519Key,
    HmacKey,
    Mac,
    check_window,
    is_signed,
    sign,
    signing_key,
    verify,
    verifying_key,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
BODY = bytes(range(256)) * 4  # 1 KiB
ONE, TWO, THREE = HmacKey(b"one-" * 8), HmacKey(b"two-" * 8), HmacKey(b"three" * 8)
SEED = Ed25519Key(hashlib.sha256(b"a test's own seed").digest())


def whsec(raw: bytes) -> Secret:
    return Secret("whsec_" + base64.b64encode(raw).decode())


def headers(*keys: HmacKey | Ed25519Key, body: bytes = BODY, at: datetime = NOW) -> dict[str, str]:
    return dict(sign(keys or (ONE,), message_id="ent_1", signed_at=at, body=body))


# --- the message ------------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_specification() -> None:
    """Computed here from the text of Standard Webhooks 1.0.0, "Signature scheme", and not by the code under test."""
    signed = b"ent_1." + str(int(NOW.timestamp())).encode() + b"." + BODY
    expected = base64.b64encode(hmac.new(ONE.key, signed, hashlib.sha256).digest()).decode()
    assert headers() == {
        "webhook-id": "ent_1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": f"v1,{expected}",
    }


def test_the_signature_is_that_of_the_reference_libraries() -> None:
    """The vector with which every library of standard-webhooks/standard-webhooks tests itself."""
    key = signing_key(Secret("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    at = datetime.fromtimestamp(1614265330, UTC)
    signed = dict(
        sign([key], message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", signed_at=at, body=b'{"test": 2432232314}')
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("key", [ONE, SEED], ids=["v1", "v1a"])
def test_what_is_signed_verifies(key: HmacKey | Ed25519Key) -> None:
    verifier = key.public if isinstance(key, Ed25519Key) else key
    message = verify([verifier], headers(key), BODY, now=NOW)
    assert (message.message_id, message.signed_at) == ("ent_1", NOW)


def test_every_flipped_bit_of_a_message_is_noticed() -> None:
    signed = headers()
    accepted = 0
    for position in range(8 * len(BODY)):
        changed = bytearray(BODY)
        changed[position // 8] ^= 1 << position % 8
        try:
            verify([ONE], signed, bytes(changed), now=NOW)
            accepted += 1
        except SignatureError:
            continue
    assert (accepted, 8 * len(BODY)) == (0, 8192)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_flipped_bit_of_a_header_is_noticed(name: str) -> None:
    signed = headers()
    value = signed[name].encode()
    for position in range(8 * len(value)):
        changed = bytearray(value)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(WebhookError):
            verify([ONE], {**signed, name: changed.decode("latin-1")}, BODY, now=NOW)


@given(body=st.binary(max_size=200), cut=st.integers(0, 200), more=st.binary(min_size=1, max_size=4))
def test_a_longer_or_shorter_body_is_another_one(body: bytes, cut: int, more: bytes) -> None:
    signed = headers(body=body)
    verify([ONE], signed, body, now=NOW)
    with pytest.raises(SignatureError):
        verify([ONE], signed, body + more, now=NOW)
    if body[:cut] != body:
        with pytest.raises(SignatureError):
            verify([ONE], signed, body[:cut], now=NOW)


def test_nothing_of_the_id_can_be_moved_into_the_time() -> None:
    """`a.5` signed at 7 reads like `a` signed at 5: ids with a full stop are neither signed nor believed."""
    with pytest.raises(ConfigurationError):
        sign([ONE], message_id="a.5", signed_at=NOW, body=b"")
    forged = {**headers(), "webhook-id": "a.5"}
    with pytest.raises(MalformedWebhookError):
        verify([ONE], forged, BODY, now=NOW)


# --- keys -----------------------------------------------------------------------------------------------------------


def test_any_live_key_of_either_side_is_enough() -> None:
    """Rotation: the sender signs with both, a receiver has either; or the receiver has both."""
    both = headers(ONE, TWO)
    assert len(both["webhook-signature"].split(" ")) == 2
    for keys in ([ONE], [TWO], [THREE, TWO]):
        verify(keys, both, BODY, now=NOW)
    verify([ONE, TWO], headers(TWO), BODY, now=NOW)
    verify([TWO, ONE], headers(TWO), BODY, now=NOW)  # a key that fits no signature undoes nothing
    with pytest.raises(SignatureError):
        verify([THREE], both, BODY, now=NOW)
    with pytest.raises(SignatureError):
        verify([], both, BODY, now=NOW)


def test_both_kinds_of_keys_may_be_live_at_once() -> None:
    signed = headers(ONE, SEED)
    verify([SEED.public], signed, BODY, now=NOW)
    verify([ONE], signed, BODY, now=NOW)
    other = Ed25519Key(b"x" * 32)
    with pytest.raises(SignatureError):
        verify([other.public, TWO], signed, BODY, now=NOW)
    for keys in ([other, SEED], [SEED, other]):
        verify([SEED.public], headers(*keys), BODY, now=NOW)


def test_a_signature_of_one_kind_is_none_of_the_other() -> None:
    """A public key is public: nobody may pass who makes an HMAC under it."""
    confused = headers(HmacKey(SEED.public.key))
    with pytest.raises(SignatureError):
        verify([SEED.public], confused, BODY, now=NOW)


def test_versions_of_later_days_are_left_alone() -> None:
    signed = headers()
    signed["webhook-signature"] = f"v2,!!! {signed['webhook-signature']} v1b,?"
    signed["webhook-signature"] = signed["webhook-signature"].replace("!!!", "AAAA")
    verify([ONE], signed, BODY, now=NOW)


@pytest.mark.parametrize("length", [24, 32, 64])
def test_secrets_of_24_to_64_bytes_are_keys(length: int) -> None:
    key = signing_key(whsec(b"k" * length))
    assert key == HmacKey(b"k" * length)
    assert verifying_key(whsec(b"k" * length)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec",
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        "whsec_" + base64.b64encode(b"k" * 32).decode() + "\n",
        "whsec_" + base64.b64encode(b"k" * 32).decode().rstrip("="),
        "whsec_" + "k" * 43,
        "whsec_\u0660" + "A" * 43,
        base64.b64encode(b"k" * 32).decode(),
        "whsk_" + base64.b64encode(b"k" * 31).decode(),
        "whpk_" + base64.b64encode(b"k" * 32).decode(),
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        signing_key(Secret(text))
    shown = f"{caught.value!s}{caught.value!r}{caught.value.context}"
    assert "k" * 8 not in shown and "a2tr" not in shown
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_a_secret_given_as_bare_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Secret"):
        signing_key("whsec_" + base64.b64encode(b"k" * 32).decode())  # type: ignore[arg-type]


def test_ed25519_keys_are_read_with_and_without_the_public_half() -> None:
    seed = signing_key(Secret("whsk_" + base64.b64encode(SEED.key).decode()))
    both = signing_key(Secret("whsk_" + base64.b64encode(SEED.key + SEED.public.key).decode()))
    assert seed == both == SEED
    assert verifying_key(str(SEED.public)) == SEED.public
    assert verifying_key(Secret("whsk_" + base64.b64encode(SEED.key).decode())) == SEED.public
    for wrong in ("whpk_", "whpk_AAAA", "whsec_" + base64.b64encode(b"k" * 32).decode()):
        with pytest.raises(ConfigurationError):
            verifying_key(wrong)


def test_no_key_shows_itself() -> None:
    for key in (HmacKey(b"k" * 32), Ed25519Key(b"k" * 32)):
        assert "kkkk" not in repr(key) and "kkkk" not in str(key)


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "good"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)]
)
def test_the_window_has_two_sides_and_is_exact(seconds: int, good: bool) -> None:
    signed = headers(at=NOW + timedelta(seconds=seconds))
    if good:
        assert verify([ONE], signed, BODY, now=NOW).signed_at == NOW + timedelta(seconds=seconds)
    else:
        with pytest.raises(TimestampOutsideWindowError) as caught:
            verify([ONE], signed, BODY, now=NOW)
        assert caught.value.context["age_s"] == -seconds


@given(
    age_s=st.floats(-1e6, 1e6, allow_nan=False), past_s=st.integers(0, 1000), future_s=st.integers(0, 1000)
)
def test_a_time_is_good_exactly_within_the_window(age_s: float, past_s: int, future_s: int) -> None:
    signed_at = NOW - timedelta(seconds=age_s)
    good = timedelta(seconds=-future_s) <= NOW - signed_at <= timedelta(seconds=past_s)
    try:
        check_window(signed_at, NOW, past_s=past_s, future_s=future_s)
    except TimestampOutsideWindowError:
        assert not good
    else:
        assert good


def test_an_old_message_that_is_not_signed_is_not_called_old() -> None:
    """What is not proven says nothing, about time neither."""
    with pytest.raises(SignatureError):
        verify([TWO], headers(at=NOW - timedelta(days=1)), BODY, now=NOW)


def test_a_time_beyond_every_calendar_is_outside_the_window() -> None:
    late = "999999999999"
    signed = b"ent_1." + late.encode() + b"." + BODY
    header = "v1," + base64.b64encode(hmac.digest(ONE.key, signed, "sha256")).decode()
    with pytest.raises(TimestampOutsideWindowError):
        verify(
            [ONE],
            {"webhook-id": "ent_1", "webhook-timestamp": late, "webhook-signature": header},
            BODY,
            now=NOW,
        )


# --- what is malformed ------------------------------------------------------------------------------------------------

GOOD = headers()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", ""),
        ("webhook-id", "a b"),
        ("webhook-id", "x" * 201),
        ("webhook-id", "ä"),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "1.5"),
        ("webhook-timestamp", "-5"),
        ("webhook-timestamp", "+5"),
        ("webhook-timestamp", "1_0"),
        ("webhook-timestamp", " 5"),
        ("webhook-timestamp", "\u0661\u0662"),
        ("webhook-timestamp", "9" * 13),
        ("webhook-signature", ""),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", ",AAAA"),
        ("webhook-signature", "v1,AAAA"),
        ("webhook-signature", "v1,!!!!"),
        ("webhook-signature", GOOD["webhook-signature"] + "\n"),
        ("webhook-signature", GOOD["webhook-signature"] + " "),
        ("webhook-signature", " " + GOOD["webhook-signature"]),
        ("webhook-signature", GOOD["webhook-signature"].replace(" ", "  ") + "  x"),
        ("webhook-signature", GOOD["webhook-signature"].rstrip("=")),
        ("webhook-signature", GOOD["webhook-signature"] + "="),
        ("webhook-signature", "v1a," + base64.b64encode(b"x" * 63).decode()),
        ("webhook-signature", " ".join([GOOD["webhook-signature"]] * 17)),
        ("webhook-signature", "v2," + "A" * 5000),
    ],
)
def test_what_has_not_the_form_is_malformed(name: str, value: str) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        verify([ONE], {**GOOD, name: value}, BODY, now=NOW)
    assert caught.value.__context__ is None
    quoted = re.sub(r"\W", "", value)
    assert len(quoted) < 4 or quoted not in re.sub(r"\W", "", str(caught.value)) or quoted in "AAAA"


def test_a_header_that_is_missing_or_doubled_is_malformed() -> None:
    for name in GOOD:
        with pytest.raises(MalformedWebhookError, match=name):
            verify([ONE], {n: v for n, v in GOOD.items() if n != name}, BODY, now=NOW)
        with pytest.raises(MalformedWebhookError, match=name):
            verify([ONE], {**GOOD, name.upper(): GOOD[name]}, BODY, now=NOW)
    verify([ONE], {name.title(): value for name, value in GOOD.items()}, BODY, now=NOW)


@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "other"]),
        st.text(max_size=60),
    ),
    st.binary(max_size=64),
)
def test_whatever_comes_is_one_kind_of_error(found: dict[str, str], body: bytes) -> None:
    with pytest.raises(WebhookError):
        verify([ONE, SEED.public], found, body, now=NOW)


@given(st.text(max_size=40))
def test_whatever_stands_behind_the_version_is_no_signature(text: str) -> None:
    with pytest.raises(WebhookError):
        verify([ONE], {**GOOD, "webhook-signature": f"v1,{text}"}, BODY, now=NOW)


def test_there_is_always_a_key_to_sign_with() -> None:
    with pytest.raises(ConfigurationError):
        sign([], message_id="ent_1", signed_at=NOW, body=b"")


def test_a_digest_is_compared_with_every_key() -> None:
    digest = hmac.digest(b"two", b"message", "sha512")
    one, two, three = (Mac(key, "sha512") for key in (b"one", b"two", b"three"))
    for keys in ([one, two, three], [two, one], [two]):
        assert is_signed(keys, b"message", digest)
    assert not is_signed([one, three], b"message", digest)
    assert not is_signed([Mac(b"two")], b"message", digest)
    assert not is_signed([], b"message", digest)


def test_a_mac_is_that_of_its_key_each_time_and_shows_nothing_of_it() -> None:
    mac = Mac(b"a secret of this test")
    for message in (b"", b"one", BODY, BODY * 4):
        assert mac.digest(message) == hmac.digest(b"a secret of this test", message, "sha256")
    assert "secret" not in repr(mac) + repr(vars(type(mac)))
    assert copy.deepcopy(mac).digest(BODY) == pickle.loads(pickle.dumps(mac)).digest(BODY) == mac.digest(BODY)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_window_asked_for_is_the_one_that_counts_on_both_sides(side: int) -> None:
    signed = headers()
    assert verify([ONE], signed, BODY, now=NOW + side * timedelta(seconds=900), window_s=900)
    with pytest.raises(TimestampOutsideWindowError):
        verify([ONE], signed, BODY, now=NOW + side * timedelta(seconds=61), window_s=60)


@pytest.mark.parametrize(("age_s", "side"), [(301, "old"), (-301, "early"), (2, "old")])
def test_an_error_of_the_window_tells_a_replay_from_a_clock_that_is_wrong(age_s: int, side: str) -> None:
    with pytest.raises(
        TimestampOutsideWindowError, match=f"{abs(age_s)} s too {side} to be of now"
    ) as caught:
        check_window(NOW - timedelta(seconds=age_s), NOW, past_s=1, future_s=1)
    assert caught.value.context["age_s"] == str(age_s) or caught.value.context["age_s"] == age_s


@pytest.mark.parametrize("wrong", [Secret("whsec_short"), "whpk_short"])
def test_a_wrong_key_is_a_fault_of_configuration_that_says_how_a_key_is_written(wrong: Secret | str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        verifying_key(wrong)
    assert caught.value.code == "signing_secret"
    assert caught.value.next_step and "base64" in caught.value.next_step


def test_a_bare_text_and_a_missing_key_are_faults_of_configuration() -> None:
    with pytest.raises(ConfigurationError) as bare:
        signing_key("whsec_x")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError) as none:
        sign([], message_id="ent_1", signed_at=NOW, body=b"")
    assert bare.value.code == none.value.code == "signing_secret"
    assert bare.value.next_step and "Secret(" in bare.value.next_step


def test_other_headers_stand_wherever_they_like() -> None:
    signed = headers()
    mixed = {"a": "1"} | {key: signed[key] for key in list(signed)[:1]} | {"b": "2"} | signed | {"c": "3"}
    assert verify([ONE], mixed, BODY, now=NOW).message_id == "ent_1"


def test_as_many_signatures_as_keys_can_be_exchanged_with_and_no_more() -> None:
    signed = headers()
    one = signed["webhook-signature"]
    assert verify([ONE], signed | {"webhook-signature": " ".join([one] * 16)}, BODY, now=NOW)
    with pytest.raises(MalformedWebhookError):
        verify([ONE], signed | {"webhook-signature": " ".join([one] * 17)}, BODY, now=NOW)


def test_the_header_of_signatures_may_be_four_kibibytes_and_no_more() -> None:
    signed = headers()
    one = signed["webhook-signature"]
    padded = one + " v9," + "A" * (4096 - len(one) - 4)
    assert len(padded) == 4096 and verify([ONE], signed | {"webhook-signature": padded}, BODY, now=NOW)
    with pytest.raises(MalformedWebhookError):
        verify([ONE], signed | {"webhook-signature": padded + "A"}, BODY, now=NOW)


@pytest.mark.parametrize("timestamp", ["253402300799", "253402300800", "253402300801"])
def test_the_last_second_of_the_calendar_and_the_one_after_are_outside_the_window(timestamp: str) -> None:
    message = b"ent_1." + timestamp.encode() + b"." + BODY
    signed = headers() | {"webhook-timestamp": timestamp, "webhook-signature": ONE.sign(message)}
    with pytest.raises(TimestampOutsideWindowError):
        verify([ONE], signed, BODY, now=NOW)


def test_two_seconds_off_are_old_and_not_early() -> None:
    with pytest.raises(TimestampOutsideWindowError, match="too old"):
        check_window(NOW - timedelta(seconds=1), NOW, past_s=0, future_s=0)


def test_what_strangers_put_beside_a_message_costs_few_hashes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Mac] = []
    digest = Mac.digest

    def counted(mac: Mac, message: bytes) -> bytes:
        hashed.append(mac)
        return digest(mac, message)

    monkeypatch.setattr(Mac, "digest", counted)
    wrong = " ".join(f"v1,{base64.b64encode(bytes([number] * 32)).decode()}" for number in range(16))
    keys = [HmacKey(bytes([number] * 32)) for number in range(3)]
    with pytest.raises(SignatureError):
        verify(keys, {**GOOD, "webhook-signature": wrong}, BODY, now=NOW)
    assert len(hashed) == len(set(map(id, hashed))) == len(keys)
    four = [f"v1a,{base64.b64encode(bytes([number] * 64)).decode()}" for number in range(5)]
    public = Ed25519Key(bytes(32)).public
    with pytest.raises(SignatureError):
        verify([public], {**GOOD, "webhook-signature": " ".join(four[:4])}, BODY, now=NOW)
    with pytest.raises(MalformedWebhookError):
        verify([public], {**GOOD, "webhook-signature": " ".join(four)}, BODY, now=NOW)
