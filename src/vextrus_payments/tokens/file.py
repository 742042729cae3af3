"""Tokens in files: shared by every process of one user on one machine; what the CLI uses.

Layout. Under `<home>/tokens/` (0700), per key: `<digest>.token`, `<digest>.grants` and `<digest>.lock` (0600). A
file is replaced whole (written beside, flushed to the disk, renamed), so a reader needs no lock and never sees half
of one. Whoever changes a key's files holds the lock on its lock file; the system frees it when a process dies.

What cannot be read: a torn or foreign token file counts as absent. A torn or foreign grants file counts as a budget
that is **used up** for one window: forgetting a grant can block the merchant at the gateway, waiting cannot.

Blocking work runs through an injected runner and never waits inside it: a lock that is taken is tried again after a
sleep outside, so that neither a thread nor the event loop is held up.
"""

import asyncio
import errno
import os
import stat
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.ids import Entropy, SystemEntropy
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantLog
from vextrus_payments.token_port import Token, TokenKey
from vextrus_payments.tokens.document import token_document, token_from_document

T = TypeVar("T")

_APP_FOLDER: Final = "vextrus-payments"
_MAX_BYTES: Final = 64 * 1024
_FIRST_WAIT_S: Final = 0.005
_MAX_WAIT_S: Final = 0.1
_CHOOSE_ANOTHER: Final = (
    "See that the folder can be written and has room, or name another one in VEXTRUS_PAY_HOME."
)


class Runner(Protocol):
    """Runs blocking work where it does not hold up the event loop."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]:
        """What `work` returns, or raises."""
        ...


async def run_in_thread(work: Callable[[], T]) -> T:
    """The default runner: the event loop's own thread pool."""
    return await asyncio.to_thread(work)  # noqa: TID251 - this is the port


def state_home(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """The folder for what we remember on this machine: `VEXTRUS_PAY_HOME`, else the user's state folder.

    Linux and the like: `$XDG_STATE_HOME` or `~/.local/state`; macOS: `~/Library/Application Support`; Windows:
    `%LOCALAPPDATA%`; each with `vextrus-payments` below. Nothing is created.

    Raises:
        ConfigurationError: the user has no home folder, or the one that is named has none.
    """
    env = os.environ if environ is None else environ
    named = env.get("VEXTRUS_PAY_HOME", "").strip()
    if named:
        path: Path | None = None
        try:
            path = Path(named).expanduser().absolute()
        except RuntimeError:
            pass  # "~name" of a user whom nobody knows
        if path is not None:
            return path
        raise ConfigurationError(
            "VEXTRUS_PAY_HOME begins with ~ and names a user without a home folder.",
            code="no_home",
            next_step="Write the folder's whole path in VEXTRUS_PAY_HOME.",
        )
    windows = platform == "win32"
    home = env.get("USERPROFILE" if windows else "HOME", "")
    base = env.get("LOCALAPPDATA" if windows else "XDG_STATE_HOME", "")
    # The XDG rules say that a relative path there is to be ignored; nor does macOS know that variable.
    if base and Path(base).is_absolute() and platform != "darwin":
        return Path(base) / _APP_FOLDER
    if not home:
        raise ConfigurationError(
            "This user has no home folder to keep gateway tokens in.",
            code="no_home",
            next_step="Name a folder in VEXTRUS_PAY_HOME.",
        )
    below = {"win32": "AppData/Local", "darwin": "Library/Application Support"}
    return Path(home) / below.get(platform, ".local/state") / _APP_FOLDER


class FileTokenBackend:
    """A TokenBackend in the files of one folder.

    Args:
        home: where our `tokens` folder is, or is to be made; None = `state_home()`, asked at the first use.
        clock, sleeper, entropy: for waiting on another process's lock, with jitter.
        runner: runs the blocking parts.
        lock_timeout_s: how long to wait for that lock; it is held for a few file writes only.

    Raises, from every method:
        StorageError: the files cannot be read or written, or the lock stays taken.
        ConfigurationError: others may read the folder, and we may not forbid it.
    """

    durable = True

    def __init__(
        self,
        home: Path | None = None,
        *,
        clock: Clock | None = None,
        sleeper: Sleeper | None = None,
        entropy: Entropy | None = None,
        runner: Runner = run_in_thread,
        lock_timeout_s: float = 15.0,
    ) -> None:
        self._home = home
        self._clock = clock or SystemClock()
        self._sleeper = sleeper or SystemSleeper()
        self._entropy = entropy or SystemEntropy()
        self._runner = runner
        self._lock_timeout_s = lock_timeout_s

    async def get(self, key: TokenKey) -> Token | None:
        """The token as last put, be it expired; None when there is none or it cannot be read."""
        return await self._try_until_free(partial(_get, self._path(key, "token")))

    async def put(self, key: TokenKey, token: Token) -> None:
        """Keep this one."""
        await self._locked(key, lambda: _replace(self._path(key, "token"), token_document(token)))

    async def drop(self, key: TokenKey, version: str) -> bool:
        """Remove the token if it is of that version."""
        return await self._locked(key, partial(_drop, self._path(key, "token"), version))

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        """Take a slot, on the disk before this returns, or say who has it."""
        return await self._locked(key, partial(_reserve, self._path(key, "grants"), ask))

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        """Keep the token, then close the slot: whoever finds the slot closed finds the token."""
        work = partial(_finish, self._path(key, "grants"), self._path(key, "token"), end, token)
        await self._locked(key, work)

    def _path(self, key: TokenKey, suffix: str) -> Path:
        if self._home is None:
            self._home = state_home()
        return self._home / "tokens" / f"{key.digest}.{suffix}"

    async def _locked(self, key: TokenKey, work: Callable[[], T]) -> T:
        return await self._try_until_free(partial(_under_lock, self._path(key, "lock"), work))

    async def _try_until_free(self, attempt: Callable[[], tuple[T] | None]) -> T:
        give_up_at = self._clock.monotonic() + self._lock_timeout_s
        wait_s = _FIRST_WAIT_S
        while True:
            done = await self._run(attempt)
            if done is not None:
                return done[0]
            if self._clock.monotonic() >= give_up_at:
                raise StorageError(
                    "Another process has kept the lock on the token files for too long. Nothing was sent.",
                    code="token_lock",
                    next_step="See whether a vextrus-pay process hangs or is stopped, then try again.",
                )
            share = int.from_bytes(self._entropy.token_bytes(2)) / 65536
            await self._sleeper.sleep(wait_s * (0.5 + share))
            wait_s = min(wait_s * 2, _MAX_WAIT_S)

    async def _run(self, attempt: Callable[[], tuple[T] | None]) -> tuple[T] | None:
        try:
            return await self._runner(attempt)
        except OSError as error:
            trouble = f"{error.strerror or type(error).__name__} ({error.filename or self._home})"
        raise StorageError(
            f"The token files cannot be used: {trouble}. Nothing was sent.",
            code="token_files",
            next_step=_CHOOSE_ANOTHER,
        )


# --- the blocking parts: each one call of the runner -------------------------------------------------------------


def _under_lock(lock: Path, work: Callable[[], T]) -> tuple[T] | None:
    """What `work` returns, or None at once when somebody else has the lock."""
    handle = _open_lock(lock)
    try:
        if not _try_lock(handle):
            return None
        try:
            return (work(),)
        except PermissionError:
            # Windows does not replace a file while somebody reads it: that is over in a moment.
            if sys.platform == "win32":
                return None
            raise
        finally:
            _unlock(handle)
    finally:
        os.close(handle)


def _open_lock(lock: Path) -> int:
    _make_private(lock.parent)
    return os.open(lock, os.O_RDWR | os.O_CREAT | _PLAIN, 0o600)


def _make_private(folder: Path) -> None:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
    if sys.platform == "win32" or not folder.stat().st_mode & 0o077:
        return
    try:
        folder.chmod(0o700)
        return
    except PermissionError:
        pass
    raise ConfigurationError(
        f"Other users may look into {folder}, where gateway tokens would be kept, and the folder is not ours.",
        code="token_folder_open",
        next_step="Take it away from them (chmod 700), or name another folder in VEXTRUS_PAY_HOME.",
    )


#: Never follow a link somebody put there, never wait for a pipe, never hand the file to a child process.
_PLAIN: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def _read(path: Path) -> str | None:
    """The file's text; None when there is no file; empty when what is there is no file of ours."""
    try:
        handle = os.open(path, os.O_RDONLY | _PLAIN)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            return ""
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return ""
    with os.fdopen(handle, "rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        return ""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return ""


def _replace(path: Path, text: str) -> None:
    """Put a file in the place of another, on the disk when this returns. The key's lock is held."""
    beside = path.with_suffix(path.suffix + ".new")
    beside.unlink(missing_ok=True)  # of a process that died here
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(handle)
    beside.replace(path)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """A rename is on the disk only when its folder is."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_token(path: Path) -> Token | None:
    return token_from_document(_read(path))


def _get(path: Path) -> tuple[Token | None] | None:
    try:
        return (_read_token(path),)
    except PermissionError:
        # Windows: it is being replaced this moment.
        if sys.platform == "win32":
            return None
        raise


def _drop(path: Path, version: str) -> bool:
    token = _read_token(path)
    if token is None or not token.is_version(version):
        return False
    path.unlink()
    _flush_folder(path.parent)
    return True


def _reserve(grants: Path, ask: GrantAsk) -> GrantDecision:
    before = GrantLog.from_json(_read(grants))
    log, decision = before.reserve(ask)
    if log != before:
        _replace(grants, log.to_json())
    return decision


def _finish(grants: Path, token_path: Path, end: GrantEnd, token: Token | None) -> None:
    log, latest = GrantLog.from_json(_read(grants)).finish(end)
    if token is not None and (latest or _read_token(token_path) is None):
        _replace(token_path, token_document(token))
    _replace(grants, log.to_json())


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
