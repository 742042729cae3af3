"""A terminal for a command: a pseudo terminal as stdout, stderr or both, of a size of its own."""

import os
import select
import struct
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.cli.running import COMMAND, PATIENCE_S, User

#: What every terminal command begins with.
ESCAPE = "\x1b["


@dataclass(frozen=True, slots=True)
class Shown:
    """What came out at which end."""

    code: int
    out: str
    err: str
    """Empty where the terminal is both."""


def run(
    user: User,
    *arguments: str,
    out: bool = True,
    err: bool = True,
    rows: int = 60,
    columns: int = 120,
    env: Mapping[str, str] | None = None,
) -> Shown:
    """Run a command to its end; `out`, `err`: whether that stream is the terminal (else a pipe)."""
    import fcntl
    import termios

    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    clean = {"TERM": "xterm-256color", "PYTHONUTF8": "1"}
    environ = {
        k: v for k, v in user.env().items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "COLORTERM")
    }
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env={**environ, **clean, **(env or {})},
        cwd=user.home.parent,
        stdin=subprocess.DEVNULL,
        stdout=slave if out else subprocess.PIPE,
        stderr=slave if err else subprocess.PIPE,
    )
    os.close(slave)
    ends = {master: b"", **{pipe.fileno(): b"" for pipe in (process.stdout, process.stderr) if pipe}}
    try:
        _drain(ends, master)
        code = process.wait(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
    seen = ends[master].decode("utf-8").replace("\r\n", "\n")
    piped_out = ends[process.stdout.fileno()].decode("utf-8") if process.stdout else None
    piped_err = ends[process.stderr.fileno()].decode("utf-8") if process.stderr else None
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()
    return Shown(
        code,
        seen if piped_out is None else piped_out,
        (seen if err and not out else "") if piped_err is None else piped_err,
    )


def _drain(ends: dict[int, bytes], master: int) -> None:
    """Read every end until nobody writes to it any more."""
    still, deadline = set(ends), time.monotonic() + PATIENCE_S
    while still:
        ready, _, _ = select.select(list(still), [], [], max(deadline - time.monotonic(), 0))
        assert ready, "the command went silent"
        for end in ready:
            try:
                data = os.read(end, 65_536)
            except OSError:  # Linux says so when the last one has closed a terminal
                assert end == master
                data = b""
            ends[end] += data
            if not data:
                still.discard(end)
