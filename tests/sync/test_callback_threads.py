"""The threads of plain callbacks on a machine that has none to spare for a moment."""

import threading

import pytest

from vextrus_payments.sync.callbacks import Threads


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_thread_that_could_not_be_started_is_started_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, ran = Threads(1, "test"), []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="thread"):
            threads.submit(lambda: ran.append("refused"))
    threads.submit(lambda: ran.append("taken")).result(10)
    threads.stop()
    assert ran == ["taken"], "what was refused is not run after all: it comes again"


def test_the_threads_that_there_are_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads(2, "test")
    assert threads.submit(lambda: 1).result(10) == 1
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert threads.submit(lambda: 2).result(10) == 2
    threads.stop()
