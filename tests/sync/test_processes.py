"""Forks and the end of the interpreter: a child has a loop of its own, and no process hangs or complains."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.postgres_database import migrated
from tests.sync.world import Sandbox, wanted
from vextrus_payments.errors import StorageError
from vextrus_payments.stores import SqliteStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

HEAD = """
import asyncio, gc, json, os, sys, threading, time
from vextrus_payments import ConfigurationError, LedgerEntry, Money, Paid, PaymentRequest
from vextrus_payments.sync import Payments

store, payment_id = sys.argv[1], sys.argv[2]
payments = Payments(store=store, public_url="https://shop.example/payments", workers=False)

def in_child(work):
    '''What the work returns in a child of a fork, which then ends as an interpreter does.'''
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            answer = work()
        except Exception as error:
            answer = getattr(error, "code", repr(error))
        os.write(writing, json.dumps(answer).encode())
        os.close(writing)
        gc.collect()
        sys.exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = json.loads(pipe.read())
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    return answer

def name(outcome):
    return type(outcome).__name__
"""


def run(sandbox: Sandbox, program: str, *arguments: str, timeout_s: float = 30, check: bool = True) -> Any:
    """What the program prints, as JSON. Anything on its stderr is a failure: nobody complains at the end."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + textwrap.dedent(program), *arguments],
        env={**os.environ, **sandbox.environ()},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout_s,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0) or not check, done.stderr
    return json.loads(done.stdout) if check else done


@pytest.fixture
def paying(sandbox: Sandbox, tmp_path: Path) -> tuple[Sandbox, str, str]:
    """A sandbox, a store with an approved payment, and the payment's id."""
    with sandbox.payments(tmp_path / "shop.db") as payments:
        session = payments.initialize(wanted())
    sandbox.approve(session)
    return sandbox, f"sqlite:///{tmp_path / 'shop.db'}", session.payment_id


def test_made_before_the_fork_and_used_after_it(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        def work():
            outcome = payments.execute(payment_id)
            loops = [t for t in threading.enumerate() if t.name == "vextrus-payments"]
            return [name(outcome), os.getpid(), len(loops)]
        first, second = in_child(work), in_child(work)
        mine = work()
        print(json.dumps([first, second, mine]))
    """
    answers = run(sandbox, program, store, payment_id)
    assert [answer[0] for answer in answers] == ["Paid"] * 3
    assert [answer[2] for answer in answers] == [1, 1, 1]
    assert len({answer[1] for answer in answers}) == 3
    assert sandbox.calls("execute") == 1


def test_closed_before_the_fork_it_stays_closed_until_opened(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        payments.open()
        payments.close()
        def opened():
            payments.open()
            return name(payments.execute(payment_id))
        print(json.dumps([in_child(lambda: name(payments.execute(payment_id))), in_child(opened)]))
    """
    assert run(sandbox, program, store, payment_id) == ["not_open", "Paid"]


def test_an_open_file_is_not_used_on_both_sides_of_a_fork(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        payments.open()
        def work():
            try:
                payments.execute(payment_id)
            except ConfigurationError as error:
                refused = [error.code, "after the fork" in str(error)]
            payments.close()
            loops = [t for t in threading.enumerate() if t.name == "vextrus-payments"]
            return [*refused, len(loops)]
        before = name(payments.status(payment_id))
        child = in_child(work)
        # The child ended its whole interpreter; the loop and the file of the parent serve on.
        after = name(payments.execute(payment_id))
        payments.close()
        print(json.dumps([before, child, after]))
    """
    assert run(sandbox, program, store, payment_id) == ["Pending", ["forked", True, 0], "Paid"]


def test_a_child_leaves_the_loop_of_its_parent_alone(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    # The other facade of the process is open, with a call on the wire, when the child makes its own of everything.
    program = """
        payments.open()
        other = Payments(store=store, public_url="https://shop.example/payments", workers=False)
        outcomes = []
        thread = threading.Thread(target=lambda: outcomes.append(name(payments.execute(payment_id))))
        thread.start()
        def work():
            from vextrus_payments.sync import background
            background.background().wait_for(asyncio.sleep(0.01))
            del globals()["payments"], globals()["other"], globals()["thread"]
            gc.collect()
            return len([t for t in threading.enumerate() if t.name == "vextrus-payments"])
        loops = [in_child(work) for _ in range(3)]
        thread.join()
        print(json.dumps([loops, outcomes]))
    """
    sandbox.fault("execute", "delay_after;seconds=1")
    assert run(sandbox, program, store, payment_id) == [[1, 1, 1], ["Paid"]]
    assert sandbox.calls("execute") == 1


def test_a_child_connects_to_postgresql_by_itself(
    sandbox: Sandbox, postgres_dsn: str, tmp_path: Path
) -> None:
    store = migrated(postgres_dsn)
    with sandbox.payments(store) as payments:
        session = payments.initialize(wanted())
    sandbox.approve(session)
    program = """
        from vextrus_payments.tokens import FileTokenBackend
        with_tokens = Payments(store=store, tokens=FileTokenBackend(sys.argv[3]), workers=False)
        with_tokens.open()
        payments.open()
        before = name(payments.status(payment_id))
        child = in_child(lambda: name(payments.execute(payment_id)))
        refused = in_child(lambda: name(with_tokens.status(payment_id)))
        print(json.dumps([before, child, refused, name(payments.execute(payment_id))]))
    """
    answers = run(sandbox, program, store, session.payment_id, str(tmp_path / "tokens"))
    assert answers == ["Pending", "Paid", "forked", "Paid"]
    assert sandbox.calls("execute") == 1


def test_an_object_as_store_is_refused_once_it_was_open(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        from vextrus_payments.stores import SqliteStore
        payments = Payments(store=SqliteStore(store.removeprefix("sqlite:///")), workers=False)
        never_open = in_child(lambda: name(payments.execute(payment_id)))
        payments.open()
        open_here = in_child(lambda: name(payments.execute(payment_id)))
        payments.close()
        def opened():
            payments.open()
            return name(payments.execute(payment_id))
        closed_here = in_child(opened)
        print(json.dumps([never_open, open_here, closed_here]))
    """
    assert run(sandbox, program, store, payment_id) == ["Paid", "forked", "Paid"]


def test_a_file_that_the_parent_has_open_is_refused_whoever_asks(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        payments.open()
        other = Payments(store=store, public_url="https://shop.example/payments", workers=False)
        refused = in_child(lambda: name(other.status(payment_id)))
        payments.close()
        print(json.dumps([refused, in_child(lambda: name(other.status(payment_id)))]))
    """
    assert run(sandbox, program, store, payment_id) == ["storage_forked", "Pending"]


async def test_an_open_store_is_refused_in_a_child_before_it_could_hang(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "shop.db")
    await store.open()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = "opened"
        try:
            store.open().send(None)
        except StorageError as error:
            code = error.code
        finally:
            os.write(writing, code.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"storage_forked"
    os.waitpid(pid, 0)
    await store.close()


def test_threads_of_callbacks_are_the_childs_own(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        took = []
        payments = Payments(
            store=store, workers=False,
            ledger=lambda entry: took.append(["ledger", os.getpid()]), on_event=lambda event: None,
        )
        payments.execute(payment_id)
        payments.deliver()
        payments.close()
        def work():
            payments.open()
            from vextrus_payments import RefundRequest
            payments.refund(RefundRequest(operation_id="r", payment_id=payment_id, amount=Money("1")))
            payments.deliver()
            return [took[-1][1] == os.getpid(), len(took)]
        print(json.dumps([in_child(work), len(took)]))
    """
    assert run(sandbox, program, store, payment_id) == [[True, 2], 1]


# --- the end ------------------------------------------------------------------------------------------------------


def test_a_process_that_never_closes_ends_by_itself(paying: tuple[Sandbox, str, str], tmp_path: Path) -> None:
    sandbox, store, payment_id = paying
    ledger = tmp_path / "ledger.txt"
    program = """
        def ledger(entry):
            with open(sys.argv[3], "a") as file:
                file.write(entry.id + "\\n")
        payments = Payments(store=store, ledger=ledger)
        print(json.dumps(name(payments.execute(payment_id))))
    """
    assert run(sandbox, program, store, payment_id, str(ledger)) == "Paid"


def test_what_was_on_the_wire_when_the_main_thread_was_interrupted_is_recorded(
    paying: tuple[Sandbox, str, str],
) -> None:
    sandbox, store, payment_id = paying
    program = """
        import signal
        def interrupt():
            while not glob():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        import urllib.request
        def glob():
            url = os.environ["BKASH_API_URL"].split("/bkash")[0].split("/v1")[0]
            url = "/".join(url.split("/")[:3]) + "/_sandbox/wire"
            with urllib.request.urlopen(url) as answer:
                return any(call["operation"] == "execute" for call in json.loads(answer.read())["calls"])
        threading.Thread(target=interrupt).start()
        try:
            payments.execute(payment_id)
        except KeyboardInterrupt:
            print(json.dumps("interrupted"))
    """
    sandbox.fault("execute", "delay_after;seconds=1")
    assert run(sandbox, program, store, payment_id) == "interrupted"
    # The end of the interpreter waited for the answer: the store knows it without asking again.
    looked_up = sandbox.calls("query")
    with sandbox.payments(store) as payments:
        facts = payments.get(payment_id)
        assert facts is not None and facts.payment.state == "paid"
    assert sandbox.calls("query") == looked_up


def test_a_callback_that_hangs_does_not_hold_the_process(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        from vextrus_payments.sync import background
        background.EXIT_WAIT_S = 0.5
        hangs = threading.Event()
        def ledger(entry):
            hangs.set()
            threading.Event().wait()
        payments = Payments(store=store, ledger=ledger)
        print(json.dumps(name(payments.execute(payment_id))), flush=True)
        hangs.wait()
    """
    assert run(sandbox, program, store, payment_id) == "Paid"


def test_after_the_end_has_begun_nothing_is_opened(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        import atexit
        def late():
            try:
                payments.get(payment_id)
            except ConfigurationError as error:
                print(json.dumps(error.code))
        atexit.register(late)
        if sys.argv[3] == "opened":
            payments.open()
    """
    assert run(sandbox, program, store, payment_id, "opened") == "not_open"
    assert run(sandbox, program, store, payment_id, "never") == "not_open"


def test_threads_that_outlive_the_main_one_are_answered(paying: tuple[Sandbox, str, str]) -> None:
    sandbox, store, payment_id = paying
    program = """
        def work():
            codes = []
            for _ in range(1000):
                try:
                    payments.get(payment_id)
                except Exception as error:
                    codes.append(error.code)
                    break
            print(json.dumps(codes))
        payments.open()
        threading.Thread(target=work).start()
    """
    assert run(sandbox, program, store, payment_id) in (["not_open"], ["closing"], ["storage_closed"], [])
