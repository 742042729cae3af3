"""Every scanner of the canary is seen to bite once, and to keep still where nothing leaked."""

import base64
import json
import logging
import sqlite3
import traceback
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from vextrus_payments.errors import GatewayError
from vextrus_payments.secret import Secret
from vextrus_payments.testing import CanaryLeakError, SecretCanary


@pytest.fixture
def canary() -> SecretCanary:
    made = SecretCanary()
    made.plant("app_secret")
    return made


@pytest.fixture
def secret(canary: SecretCanary) -> str:
    return canary.plant("app_secret")


def test_a_seed_makes_the_same_secret_and_another_seed_another() -> None:
    assert SecretCanary().plant("a") == SecretCanary().plant("a")
    assert SecretCanary("1").plant("a") != SecretCanary("2").plant("a")
    assert SecretCanary().plant("a") != SecretCanary().plant("b")
    assert SecretCanary().secret("a").reveal() == SecretCanary().plant("a")


@pytest.mark.parametrize(
    ("form", "leak"),
    [
        ("plain", lambda s: f"token {s} sent"),
        ("plain", lambda s: s.lower()),
        ("plain", lambda s: s[:16] + "..."),
        ("plain", lambda s: "..." + s[-16:]),
        ("reversed", lambda s: s[::-1]),
        ("hex", lambda s: s.encode().hex().upper()),
        ("percent-encoded throughout", lambda s: "".join(f"%{b:02X}" for b in s.encode())),
        ("JSON-escaped throughout", lambda s: "".join(f"\\u{ord(c):04x}" for c in s)),
        ("base64", lambda s: base64.b64encode(s.encode()).decode()),
        ("base64", lambda s: base64.b64encode(f"u:{s}".encode()).decode()),
        ("base64", lambda s: base64.b64encode(f"user:{s}:more".encode()).decode()),
        ("base64", lambda s: base64.urlsafe_b64encode(f"abc{s}".encode()).decode()),
    ],
)
def test_every_form_in_text(canary: SecretCanary, secret: str, form: str, leak: "object") -> None:
    assert callable(leak)
    assert form in {hit.form for hit in canary.in_text(leak(secret))}


@pytest.mark.parametrize("shift", range(6))
def test_base64_is_found_at_every_alignment(canary: SecretCanary, secret: str, shift: int) -> None:
    text = base64.b64encode(b"x" * shift + secret.encode() + b"y" * shift).decode()
    assert canary.in_text(text)


def test_a_value_of_ones_own_with_special_characters() -> None:
    canary = SecretCanary()
    value = canary.plant("password", 'p"a/s s<w>+&é!')
    assert canary.in_text(quote(value, safe=""))
    assert canary.in_text(json.dumps({"x": value}))
    assert canary.in_text(repr({"x": value}))
    with pytest.raises(ValueError, match="8 characters"):
        canary.plant("pin", "12121")


def test_innocent_text_is_no_hit(canary: SecretCanary) -> None:
    assert canary.in_text("a CANARY sang; app_secret=********") == []
    assert canary.in_object(Secret("unplanted-secret")) == []


def test_bytes_and_wide_characters(canary: SecretCanary, secret: str) -> None:
    assert canary.in_text(b"\x00\xff" + secret.encode())
    assert canary.in_text(secret.encode("utf-16-le"))


def test_repr_str_and_format(canary: SecretCanary, secret: str) -> None:
    @dataclass
    class Open:
        key: str

    class Formatted:
        def __format__(self, spec: str) -> str:
            return secret

    assert {hit.where for hit in canary.in_object(Open(secret))} == {
        "repr of Open",
        "str of Open",
        "format of Open",
    }
    assert {hit.where for hit in canary.in_object(Formatted())} == {"format of Formatted"}
    assert canary.in_object(Secret(secret)) == []


def test_attached_objects_are_walked_but_not_a_secrets_inside(canary: SecretCanary, secret: str) -> None:
    class Slotted:
        __slots__ = ("inner",)

        def __init__(self, inner: object) -> None:
            self.inner = inner

        def __repr__(self) -> str:
            return "<Slotted>"

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    hidden = Slotted({"deep": deque([secret.encode()])})
    assert canary.in_object(hidden) == []
    assert canary.in_attached(hidden)
    assert canary.in_attached(Slotted(Secret(secret))) == []
    assert canary.in_attached(Broken()) == []
    assert canary.in_attached({secret: 1})


def _raised(secret: str, how: str) -> BaseException:
    try:
        try:
            raise ValueError(secret)
        except ValueError as inner:
            match how:
                case "cause":
                    raise GatewayError("outer") from inner
                case "context":
                    raise GatewayError("outer")  # noqa: B904 - this is the leak
                case "suppressed":
                    raise GatewayError("outer") from None
                case _:
                    raise ExceptionGroup("outer", [inner])  # noqa: B904
    except (GatewayError, ExceptionGroup) as error:
        return error


@pytest.mark.parametrize("how", ["cause", "context", "suppressed", "group"])
def test_exception_chains(canary: SecretCanary, secret: str, how: str) -> None:
    assert canary.in_exception(_raised(secret, how))


def test_exception_arguments_attributes_notes_and_frames(canary: SecretCanary, secret: str) -> None:
    attached = GatewayError("x")
    attached.request = {"headers": [("Authorization", secret)]}  # type: ignore[attr-defined]
    noted = GatewayError("x")
    noted.add_note(f"was {secret}")
    assert canary.in_exception(attached)
    assert canary.in_exception(noted)
    assert canary.in_exception(GatewayError("x", context={"token": secret}))
    assert canary.in_exception(GatewayError("x")) == []

    def leaks() -> None:
        local = secret
        raise GatewayError("x", code=str(len(local)))

    with pytest.raises(GatewayError) as caught:
        leaks()
    assert canary.in_exception(caught.value) == []
    assert canary.in_exception(caught.value, frames=True)


def test_log_records(canary: SecretCanary, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("canary-test")
    for leak in (
        lambda: logger.warning("sent %s", secret),
        lambda: logger.warning("sent", extra={"token": secret}),
        lambda: logger.warning("sent", exc_info=_raised(secret, "context")),
    ):
        caplog.clear()
        leak()
        assert canary.in_records(caplog.records)
        with pytest.raises(CanaryLeakError):
            canary.assert_absent(caplog.records)
    caplog.clear()
    logger.warning("sent %s", Secret(secret))
    assert canary.in_records(caplog.records) == []


def test_files_their_names_and_folders(canary: SecretCanary, secret: str, tmp_path: Path) -> None:
    (tmp_path / "clean.txt").write_text("nothing", encoding="utf-8")
    assert canary.in_path(tmp_path) == []
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "state.bin").write_bytes(b"\x01" + secret.encode() + b"\x02")
    assert [hit.where for hit in canary.in_path(tmp_path) if hit.form == "plain"] == ["file state.bin"]
    (tmp_path / "deep" / "state.bin").unlink()
    (tmp_path / secret).touch()
    assert canary.in_path(tmp_path)


def test_databases(canary: SecretCanary, secret: str, tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    database = sqlite3.connect(path)
    database.execute('CREATE TABLE "odd "" name" (id INTEGER, body)')
    database.execute('INSERT INTO "odd "" name" VALUES (1, ?)', ("clean",))
    database.execute('CREATE INDEX i ON "odd "" name" (id)')
    database.commit()
    canary.assert_absent(database, path)
    # so long that the value is spread over several pages of the file
    database.execute('INSERT INTO "odd "" name" VALUES (2, ?)', (json.dumps({"t": "x" * 9000 + secret}),))
    database.commit()
    assert {hit.where for hit in canary.in_database(database)} == {'table odd " name'}
    with pytest.raises(CanaryLeakError):
        canary.assert_absent(database)
    database.execute('DELETE FROM "odd "" name"')
    database.execute('INSERT INTO "odd "" name" VALUES (3, ?)', (secret.encode(),))
    database.commit()
    assert canary.look(database)
    database.close()
    assert canary.look(path)


def test_a_leak_names_the_label_and_the_place_but_not_the_secret(canary: SecretCanary, secret: str) -> None:
    with pytest.raises(CanaryLeakError) as caught:
        canary.assert_absent("fine", [f"x {secret}"], {"k": secret})
    assert "app_secret" in str(caught.value)
    assert "CANARY" not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.hits


def test_looking_for_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="plant"):
        SecretCanary().assert_absent("text")
