"""Private PostgreSQL and Redis servers for tests and benchmarks: on free loopback ports, and gone afterwards.

`with holding("redis") as held: held.places["redis"]` runs one and tells where; `held.crash("redis")` and its sisters
make trouble. On the command line: scripts/services.py.

Nothing is left behind. The servers are children of a *holder* (scripts/server_holder.py): a process of its own, in a
session of its own, with one folder for all data. It ends when its standard input closes, which the kernel does for
whoever started it, also after kill -9; it then stops its servers by their own pids and removes the folder. Should the
holder itself be killed, Linux ends its servers, and the next holder removes the folder, whose lock nobody has any more.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: Where a command, or a file, is told of a server.
VARIABLES: Final = {"postgres": "VEXTRUS_TEST_POSTGRES", "redis": "VEXTRUS_TEST_REDIS"}
_PACKAGES: Final = {"postgres": "postgresql", "redis": "redis-server"}


class ServiceError(RuntimeError):
    """A server cannot be run here; the message says why and what to do."""


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs: Debian's newest, before whatever stands on the PATH."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: [int(part) for part in path.parent.name.split(".")])
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def redis_program() -> Path | None:
    """Redis's server: Debian's, before whatever stands on the PATH."""
    debian = Path("/usr/bin/redis-server")
    found = str(debian) if debian.exists() else shutil.which("redis-server")
    return Path(found) if found else None


def why_missing(name: str) -> str | None:
    """Why this machine cannot run the server of that name ("postgres", "redis"); None when it can."""
    if os.name == "nt":
        return "private servers need a Unix"
    if (postgres_programs() if name == "postgres" else redis_program()) is None:
        return f"{name} is not installed (Debian: apt-get install {_PACKAGES[name]})"
    return None


class Held:
    """Servers under a holder of ours. `places`: name -> DSN or URL; `folder`: where their data are."""

    def __init__(self, holder: subprocess.Popen[str], said: Mapping[str, str]) -> None:
        self._holder = holder
        self.pid, self.folder = int(said["pid"]), Path(said["folder"])
        self.places = {name: said[name] for name in VARIABLES if name in said}

    def start(self, name: str) -> None:
        """Start it again, on the same port, with the data that are left."""
        self._do("start", name)

    def stop(self, name: str) -> None:
        """End it in order."""
        self._do("stop", name)

    def crash(self, name: str) -> None:
        """End it as a power cut would, as far as a signal can."""
        self._do("crash", name)

    def pause(self, name: str) -> None:
        """Let it hang: connections are taken by the kernel and never answered (PostgreSQL: new ones only)."""
        self._do("pause", name)

    def resume(self, name: str) -> None:
        """Let it go on."""
        self._do("resume", name)

    def close(self) -> None:
        """End them all and wait until everything is gone."""
        self._holder.communicate()

    def leave(self) -> None:
        """Let a detached holder be: nobody here waits for it."""
        assert self._holder.stdout is not None
        self._holder.stdout.close()
        self._holder.returncode = 0

    def _do(self, deed: str, name: str) -> None:
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(f"{deed} {name}\n")
        self._holder.stdin.flush()
        answer = json.loads(self._holder.stdout.readline())
        if "error" in answer:
            raise ServiceError(answer["error"])


def start_holder(
    names: Sequence[str],
    *,
    durable: bool = False,
    detached: bool = False,
    tls: tuple[Path, Path] | None = None,
) -> Held:
    """Servers of these names ("postgres", "redis"), until `close`, or until this process ends.

    Args:
        durable: every commit reaches the disk; else quicker.
        detached: they live on until their holder gets a SIGTERM.
        tls: certificate and key, files that anybody may read: Redis then speaks TLS only.

    Raises:
        ServiceError: one is not installed, or does not start.
    """
    for name in names:
        reason = why_missing(name)
        if reason is not None:
            raise ServiceError(reason)
    options = [*(["--durable"] if durable else []), *(["--detached"] if detached else [])]
    if tls is not None:
        options += ["--tls", *map(str, tls)]
    holder = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve().with_name("server_holder.py")), *names, *options],
        stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C at the terminal is for the tests, not for their servers
    )
    assert holder.stdout is not None
    line = holder.stdout.readline()
    if not line:
        holder.communicate()
        raise ServiceError("The servers did not start; the reason stands above.")
    return Held(holder, json.loads(line))


@contextmanager
def holding(*names: str, durable: bool = False, tls: tuple[Path, Path] | None = None) -> Iterator[Held]:
    """Servers of these names while the block runs; see `start_holder`."""
    held = start_holder(names, durable=durable, tls=tls)
    try:
        yield held
    finally:
        held.close()
