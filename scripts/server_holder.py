"""What a holder runs: `python scripts/server_holder.py postgres redis [--durable] [--detached] [--tls CERT KEY]`.

Started by private_servers.start_holder(), which says what a holder is for.
"""

import argparse
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Final, NoReturn

from private_servers import VARIABLES, ServiceError, postgres_programs, redis_program, why_missing

_PREFIX: Final = "vextrus-services-"
_START_S: Final = 60.0
_PR_SET_PDEATHSIG: Final = 1
_PORTS_TO_TRY: Final = 5


def _account() -> dict[str, int]:
    """Whom servers run as, for subprocess: ourselves, or an unprivileged user when we are root (initdb insists)."""
    if os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "redis", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid}
    raise ServiceError("PostgreSQL does not run as root, and there is no user postgres, redis or nobody.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- the servers -------------------------------------------------------------------------------------------------


class Server:
    """One server of our own. `start` again after `stop` or `crash` brings the same data back on the same port."""

    name: ClassVar[str]
    _end: ClassVar[signal.Signals]  # how it ends at once and whole
    _crash: ClassVar[signal.Signals]  # how it ends with nothing put in order

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.folder = folder / f"{self.name}-{secrets.token_hex(4)}"
        self.durable = durable
        self.port = 0
        self._password = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is, with the password."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ServiceError: it does not start; with the end of its log.
        """
        if self._process is not None:
            return
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            _give(self.folder)
            self._prepare()
        ports = [self.port] if self.port else [_free_port() for _ in range(_PORTS_TO_TRY)]
        for self.port in ports:
            if self._comes_up():
                return
        log = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        self.port = 0
        raise ServiceError(f"{self.name} does not start. The end of its log:\n{log}")

    def stop(self) -> None:
        """End it in order, then less so; its data stay."""
        self._over(self._end, 20.0)

    def crash(self) -> None:
        """End it as a power cut would, as far as a signal can; its data stay as they are."""
        self._over(self._crash, 10.0)

    def pause(self) -> None:
        """Let it hang."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise ServiceError(f"{self.name} does not run")
        self._process.send_signal(number)

    def _prepare(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _comes_up(self) -> bool:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_dies_with_us(self._crash),
                env=_plain_environment(),
                **_as_account(),
            )
        give_up = time.monotonic() + _START_S
        while self._process.poll() is None and time.monotonic() < give_up:
            if self._answers():
                return True
            time.sleep(0.03)
        self._over(signal.SIGKILL, 10.0)
        return False

    def _over(self, how: signal.Signals, patience_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for number in (how, self._crash, signal.SIGKILL):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
                return


class PostgresServer(Server):
    """A PostgreSQL cluster. `durable=False` turns fsync off: quicker, and enough where no crash is tested."""

    name = "postgres"
    _end = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    _crash = (
        signal.SIGQUIT
    )  # "immediate": recovery at the next start, and no backend left behind, unlike after -9
    #: A hundred clients, several engineers on one small machine.
    _SETTINGS = ("max_connections = 100", "shared_buffers = 32MB", "unix_socket_directories = ''")
    _CARELESS = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")

    @property
    def url(self) -> str:
        """The DSN of the database that every cluster has."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The DSN of one database."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def _prepare(self) -> None:
        password = self.folder / "password"
        _write(password, self._password)
        arguments = ["-D", "data", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        arguments += ["--auth=scram-sha-256", f"--pwfile={password}", "--no-instructions"]
        done = subprocess.run(
            [str(self._programs / "initdb"), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=_plain_environment(),
            check=False,
            **_as_account(),
        )
        if done.returncode:
            raise ServiceError(f"initdb fails:\n{done.stderr[-2000:]}")
        lines = self._SETTINGS if self.durable else (*self._SETTINGS, *self._CARELESS)
        with (self.folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def _command(self) -> list[str]:
        listen = ["-h", "127.0.0.1", "-p", str(self.port)]
        return [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *listen]

    def _answers(self) -> bool:
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, env=_plain_environment(), check=False).returncode == 0

    @property
    def _programs(self) -> Path:
        found = postgres_programs()
        if found is None:
            raise ServiceError(why_missing("postgres") or "")
        return found


class RedisServer(Server):
    """A Redis. `durable=True`: every write is in its append-only file before it answers.

    `tls` = certificate and key (files that anybody may read): then it speaks TLS only, and asks clients for none.
    """

    name = "redis"
    _end = signal.SIGTERM
    _crash = signal.SIGKILL

    def __init__(self, folder: Path, *, durable: bool = False, tls: tuple[Path, Path] | None = None) -> None:
        super().__init__(folder, durable=durable)
        self._tls = tls

    @property
    def url(self) -> str:
        """The URL of its database 0."""
        scheme = "redis" if self._tls is None else "rediss"
        return f"{scheme}://:{self._password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> None:
        lines = ["bind 127.0.0.1", f"dir {self.folder}", 'save ""', f"requirepass {self._password}"]
        lines += ["appendonly yes", "appendfsync always"] if self.durable else ["appendonly no"]
        if self._tls is not None:
            certificate, key = self._tls
            lines += [f"tls-cert-file {certificate}", f"tls-key-file {key}", "tls-auth-clients no"]
            lines += [f"tls-ca-cert-file {certificate}"]
        _write(self.folder / "redis.conf", "".join(f"{line}\n" for line in lines))

    def _command(self) -> list[str]:
        program = redis_program()
        if program is None:
            raise ServiceError(why_missing("redis") or "")
        port = ["--port", str(self.port)]
        if self._tls is not None:
            port = ["--port", "0", "--tls-port", str(self.port)]
        return [str(program), str(self.folder / "redis.conf"), *port]

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as plain:
            peer = plain
            if self._tls is not None:
                context = ssl.create_default_context(cafile=str(self._tls[0]))
                context.check_hostname = False
                peer = context.wrap_socket(plain)
            with peer:
                peer.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                heard = b""
                while heard.count(b"\r\n") < 2 and (more := peer.recv(200)):
                    heard += more
                return heard == b"+OK\r\n+PONG\r\n"
        return False


def _as_account() -> dict[str, Any]:
    account = _account()
    return {**account, "extra_groups": []} if account else {}


def _give(path: Path) -> None:
    account = _account()
    if account:
        os.chown(path, account["user"], account["group"])


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    _give(path)


def _plain_environment() -> dict[str, str]:
    """Ours, without what would tell PostgreSQL's programs where else to look."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _dies_with_us(how: signal.Signals) -> Callable[[], None] | None:
    """What a child calls so that Linux ends it when we are gone (after the change of user, which forgets it)."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, int(how))


# --- the folder --------------------------------------------------------------------------------------------------


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that the servers' user may write, removed at the end; those of dead holders are removed first."""
    import fcntl

    base = _temporary()
    _remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    lock = os.open(folder / "taking", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "taking").rename(folder / "lock")  # from here on it is seen, and seen as taken
        _give(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _temporary() -> Path:
    """The first temporary folder that the servers' user can reach."""
    for base in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if base.is_dir() and (
            not _account() or all(part.stat().st_mode & 0o001 for part in (base, *base.parents))
        ):
            return base.resolve()
    raise ServiceError("There is no temporary folder that an unprivileged user can reach.")


def _remove_abandoned(base: Path) -> None:
    import fcntl

    ours = {os.geteuid(), *_account().values()}
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid not in ours:
                continue
            handle = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


_DEEDS: Final[Mapping[str, Callable[[Server], None]]] = {
    "start": lambda server: server.start(),
    "stop": lambda server: server.stop(),
    "crash": lambda server: server.crash(),
    "pause": lambda server: server.pause(),
    "resume": lambda server: server.resume(),
}


def _hold(names: Sequence[str], *, durable: bool, detached: bool, tls: tuple[Path, Path] | None) -> int:
    """Run the servers; say where they are; do what each line of standard input asks, until it ends.

    Detached: until a signal comes.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end_once)
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        servers: dict[str, Server] = {}
        for name in names:
            made = (
                PostgresServer(folder, durable=durable)
                if name == "postgres"
                else RedisServer(folder, durable=durable, tls=tls)
            )
            servers[name] = made
            stack.callback(made.stop)
            made.start()
        places = {name: server.url for name, server in servers.items()}
        _say({"folder": str(folder), "pid": str(os.getpid()), **places})
        if detached:
            signal.pause()
        for line in sys.stdin:
            deed, name = line.split()
            try:
                _DEEDS[deed](servers[name])
                _say({})
            except ServiceError as failure:
                _say({"error": str(failure)})
    return 0


def _say(answer: Mapping[str, str]) -> None:
    print(json.dumps(answer), flush=True)


def _end_once(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def main() -> int:
    """Hold what the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+", choices=sorted(VARIABLES))
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--detached", action="store_true")
    parser.add_argument("--tls", nargs=2, type=Path)
    options = parser.parse_args()
    tls = None if options.tls is None else (options.tls[0], options.tls[1])
    return _hold(options.names, durable=options.durable, detached=options.detached, tls=tls)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ServiceError as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
