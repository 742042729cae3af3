"""Makes victims quickly: everything is imported once, and each victim is a fork of a process that has only imported.

`python -m tests.crashes.zygote` takes one job a line on its standard input, as JSON with a "number", and prints
{"number", "pid"} when its process has been made and {"number", "status"} when it has ended (-9: killed by SIGKILL).
The end of the input ends it and its victims.
"""

import json
import os
import select
import signal
import sys
import traceback
from typing import Any, NoReturn

from tests.crashes import victim

#: However stuck a victim may be, it ends.
_LIFE_S = 90


def main() -> None:
    """Serve until the input ends."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    numbers: dict[int, int] = {}
    rest = b""
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            os.read(woken, 65536)
            reap(numbers)
        if 0 in readable:
            read = os.read(0, 65536)
            if not read:
                break
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                job = json.loads(line)
                number = job.pop("number")
                pid = os.fork()
                if pid == 0:
                    be_victim(job)
                numbers[pid] = number
                tell(number=number, pid=pid)
    for pid in numbers:
        os.kill(pid, signal.SIGKILL)


def reap(numbers: dict[int, int]) -> None:
    """Tell of everybody who has ended."""
    for pid in tuple(numbers):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            tell(number=numbers.pop(pid), status=os.waitstatus_to_exitcode(status))


def tell(**what: int) -> None:
    """One line to the supervisor."""
    os.write(1, json.dumps(what).encode() + b"\n")


def be_victim(job: dict[str, Any]) -> NoReturn:
    """What the fork does instead of serving."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.alarm(_LIFE_S)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    log = os.open(job.pop("log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 2)
    status = 1
    try:
        victim.main(job)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
