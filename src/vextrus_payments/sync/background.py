"""The event loop behind the blocking facade: one daemon thread per process, started by the first call that needs it.

Forks. A child inherits the parent's loop as an object without a thread, whose sockets and selector are still the
parent's: closing the selector's watches in the child takes them from the parent. So a child starts a loop of its own
and never touches or finalizes the inherited one: the frame of the thread that did not come along keeps its
Background, and with it the loop and everything opened on it, referenced for as long as the child lives.

The end of the interpreter. Whoever is open is closed, within bounds, before the thread pools of the standard library
refuse work, which is earlier than atexit.
"""

import asyncio
import atexit
import concurrent.futures.thread  # its hook at the end of the interpreter has to be registered before ours
import copy
import inspect
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from vextrus_payments.errors import ConfigurationError, Effect, PaymentsError

T = TypeVar("T")

#: How long the end of the interpreter waits for what was claimed to be recorded; then the process goes as in a crash.
EXIT_WAIT_S: Final = 10.0
#: Waiting in slices: an endless wait cannot be interrupted on Windows, and would outlast a loop that is gone.
_SLICE_S: Final = 1.0

_log = logging.getLogger("vextrus_payments")


class Background:
    """An event loop in a daemon thread, and what is open on it."""

    def __init__(self) -> None:
        self.process_id: Final = os.getpid()
        self._opened: dict[Hashable, Callable[[], Awaitable[None]]] = {}
        self._ending = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vextrus-payments", daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def alive(self) -> bool:
        """True until the end of the interpreter."""
        return not self._ending and self._thread.is_alive()

    def remember(self, who: Hashable, close: Callable[[], Awaitable[None]]) -> None:
        """`who` is open on this loop from now on; `close` is awaited here at the end of the interpreter."""
        self._opened[who] = close

    def forget(self, who: Hashable) -> None:
        """`who` has been closed."""
        self._opened.pop(who, None)

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises, run on the loop while the calling thread waits.

        Whatever interrupts the wait (Ctrl+C, a time limit's signal) cancels the coroutine, which is a caller of the
        engine and not its work: what was claimed is carried on and recorded.
        """
        try:
            future = self._submit(coroutine)
        except BaseException:
            coroutine.close()
            raise
        try:
            while not future.done() and self._thread.is_alive():
                concurrent.futures.wait((future,), timeout=_SLICE_S)
        except BaseException:
            future.cancel()
            raise
        if not future.done() or future.cancelled():
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()  # the loop ended before it came to it
            raise _ended(Effect.UNKNOWN)
        error = future.exception()
        if error is None:
            return future.result()
        try:
            raise _own_copy(error)
        finally:
            del error, future  # no circle of exception, frame and future

    async def awaited(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises, run on this loop while a coroutine of another loop waits.

        Cancelling the wait cancels the coroutine, which is a caller of the engine and not its work.
        """
        try:
            future = self._submit(coroutine)
        except BaseException:
            coroutine.close()
            raise
        return await asyncio.wrap_future(future)

    def end(self, wait_s: float) -> None:
        """Close whoever is open, then the loop; waits at most so long, in seconds, and leaves the rest as it is."""
        if self._ending or self._loop is None:
            return
        self._ending = True
        closing = asyncio.run_coroutine_threadsafe(self._close_all(), self._loop)
        concurrent.futures.wait((closing,), timeout=wait_s)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=_SLICE_S)

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        if self._loop is None or not self.alive:
            raise _ended(Effect.NONE)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _close_all(self) -> None:
        closing = (close() for close in tuple(self._opened.values()))
        for failure in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(failure, BaseException):
                _log.warning("Closing at the end of the process failed: %s", type(failure).__name__)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(self._started.set)
            while not self._ending:
                try:
                    self._loop.run_forever()
                except BaseException as error:  # noqa: BLE001 - see below
                    # A callback on the loop raised SystemExit or KeyboardInterrupt, which asyncio lets through. It
                    # must not take everybody else's payments with it.
                    _log.error("A callback of the host raised %s in the event loop.", type(error).__name__)


_lock = threading.Lock()
_background: Background | None = None
_at_exit: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)


def background() -> Background:
    """This process's event loop; started now if there is none.

    Raises:
        ConfigurationError: the interpreter is shutting down.
    """
    global _background
    with _lock:
        if _background is None or _background.process_id != os.getpid():
            try:
                _at_exit(_end_of_process)
            except RuntimeError:
                late = True
            else:
                late = False
            if late:
                raise _ended(Effect.NONE)
            _background = Background()
        return _background


def shared_lock() -> threading.Lock:
    """The process's lock for what happens once per process. A child of a fork has a lock of its own."""
    return _lock


def _end_of_process() -> None:
    if _background is not None and _background.process_id == os.getpid():
        _background.end(EXIT_WAIT_S)


def _after_fork_in_child() -> None:
    global _background, _lock
    # Another thread of the parent may have held the lock; it did not come along to release it.
    _lock = threading.Lock()
    _background = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def refuse_inside_a_loop() -> None:
    """Blocking an event loop stops everything on it, the engine's own loop for good.

    Raises:
        ConfigurationError: the calling thread is running an event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "A blocking call inside a running event loop: the loop would stand still until the gateway has answered.",
        code="inside_event_loop",
        next_step="Use vextrus_payments.Payments and await its verbs here; or call this one from a thread, such as by"
        " asyncio.to_thread().",
    )


def _own_copy(error: BaseException) -> BaseException:
    """One caller's exception. Several may wait for one piece of work, each in a thread that adds its own frames."""
    if not isinstance(error, PaymentsError):
        return error
    return copy.copy(error).with_traceback(error.__traceback__)


def _ended(effect: Effect) -> ConfigurationError:
    return ConfigurationError(
        "The process is ending, and its payments are closed.",
        code="not_open",
        effect=effect,
        next_step="Look the payment up with status() in the next process; nothing is lost.",
    )
