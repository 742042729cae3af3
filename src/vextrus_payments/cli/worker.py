"""`vextrus-pay worker`: what goes on in the background, in a process of its own."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import click

from vextrus_payments.cli.application import APP_HELP, required_app
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.output import emit_json, say
from vextrus_payments.cli.params import WholeNumber
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.logs import LOGGER_NAME

if TYPE_CHECKING:
    from vextrus_payments.app import Payments

_SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGBREAK")
_LAST_CALL_S: Final = 2.0


@click.command(
    cls=Command,
    moves_money=True,  # it submits what was reserved and left behind
    examples=(
        ("vextrus-pay worker --app shop.payments:payments", "until SIGTERM or Ctrl+C"),
        (
            "vextrus-pay worker --app shop.payments:payments --once",
            "what is due now, then end: for a cron job",
        ),
    ),
)
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option(
    "--drain-s",
    type=WholeNumber(0, 3600),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long finishing what is in hand may take, once it is told to stop.",
)
@click.option("--once", is_flag=True, help="Do what is due now, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: ready, and how it ended.")
def command(app: str | None, drain_s: int, once: bool, as_json: bool) -> int:
    """Hand entries and news over and reconcile what is open, until told to stop.

    Run as many as you like where the store is PostgreSQL; beside them, web processes use Payments(workers=False).
    SIGTERM or Ctrl+C: it begins nothing more, finishes what is in hand within --drain-s, and ends with exit code 0.
    What takes longer is cut off, as by a crash (exit code 3): it is taken up again, and nothing is lost. A second
    signal stops at once (exit code 130).
    """
    payments = required_app(app, "A worker")
    worker = _Worker(payments, drain_s, as_json=as_json)
    with _logging():
        try:
            return asyncio.run(_to_its_end(worker.once() if once else worker.run()))
        except asyncio.CancelledError:
            pass  # by a second signal; told outside, so that nothing of it hangs on the interruption
    raise KeyboardInterrupt


async def _to_its_end(work: Coroutine[Any, Any, int]) -> int:
    """What the work answers; the process does not outlast it, whatever a callback does with its cancellation."""
    try:
        code = await work
    except asyncio.CancelledError:
        if await _left_over():
            say("Interrupted.")
            _leave(Exit.INTERRUPTED)
        raise
    except Exception as error:  # asyncio.run() would wait before it could be told
        if await _left_over():
            with suppress(OSError, ValueError):
                say(f"Error: {type(error).__name__}; what was in hand is taken up again.")
            _leave(Exit.OPEN)
        raise
    if await _left_over():
        _leave(code)
    return code


async def _left_over() -> bool:
    """Whether some task goes on though it was told to stop. asyncio.run() would wait for it for ever."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    return bool(others) and bool((await asyncio.wait(others, timeout=_LAST_CALL_S))[1])


def _leave(code: int) -> None:
    """As a crash would, but that what was said is out: what was in hand is taken up again."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(int(code))


class _Worker:
    def __init__(self, payments: "Payments", drain_s: int, *, as_json: bool) -> None:
        self._payments = payments
        self._drain_s = drain_s
        self._as_json = as_json
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Until a signal."""
        self._listen()
        await self._payments.open(workers=True)
        self._tell("worker.ready", "Working: entries, news, what is open. SIGTERM or Ctrl+C stops it.")
        drained = await self._payments.run_workers(self._stop, drain_s=self._drain_s)
        return self._ended(drained)

    async def once(self) -> int:
        """What is due, then the end."""
        self._listen()
        await self._payments.open(workers=False)
        self._tell("worker.ready", "Working: what is due now.")
        work = asyncio.create_task(self._due())
        told = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
            drained = await self._close(work)
        finally:
            told.cancel()
            work.cancel()
        taken, looked_at = work.result() if work.done() and not work.cancelled() else (0, 0)
        return self._ended(drained, taken=taken, looked_at=looked_at)

    async def _due(self) -> tuple[int, int]:
        """How many rows were taken (of the outbox, of the inbox) and payments looked at. What a look or a webhook
        settles goes out as well."""
        taken, looked_at = await self._payments.deliver(), 0
        with suppress(ConfigurationError):  # told to stop: it is closing
            taken += await self._payments.process_inbox()
            report = await self._payments.reconcile_due()
            looked_at = report.looked_at
            taken += await self._payments.deliver()
        return taken, looked_at

    async def _close(self, work: "asyncio.Task[tuple[int, int]]") -> bool:
        closing = asyncio.create_task(self._payments.aclose())
        done, _ = await asyncio.wait({closing, work}, timeout=self._drain_s)
        if closing in done:
            closing.result()
        if work in done and not self._stop.is_set():
            work.result()
        return {closing, work} <= done

    # --- signals ----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """The first signal asks to stop, the second one does it."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def told() -> None:
            if self._stop.is_set():
                task.cancel()
                return
            self._stop.set()
            self._tell(
                "worker.stopping",
                f"Finishing what is in hand, for {self._drain_s} s at most. A second signal stops at once.",
            )

        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is None:
                continue
            try:
                loop.add_signal_handler(number, told)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(told))

    # --- what it says -------------------------------------------------------------------------------------------------

    def _tell(self, kind: str, line: str, **facts: Any) -> None:
        if self._as_json:
            emit_json({"type": kind, "pid": os.getpid(), **facts})
        else:
            say(line)

    def _ended(self, drained: bool, **facts: int) -> int:
        code = Exit.DONE if drained else Exit.OPEN
        counts = "".join(f" {name.replace('_', ' ').capitalize()}: {value}." for name, value in facts.items())
        line = f"Done.{counts}" if drained else f"Cut off after {self._drain_s} s.{counts}"
        if not drained:
            line += " What was in hand is taken up again once its lease is over; nothing is lost."
        self._tell("worker.ended", line, drained=drained, exit_code=int(code), **facts)
        return code


@contextmanager
def _logging() -> Iterator[None]:
    """Where the shop has set up no logging of its own, the worker's goes to stderr: a silent worker helps nobody."""
    logger = logging.getLogger(LOGGER_NAME)
    if logging.getLogger().handlers or len(logger.handlers) > 1 or logger.level:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
