"""The sandbox's key pairs: made once, kept for their owner, found again; and how a client learns where they are."""

import base64
import json
import os
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from vextrus_payments.errors import ConfigurationError
from vextrus_payments_sandbox import SandboxServer, create_app, environment
from vextrus_payments_sandbox.nagad.keys import KeyFolder, KeysError, new_pair

NAMES = {"merchant_pri.pem", "merchant_pub.pem", "gateway_pri.pem", "gateway_pub.pem"}


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    create_app(keys=tmp_path / "keys")
    assert not (tmp_path / "keys").exists()


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_for_their_owner_only(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "home" / "keys")
    before = os.umask(0)
    try:
        folder.ensure()
    finally:
        os.umask(before)
    found = list(folder.folder.iterdir())
    assert {path.name for path in found} == NAMES
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.folder.parent.iterdir()] == ["keys"]  # nothing is left over


def test_a_file_holds_one_line_as_the_portal_gives_it(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.ensure()
    for who in ("merchant", "gateway"):
        text = (folder.folder / f"{who}_pri.pem").read_text("ascii")
        assert text.count("\n") == 1 and "-" not in text
        private = load_der_private_key(base64.b64decode(text), None)
        public = load_der_public_key(base64.b64decode((folder.folder / f"{who}_pub.pem").read_text("ascii")))
        assert isinstance(private, rsa.RSAPrivateKey) and isinstance(public, rsa.RSAPublicKey)
        assert private.key_size == 2048 and private.public_key() == public
    assert folder.keys.merchant.private.private_numbers() != folder.keys.gateway.private.private_numbers()


def test_the_next_start_finds_the_same_ones(tmp_path: Path) -> None:
    first = KeyFolder(tmp_path / "keys").keys
    again = KeyFolder(tmp_path / "keys").keys
    assert first.merchant.private_text() == again.merchant.private_text()
    assert first.gateway.public_text() == again.gateway.public_text()


def test_many_first_starts_at_once_end_with_the_same_keys(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from vextrus_payments_sandbox.nagad.keys import KeyFolder; "
        "print(KeyFolder(pathlib.Path(sys.argv[1])).keys.gateway.public_text())"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "keys")], stdout=subprocess.PIPE, encoding="ascii"
        )
        for _ in range(4)
    ]
    told = {process.communicate(timeout=90)[0] for process in running}
    assert len(told) == 1 and all(process.returncode == 0 for process in running)
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_no_secret_shows() -> None:
    pair = new_pair()
    assert "private" not in repr(pair) and pair.private_text() not in repr(pair)


@pytest.mark.parametrize("text", [b"", b"no base64!", b"QUJD", b"\xff\xfe", b"A" * 20_000])
def test_a_spoiled_file_is_named(tmp_path: Path, text: bytes) -> None:
    KeyFolder(tmp_path / "keys").ensure()
    (tmp_path / "keys" / "gateway_pri.pem").write_bytes(text)
    with pytest.raises(KeysError, match=r"gateway_pri\.pem.*Delete that folder"):
        _ = KeyFolder(tmp_path / "keys").keys


def test_a_weak_key_is_refused(tmp_path: Path) -> None:
    from vextrus_payments_sandbox.nagad.keys import Pair

    KeyFolder(tmp_path / "keys").ensure()
    weak = Pair(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    (tmp_path / "keys" / "merchant_pri.pem").write_text(weak.private_text(), "ascii")
    with pytest.raises(KeysError, match="2048 bits"):
        _ = KeyFolder(tmp_path / "keys").keys


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(KeysError, match="VEXTRUS_PAY_HOME"):
        KeyFolder(tmp_path / "file" / "keys").ensure()


def test_half_a_folder_is_not_filled_up_with_keys_that_do_not_fit(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.ensure()
    kept = (tmp_path / "keys" / "merchant_pub.pem").read_bytes()
    (tmp_path / "keys" / "merchant_pri.pem").unlink()
    with pytest.raises(KeysError):
        KeyFolder(tmp_path / "keys").ensure()
    assert (tmp_path / "keys" / "merchant_pub.pem").read_bytes() == kept


# --- where they are ---------------------------------------------------------------------------------------------------


async def test_a_sandbox_of_this_process_is_not_asked_over_http(tmp_path: Path) -> None:
    async with SandboxServer(keys=tmp_path / "own") as server:
        named = environment.variables("nagad", server.url)
        assert named == {
            "NAGAD_API_URL": f"{server.url}/remote-payment-gateway-1.0",
            "NAGAD_MERCHANT_ID": "680000000000001",
            "NAGAD_PRIVATE_KEY_FILE": str(tmp_path / "own" / "merchant_pri.pem"),
            "NAGAD_PUBLIC_KEY_FILE": str(tmp_path / "own" / "gateway_pub.pem"),
            "NAGAD_MODE": "sandbox",
        }
        assert Path(named["NAGAD_PRIVATE_KEY_FILE"]).exists()
        assert server.world.wire.as_json() == []


def test_a_sandbox_of_another_home_says_where_its_keys_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = subprocess.Popen(
        [sys.executable, "-m", "vextrus_payments.cli", "sandbox", "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        env={**os.environ, "VEXTRUS_PAY_HOME": str(tmp_path / "theirs")},
        encoding="utf-8",
    )
    try:
        assert serving.stdout is not None
        info = json.loads(serving.stdout.readline())
        monkeypatch.setenv("VEXTRUS_PAY_HOME", str(tmp_path / "mine"))
        named = environment.variables("nagad", info["url"])
    finally:
        serving.terminate()
        serving.communicate(timeout=30)
    told = info["gateways"]["nagad"]
    assert set(told) == {"base_url", "merchant_id", "merchant_private_key_file", "gateway_public_key_file"}
    assert told["base_url"] == f"{info['url']}/remote-payment-gateway-1.0"
    assert named["NAGAD_PRIVATE_KEY_FILE"] == told["merchant_private_key_file"]
    assert told["merchant_private_key_file"].startswith(str(tmp_path / "theirs"))
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("said", [b"not json", b"[]", b'{"gateways":{"nagad":{"base_url":5}}}'])
def test_whoever_answers_nonsense_is_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    class Nonsense(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("VEXTRUS_PAY_HOME", str(tmp_path / "mine"))
    with HTTPServer(("127.0.0.1", 0), Nonsense) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        named = environment.variables("nagad", f"http://127.0.0.1:{server.server_port}")
        answering.join()
    assert named["NAGAD_PRIVATE_KEY_FILE"].startswith(str(tmp_path / "mine"))


def test_bkash_asks_for_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("VEXTRUS_PAY_HOME", str(tmp_path / "file" / "home"))
    assert environment.variables("bkash", "http://127.0.0.1:9")["BKASH_MODE"] == "sandbox"
    with pytest.raises(ConfigurationError, match="cannot keep its keys") as refused:
        environment.variables("nagad", "http://127.0.0.1:9")
    assert refused.value.code == "sandbox_keys" and refused.value.__context__ is None


def test_serve_says_in_one_line_that_it_has_no_place_for_keys(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = subprocess.run(
        [sys.executable, "-m", "vextrus_payments.cli", "sandbox", "serve", "--port", "0", "--json"],
        env={**os.environ, "VEXTRUS_PAY_HOME": str(tmp_path / "file" / "home")},
        capture_output=True,
        encoding="utf-8",
        timeout=90,
    )
    assert done.returncode not in (0, 1) or done.stdout == ""
    assert done.stderr.startswith("Error: The Nagad sandbox cannot keep its keys")
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


async def test_the_first_page_lives_without_keys(tmp_path: Path) -> None:
    import httpx

    (tmp_path / "file").write_text("x")
    app = create_app(keys=tmp_path / "file" / "keys")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        page = await http.get("/")
        assert page.status_code == 200 and "cannot keep its keys" in page.text
        headers = {"X-KM-Api-Version": "v-0.2.0", "X-KM-IP-V4": "192.0.2.7", "X-KM-Client-Type": "PC_WEB"}
        answer = await http.post(
            "/api/dfs/check-out/initialize/680000000000001/Order00001", content=b"{}", headers=headers
        )
        assert answer.status_code == 500 and "cannot keep its keys" in answer.json()["message"]
        assert (await http.get("/_sandbox/gateways")).status_code == 500
