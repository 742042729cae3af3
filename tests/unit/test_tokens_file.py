"""Tokens in files: private, whole or absent, and a grant log that is never forgotten."""

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from vextrus_payments.errors import ConfigurationError, Effect, StorageError
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.token_budget import (
    GrantAsk,
    GrantBusy,
    GrantDecision,
    GrantEnd,
    GrantExhausted,
    GrantReserved,
)
from vextrus_payments.token_port import Token, TokenKey
from vextrus_payments.tokens import FileTokenBackend, state_home

fcntl = pytest.importorskip("fcntl", reason="these look at POSIX modes and locks")

T = TypeVar("T")

KEY = TokenKey.of("https://gateway.example", "canary-app-key", "canary-user")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = Token.granted(Secret("canary-access"), issued_at=NOON, life_s=3600, refresh=Secret("canary-refresh"))


def ask(permit: str = "p") -> GrantAsk:
    return GrantAsk(permit=permit, now=NOON, limit=2, window_s=3600, lease_s=90.0)


async def reserve(backend: FileTokenBackend, permit: str = "p") -> GrantDecision:
    return await backend.reserve_grant(KEY, ask(permit))


def place(home: Path, suffix: str) -> Path:
    return home / "tokens" / f"{KEY.digest}.{suffix}"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- where --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "environ", "home"),
    [
        ("linux", {"HOME": "/home/u"}, "/home/u/.local/state/vextrus-payments"),
        ("linux", {"HOME": "/home/u", "XDG_STATE_HOME": "/state"}, "/state/vextrus-payments"),
        ("linux", {"HOME": "/home/u", "XDG_STATE_HOME": "rel"}, "/home/u/.local/state/vextrus-payments"),
        ("linux", {"XDG_STATE_HOME": "/state"}, "/state/vextrus-payments"),
        ("freebsd14", {"HOME": "/home/u"}, "/home/u/.local/state/vextrus-payments"),
        ("darwin", {"HOME": "/Users/u"}, "/Users/u/Library/Application Support/vextrus-payments"),
        (
            "darwin",
            {"HOME": "/Users/u", "XDG_STATE_HOME": "/s"},
            "/Users/u/Library/Application Support/vextrus-payments",
        ),
        ("win32", {"USERPROFILE": "/u", "LOCALAPPDATA": "/u/Local"}, "/u/Local/vextrus-payments"),
        ("win32", {"USERPROFILE": "/u", "HOME": "/x"}, "/u/AppData/Local/vextrus-payments"),
        ("linux", {"HOME": "/home/u", "VEXTRUS_PAY_HOME": "/named"}, "/named"),
        ("linux", {"HOME": "/home/u", "VEXTRUS_PAY_HOME": "  "}, "/home/u/.local/state/vextrus-payments"),
    ],
)
def test_the_users_state_folder(platform: str, environ: dict[str, str], home: str) -> None:
    assert state_home(environ, platform) == Path(home)


def test_a_relative_home_is_made_absolute_once() -> None:
    assert state_home({"VEXTRUS_PAY_HOME": "here"}, "linux") == Path.cwd() / "here"


def test_without_a_home_the_variable_is_named() -> None:
    with pytest.raises(ConfigurationError, match="VEXTRUS_PAY_HOME"):
        state_home({}, "linux")


@pytest.mark.skipif(os.name != "posix", reason="no other users' home folders are known there")
def test_a_home_of_nobody_is_an_error_in_words() -> None:
    with pytest.raises(ConfigurationError, match="VEXTRUS_PAY_HOME") as caught:
        state_home({"VEXTRUS_PAY_HOME": "~nosuchuserhere/x"}, "linux")
    assert caught.value.code == "no_home"
    assert caught.value.__context__ is None


async def test_the_environment_is_asked_at_the_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FileTokenBackend()
    monkeypatch.setenv("VEXTRUS_PAY_HOME", str(tmp_path / "named"))
    await backend.put(KEY, TOKEN)
    assert place(tmp_path / "named", "token").exists()


async def test_nothing_is_made_before_the_first_change(tmp_path: Path) -> None:
    backend = FileTokenBackend(tmp_path / "home")
    assert await backend.get(KEY) is None
    assert list(tmp_path.iterdir()) == []


# --- who may read -----------------------------------------------------------------------------------------------


async def test_files_and_folders_are_the_users_own(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        backend = FileTokenBackend(tmp_path / "home")
        await reserve(backend)
        await backend.put(KEY, TOKEN)
    finally:
        os.umask(old)
    assert mode(tmp_path / "home") == 0o700
    assert mode(tmp_path / "home" / "tokens") == 0o700
    files = list((tmp_path / "home" / "tokens").iterdir())
    assert {mode(file) for file in files} == {0o600}
    assert {file.suffix for file in files} == {".token", ".grants", ".lock"}
    assert {file.stem for file in files} == {KEY.digest}


async def test_only_the_token_file_holds_a_secret(tmp_path: Path) -> None:
    backend = FileTokenBackend(tmp_path)
    await reserve(backend)
    await backend.finish_grant(KEY, GrantEnd(permit="p", now=NOON, sent=True), TOKEN)
    for file in (tmp_path / "tokens").iterdir():
        assert ("canary" in file.read_text(encoding="utf-8")) == (file.suffix == ".token")
        assert "canary" not in file.name


async def test_a_folder_left_open_is_closed_and_the_home_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    await FileTokenBackend(tmp_path).put(KEY, TOKEN)
    assert mode(tmp_path / "tokens") == 0o700
    assert mode(tmp_path) == 0o755


async def test_a_folder_that_others_may_read_and_we_may_not_close_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens").chmod(0o755)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not yours")

    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(ConfigurationError, match="Other users may look into") as caught:
        await FileTokenBackend(tmp_path).put(KEY, TOKEN)
    assert caught.value.__context__ is None
    assert not place(tmp_path, "token").exists()


# --- what cannot be read ------------------------------------------------------------------------------------------


async def test_a_torn_token_is_absent_and_is_replaced(tmp_path: Path) -> None:
    backend = FileTokenBackend(tmp_path)
    await backend.put(KEY, TOKEN)
    whole = place(tmp_path, "token").read_bytes()
    for length in range(len(whole)):
        place(tmp_path, "token").write_bytes(whole[:length])
        assert await backend.get(KEY) is None
        assert not await backend.drop(KEY, TOKEN.version)
    await backend.finish_grant(KEY, GrantEnd(permit="late", now=NOON, sent=True), TOKEN)
    assert await backend.get(KEY) == TOKEN


async def test_a_torn_grant_log_is_a_used_up_budget_and_says_so(tmp_path: Path) -> None:
    backend = FileTokenBackend(tmp_path)
    await reserve(backend)
    whole = place(tmp_path, "grants").read_bytes()
    for length in range(len(whole)):
        place(tmp_path, "grants").write_bytes(whole[:length])
        assert await reserve(backend, "q") == GrantExhausted(3600, unreadable=True)
    # It stays so, until a window has passed.
    assert await reserve(backend, "q") == GrantExhausted(3600, unreadable=True)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def a_link(path: Path) -> None:
    path.with_suffix(".elsewhere").write_text(
        '{"format": 1, "unreadable": false, "slots": []}', encoding="utf-8"
    )
    path.symlink_to(path.with_suffix(".elsewhere"))


def too_much(path: Path) -> None:
    path.write_text('{"format": 1, "unreadable": false, "slots": []}' + " " * 70_000, encoding="utf-8")


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


FOREIGN = [a_folder, a_pipe, a_link, too_much, no_text]


@pytest.mark.parametrize("plant", FOREIGN)
async def test_a_foreign_token_file_is_absent(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    (tmp_path / "tokens").mkdir(mode=0o700)
    plant(place(tmp_path, "token"))
    backend = FileTokenBackend(tmp_path)
    assert await backend.get(KEY) is None
    if plant is a_folder:
        with pytest.raises(StorageError, match="cannot be used"):
            await backend.put(KEY, TOKEN)
    else:
        await backend.put(KEY, TOKEN)
        assert await backend.get(KEY) == TOKEN
        assert not place(tmp_path, "token").is_symlink()


@pytest.mark.parametrize("plant", FOREIGN)
async def test_a_foreign_grant_log_never_lets_a_grant_through(
    tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    (tmp_path / "tokens").mkdir(mode=0o700)
    plant(place(tmp_path, "grants"))
    backend = FileTokenBackend(tmp_path)
    for _ in range(2):
        if plant is a_folder:
            with pytest.raises(StorageError):
                await reserve(backend)
        else:
            assert await reserve(backend) == GrantExhausted(3600, unreadable=True)


async def test_what_a_dead_writer_left_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir(mode=0o700)
    for suffix in ("token.new", "grants.new"):
        place(tmp_path, suffix).write_text("half of", encoding="utf-8")
        place(tmp_path, suffix).chmod(0o644)
    backend = FileTokenBackend(tmp_path)
    assert await reserve(backend) == GrantReserved("p")
    await backend.put(KEY, TOKEN)
    assert await backend.get(KEY) == TOKEN
    assert mode(place(tmp_path, "token")) == 0o600
    assert not place(tmp_path, "token.new").exists()


# --- what cannot be written -----------------------------------------------------------------------------------------


async def test_a_home_that_is_a_file_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("", encoding="utf-8")
    backend = FileTokenBackend(tmp_path / "home")
    for work in (backend.get(KEY), backend.put(KEY, TOKEN), reserve(backend)):
        with pytest.raises(StorageError) as caught:
            await work
        error = caught.value
        assert (error.effect, error.code, error.__context__) == (Effect.NONE, "token_files", None)
        assert "VEXTRUS_PAY_HOME" in str(error)
        assert "Nothing was sent" in str(error)


async def test_a_full_disk_reserves_nothing_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FileTokenBackend(tmp_path)
    await backend.put(KEY, TOKEN)
    await reserve(backend, "first")
    before = place(tmp_path, "grants").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            await backend.finish_grant(KEY, GrantEnd(permit="first", now=NOON, sent=True), TOKEN)
        with pytest.raises(StorageError, match="No space left"):
            await backend.reserve_grant(
                KEY, GrantAsk(permit="q", now=NOON.replace(hour=13), limit=2, window_s=3600, lease_s=90.0)
            )
    assert place(tmp_path, "grants").read_bytes() == before
    assert await backend.get(KEY) == TOKEN
    assert await reserve(backend, "q") == GrantBusy(90.0)


async def test_a_reservation_is_on_the_disk_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real_fsync(handle)

    def replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    await reserve(FileTokenBackend(tmp_path))
    assert steps == ["file", "rename", "folder"]


async def test_a_folder_swept_away_is_made_again(tmp_path: Path) -> None:
    backend = FileTokenBackend(tmp_path / "home")
    await backend.put(KEY, TOKEN)
    for file in (tmp_path / "home" / "tokens").iterdir():
        file.unlink()
    (tmp_path / "home" / "tokens").rmdir()
    assert await backend.get(KEY) is None
    await backend.put(KEY, TOKEN)
    assert await backend.get(KEY) == TOKEN


# --- locks and the runner -------------------------------------------------------------------------------------------


def fakes() -> dict[str, Any]:
    clock = FakeClock()
    return {"clock": clock, "sleeper": FakeSleeper(clock), "entropy": FakeEntropy()}


def lock_held(home: Path) -> int:
    place(home, "lock").parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(place(home, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


async def test_a_lock_that_stays_taken_is_an_error_in_words(tmp_path: Path) -> None:
    ports = fakes()
    backend = FileTokenBackend(tmp_path, **ports)
    handle = lock_held(tmp_path)
    with pytest.raises(StorageError) as caught:
        await reserve(backend)
    os.close(handle)
    assert caught.value.code == "token_lock"
    assert "Nothing was sent" in str(caught.value)
    slept = ports["sleeper"].slept
    assert 15 <= sum(slept) < 16
    assert max(slept) <= 0.15
    assert len(set(slept)) == len(slept), "waits are jittered"
    assert await reserve(backend) == GrantReserved("p")


async def test_a_reader_waits_for_no_lock(tmp_path: Path) -> None:
    backend = FileTokenBackend(tmp_path, **fakes())
    await backend.put(KEY, TOKEN)
    handle = lock_held(tmp_path)
    assert await backend.get(KEY) == TOKEN
    os.close(handle)


async def test_every_touch_of_a_file_goes_through_the_injected_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[bool] = []
    runs: list[str] = []

    async def runner(work: Callable[[], T]) -> T:
        runs.append("run")
        inside.append(True)
        try:
            return work()
        finally:
            inside.pop()

    real_open = os.open

    def watched(*args: Any, **kwargs: Any) -> int:
        assert inside, "a file was opened on the event loop"
        return real_open(*args, **kwargs)

    monkeypatch.setattr(os, "open", watched)
    backend = FileTokenBackend(tmp_path, runner=runner, **fakes())
    await backend.put(KEY, TOKEN)
    await backend.get(KEY)
    await reserve(backend)
    await backend.finish_grant(KEY, GrantEnd(permit="p", now=NOON, sent=True), TOKEN)
    await backend.drop(KEY, TOKEN.version)
    assert len(runs) == 5


async def test_many_at_once_in_threads_lose_nothing(tmp_path: Path) -> None:
    backend = FileTokenBackend(tmp_path)
    answers = await asyncio.gather(*(reserve(backend, f"p{n}") for n in range(60)))
    assert sum(isinstance(answer, GrantReserved) for answer in answers) == 1
