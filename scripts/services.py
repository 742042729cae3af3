"""Private PostgreSQL and Redis servers on the command line.

    python scripts/services.py run -- make test               start, run the command, stop whatever happens
    python scripts/services.py start --env-file services.env  keep them running; `stop` with the same file ends them
    python scripts/services.py find                           which of them this machine can run

The command, and whoever reads the file, finds them in VEXTRUS_TEST_POSTGRES (a DSN) and VEXTRUS_TEST_REDIS (a URL).
How they are run and why nothing stays behind: scripts/private_servers.py.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from private_servers import VARIABLES, ServiceError, holding, start_holder, why_missing

_HOLDER = "VEXTRUS_TEST_SERVICES"


def _run(command: Sequence[str], names: Sequence[str], *, durable: bool) -> int:
    """The command's own exit code; 128 + the signal's number where a signal ended it."""
    asked: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        # at a terminal Ctrl-C has reached the command already
        if not (number == signal.SIGINT and sys.stdin.isatty()):
            for child in children:
                child.send_signal(number)

    with holding(*names, durable=durable) as held:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, pass_on)
        told = {VARIABLES[name]: place for name, place in held.places.items()}
        children.append(subprocess.Popen(command, env={**os.environ, **told}))
        for early in asked[:1]:  # it came while the command was being started
            children[0].send_signal(early)
        code = children[0].wait()
    return 128 - code if code < 0 else code


def _start(env_file: Path, names: Sequence[str], *, durable: bool) -> int:
    if env_file.exists():
        raise ServiceError(f"{env_file} exists: servers may be running already; end them with `stop`.")
    held = start_holder(names, durable=durable, detached=True)
    lines = [f"{VARIABLES[name]}={place}" for name, place in held.places.items()]
    lines.append(f"{_HOLDER}={held.pid}:{held.folder}")
    handle = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    held.leave()
    print(f"Running: {', '.join(names)}. Where: {env_file}. End them: services.py stop --env-file {env_file}")
    return 0


def _stop(env_file: Path) -> int:
    import fcntl

    pairs = (line.partition("=") for line in env_file.read_text(encoding="utf-8").splitlines())
    pid, _, place = {name: value for name, _, value in pairs}[_HOLDER].partition(":")
    with suppress(FileNotFoundError), (Path(place) / "lock").open("rb+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # whoever has the lock is the holder, so the pid is still its own
            os.kill(int(pid), signal.SIGTERM)
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is gone
        shutil.rmtree(place, ignore_errors=True)
    env_file.unlink()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("find", help="say what can be run here; exit 1 when something is missing")
    run = commands.add_parser("run", help="run a command beside them")
    start = commands.add_parser("start", help="start them and leave them running")
    stop = commands.add_parser("stop", help="end what `start` started")
    for command in (run, start):
        command.add_argument("--durable", action="store_true", help="every commit reaches the disk")
        command.add_argument("--only", choices=sorted(VARIABLES), help="this one; both by default")
        command.add_argument("--if-found", action="store_true", help="do without what is not installed")
    for command in (start, stop):
        command.add_argument("--env-file", type=Path, default=Path("services.env"))
    run.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def main() -> int:
    """The command line."""
    options = _parser().parse_args()
    missing = {name: reason for name in VARIABLES if (reason := why_missing(name)) is not None}
    if options.what == "find":
        print("".join(f"{name}: {missing.get(name, 'here')}\n" for name in VARIABLES), end="")
        return 1 if missing else 0
    if options.what == "stop":
        return _stop(options.env_file)
    wanted = [options.only] if options.only else list(VARIABLES)
    names = [name for name in wanted if name not in missing] if options.if_found else wanted
    lacking = [missing[name] for name in names if name in missing]
    if lacking:
        raise ServiceError("; ".join(lacking))
    if options.what == "start":
        return _start(options.env_file, names, durable=options.durable)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise ServiceError("Name the command to run: services.py run -- command ...")
    return _run(command, names, durable=options.durable)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ServiceError as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
