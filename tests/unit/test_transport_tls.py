"""HttpxTransport over real TLS and through real proxies: a handshake and a CONNECT are not the request."""

import asyncio
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vextrus_payments.errors import AnswerLostError, AnswerTimeoutError, Effect, NotSentError
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, SecretCanary
from vextrus_payments.transport import HttpxTransport
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own authority for 127.0.0.1 and localhost, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback test")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def client_tls(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


class Gateway:
    """Answers every whole request, counts them, and can lose answers or close idle connections."""

    def __init__(self) -> None:
        self.executions = 0
        self.connections = 0
        self.heads: list[bytes] = []
        self.lose = False
        self.close_idle = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                self.executions += 1
                if self.lose:
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
                if self.close_idle:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


async def _listen(serve: Any, tls: ssl.SSLContext | None = None) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    return server, server.sockets[0].getsockname()[1]


@pytest.fixture
async def secure(server_tls: ssl.SSLContext) -> AsyncIterator[Gateway]:
    gateway = Gateway()
    server, gateway.port = await _listen(gateway.serve, server_tls)
    yield gateway
    server.close()


@pytest.fixture
async def plain() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    server, gateway.port = await _listen(gateway.serve)
    yield gateway
    server.close()


async def send(transport: HttpxTransport, url: str, **how: Any) -> WireResponse:
    request = WireRequest("GET", url, (("Authorization", how.pop("token", "token")),))
    return await transport.send(request, **{"safety": Safety.ONCE, "timeout_s": 5.0, **how})


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_tls_with_an_authority_of_ones_own(
    secure: Gateway, client_tls: ssl.SSLContext, host: str
) -> None:
    transport = HttpxTransport(ssl_context=client_tls)
    for _ in range(3):
        assert (await send(transport, f"https://{host}:{secure.port}/x")).body == b"ok"
    assert (secure.executions, secure.connections) == (3, 1)
    await transport.aclose()
    assert transport.connections == 0


async def test_an_unknown_authority_is_not_sent_to(secure: Gateway) -> None:
    transport = HttpxTransport()
    with pytest.raises(NotSentError) as caught:
        await send(transport, f"https://127.0.0.1:{secure.port}/x")
    assert caught.value.context == {"phase": "tls", "cause": "SSLCertVerificationError"}
    assert secure.executions == 0
    assert transport.connections == 0
    await transport.aclose()


async def test_a_certificate_of_another_name_is_not_sent_to(
    plain: Gateway, secure: Gateway, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    ask = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: ask("127.0.0.1", *rest, **more))
    transport = HttpxTransport(ssl_context=client_tls)
    with pytest.raises(NotSentError) as caught:
        await send(transport, f"https://gateway.example:{secure.port}/x")
    assert caught.value.context["cause"] == "SSLCertVerificationError"
    assert secure.executions == 0
    await transport.aclose()


async def test_a_lost_answer_over_tls_is_in_doubt(secure: Gateway, client_tls: ssl.SSLContext) -> None:
    secure.lose = True
    transport = HttpxTransport(ssl_context=client_tls)
    with pytest.raises(AnswerLostError) as caught:
        await send(transport, f"https://127.0.0.1:{secure.port}/x")
    assert caught.value.effect is Effect.UNKNOWN
    assert secure.executions == 1
    await transport.aclose()


async def test_a_tls_connection_that_was_closed_while_idle_is_not_used(
    secure: Gateway, client_tls: ssl.SSLContext
) -> None:
    secure.close_idle = True
    transport = HttpxTransport(ssl_context=client_tls)
    for number in range(1, 5):
        assert (await send(transport, f"https://127.0.0.1:{secure.port}/x")).status == 200
        await asyncio.sleep(0.02)
        assert secure.executions == secure.connections == number
    await transport.aclose()


class _ClockThatPassesMidway(FakeClock):
    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic() + (0 if self.looks <= 1 else 60)


async def test_a_deadline_that_passes_during_the_handshake(
    secure: Gateway, client_tls: ssl.SSLContext
) -> None:
    clock = _ClockThatPassesMidway()
    transport = HttpxTransport(ssl_context=client_tls, clock=clock)
    send_by = SendBy(clock.now() + timedelta(hours=1), FakeClock().monotonic() + 30)
    with pytest.raises(NotSentError) as caught:
        await send(transport, f"https://127.0.0.1:{secure.port}/x", send_by=send_by)
    assert caught.value.code == "send_by_passed"
    assert (secure.connections, secure.executions) == (1, 0)
    assert transport.connections == 0
    await transport.aclose()


async def test_the_default_policy_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    from vextrus_payments.transport import httpx_transport

    built: list[ssl.SSLContext] = []

    def build(**settings: Any) -> ssl.SSLContext:
        assert settings == {"trust_env": False}
        built.append(ssl.create_default_context())
        return built[-1]

    monkeypatch.setattr(httpx, "create_ssl_context", build)
    httpx_transport.default_ssl_context.cache_clear()
    try:
        for _ in range(3):
            transport = HttpxTransport()
            for _ in range(2):
                with pytest.raises(NotSentError):
                    await send(transport, "https://127.0.0.1:9/x")
            await transport.aclose()
    finally:
        httpx_transport.default_ssl_context.cache_clear()
    assert len(built) == 1


# --- proxies ----------------------------------------------------------------------------------------------------


class Proxy:
    """An HTTP proxy: tunnels CONNECT, forwards the rest, or misbehaves."""

    def __init__(self) -> None:
        self.mode = "good"
        self.heads: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.mode == "refuse":
                writer.write(b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")
                return
            if self.mode == "mute":
                await reader.read()
                return
            if self.mode == "hang up":
                return
            method, target, _ = head.split(b" ", 2)
            address = target if method == b"CONNECT" else target.split(b"/")[2]
            host, _, port = address.decode().rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            if method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                far_writer.write(head)
            if self.mode == "hang up after CONNECT":
                far_writer.close()
                return
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    server, made.port = await _listen(made.serve)
    yield made
    server.close()


@pytest.fixture
def canary() -> Iterator[SecretCanary]:
    made = SecretCanary()
    made.plant("proxy password")
    made.plant("token")
    return made  # type: ignore[return-value]


def _through(proxy: Proxy, canary: SecretCanary, tls: ssl.SSLContext | None = None) -> HttpxTransport:
    password = canary.plant("proxy password")
    return HttpxTransport(proxy=Secret(f"http://user:{password}@127.0.0.1:{proxy.port}"), ssl_context=tls)


async def test_a_tunnel(
    proxy: Proxy, secure: Gateway, client_tls: ssl.SSLContext, canary: SecretCanary
) -> None:
    transport = _through(proxy, canary, client_tls)
    for _ in range(3):
        found = await send(transport, f"https://127.0.0.1:{secure.port}/x", token=canary.plant("token"))
        assert found.body == b"ok"
    assert (secure.executions, secure.connections, len(proxy.heads)) == (3, 1, 1)
    # the proxy is told its own credentials and nothing of the request; the gateway nothing of the proxy's
    credentials = b64encode(f"user:{canary.plant('proxy password')}".encode())
    assert credentials in proxy.heads[0]
    assert canary.plant("token").encode() not in proxy.heads[0]
    assert not any(b"Proxy-Authorization" in head for head in secure.heads)
    await transport.aclose()


@pytest.mark.parametrize("mode", ["refuse", "mute", "hang up", "hang up after CONNECT"])
async def test_a_tunnel_that_is_not_made_is_not_sent_through(
    proxy: Proxy, secure: Gateway, client_tls: ssl.SSLContext, canary: SecretCanary, mode: str
) -> None:
    proxy.mode = mode
    transport = _through(proxy, canary, client_tls)
    for _ in range(2):
        with pytest.raises(NotSentError) as caught:
            await send(
                transport,
                f"https://127.0.0.1:{secure.port}/x",
                token=canary.plant("token"),
                timeout_s=0.2 if mode == "mute" else 5.0,
            )
        canary.assert_absent(caught.value)
        assert caught.value.__context__ is None
        assert secure.executions == 0
        assert transport.connections == 0
    proxy.mode = "good"
    assert (await send(transport, f"https://127.0.0.1:{secure.port}/x")).status == 200
    await transport.aclose()


async def test_an_answer_lost_behind_a_tunnel_is_in_doubt(
    proxy: Proxy, secure: Gateway, client_tls: ssl.SSLContext, canary: SecretCanary
) -> None:
    transport = _through(proxy, canary, client_tls)
    for kept in (False, True):
        secure.lose = False
        if kept:
            await send(transport, f"https://127.0.0.1:{secure.port}/x")
        secure.lose = True
        before = secure.executions
        with pytest.raises(AnswerLostError) as caught:
            await send(transport, f"https://127.0.0.1:{secure.port}/x")
        assert secure.executions == before + 1
        canary.assert_absent(caught.value)
    await transport.aclose()


async def test_a_forwarding_proxy(proxy: Proxy, plain: Gateway, canary: SecretCanary) -> None:
    transport = _through(proxy, canary)
    for _ in range(2):
        assert (await send(transport, f"http://127.0.0.1:{plain.port}/x")).body == b"ok"
    assert plain.executions == 2
    assert proxy.heads[0].startswith(f"GET http://127.0.0.1:{plain.port}/x HTTP/1.1\r\n".encode())
    await transport.aclose()


async def test_a_forwarding_proxy_that_keeps_mute_has_the_request(
    proxy: Proxy, plain: Gateway, canary: SecretCanary
) -> None:
    proxy.mode = "mute"
    transport = _through(proxy, canary)
    with pytest.raises(AnswerTimeoutError) as caught:
        await send(transport, f"http://127.0.0.1:{plain.port}/x", timeout_s=0.2)
    assert caught.value.effect is Effect.UNKNOWN
    canary.assert_absent(caught.value)
    await transport.aclose()


async def test_a_proxy_that_is_not_there(proxy: Proxy, plain: Gateway, canary: SecretCanary) -> None:
    transport = HttpxTransport(proxy=Secret("http://127.0.0.1:9"))
    with pytest.raises(NotSentError):
        await send(transport, f"http://127.0.0.1:{plain.port}/x")
    assert plain.connections == 0
    await transport.aclose()


async def test_a_deadline_that_passes_before_a_tunnel_is_used(
    proxy: Proxy, secure: Gateway, client_tls: ssl.SSLContext
) -> None:
    clock = _ClockThatPassesMidway()
    transport = HttpxTransport(proxy=Secret(proxy.url), ssl_context=client_tls, clock=clock)
    send_by = SendBy(clock.now() + timedelta(hours=1), FakeClock().monotonic() + 30)
    with pytest.raises(NotSentError) as caught:
        await send(transport, f"https://127.0.0.1:{secure.port}/x", send_by=send_by)
    assert caught.value.code == "send_by_passed"
    assert secure.executions == 0
    assert transport.connections == 0
    await transport.aclose()
