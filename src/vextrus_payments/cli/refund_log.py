"""Refunds of payments that are not in our store: one small file per transaction, so that none is sent twice.

The gateway's refund has no idempotency key. So before anything is sent the transaction is claimed by creating a file;
the adapter's checkpoint (which refunds were there before) is written into it before the refund leaves; and what came
of it is kept per operation id. Whoever comes back with the same operation id gets the kept result, or only looks.

A claim without a checkpoint proves that nothing was sent; it may be taken over once its sending deadline is over.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from vextrus_payments.clock import Clock
from vextrus_payments.errors import ConflictError, OperationConflictError, StaleStateError, StorageError
from vextrus_payments.payment import Evidence, RefundCall

#: How long after the claim the first byte of the refund may still leave, in seconds.
SEND_WINDOW_S: Final = 60
#: From then on a claim without a checkpoint is nobody's any more.
_ABANDONED_AFTER: Final = timedelta(seconds=SEND_WINDOW_S + 30)


@dataclass(frozen=True, slots=True)
class Begun:
    """The transaction is claimed: go on. With `resume` the refund may have been sent before: only look."""

    token: str
    resume: Evidence | None


@dataclass(frozen=True, slots=True)
class Made:
    """The operation was finished before: its result as it was kept."""

    result: Mapping[str, Any]


class RefundLog:
    """The files of one folder. Every method raises StorageError when the folder cannot be read or written."""

    def __init__(self, folder: Path, scope: str, call: RefundCall, *, clock: Clock, token: str) -> None:
        """`scope` tells gateways and modes apart; `token` is a fresh random text, the mark of this process."""
        self._call = call
        self._clock = clock
        self._token = token
        self._claim = folder / f"{_digest(scope, call.transaction_id)}.claim.json"
        self._done = folder / f"{_digest(scope, call.transaction_id, call.operation_id)}.done.json"
        self._terms = {
            "operation_id": call.operation_id,
            "gateway_reference": call.gateway_reference,
            "amount": call.amount.amount,
            "currency": call.amount.currency,
        }

    def begin(self) -> Begun | Made:
        """Claim the transaction for this operation.

        Raises:
            OperationConflictError: the operation id was used with other parameters.
            ConflictError: another refund of the transaction is open, or another process is at this one.
        """
        made = _read(self._done, _is_result)
        if made is not None:
            self._check_terms(made)
            return Made(made["result"])
        claim = {**self._terms, "token": self._token, "claimed_at": self._now().isoformat(), "evidence": None}
        if _create(self._claim, claim):
            return Begun(self._token, None)
        found = _read(self._claim, _is_claim)
        if found is None:
            raise ConflictError("Another process is at a refund of this transaction.", next_step="Try again.")
        if found["evidence"] is None:
            if self._now() - datetime.fromisoformat(found["claimed_at"]) < _ABANDONED_AFTER:
                raise ConflictError(
                    "Another process is at a refund of this transaction.",
                    next_step="See what came of it; if that process is gone, try again in two minutes.",
                )
            _replace(self._claim, claim)
            return Begun(self._token, None)
        if found["operation_id"] != self._call.operation_id:
            raise ConflictError(
                "Another refund of this transaction may have been sent, and its end is not known.",
                next_step=f"Settle that one first: the same command with --operation-id {found['operation_id']}",
            )
        self._check_terms(found)
        evidence = found["evidence"]
        return Begun(found["token"], Evidence(evidence["step"], evidence["data"]))

    async def checkpoint(self, evidence: Evidence) -> None:
        """Make the evidence durable; the refund may leave once this has returned.

        Raises:
            StaleStateError: another process has taken the claim over.
        """
        found = _read(self._claim, _is_claim)
        if found is None or found["token"] != self._token:
            raise StaleStateError("Another process has taken this refund over; nothing was sent from here.")
        _replace(self._claim, {**found, "evidence": {"step": evidence.step, "data": dict(evidence.data)}})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Keep the result and give the transaction free."""
        _replace(self._done, {**self._terms, "result": dict(result)})
        self.release()

    def release(self) -> None:
        """Give the transaction free: proven that nothing was refunded, or the result is kept."""
        try:
            self._claim.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(error) from None

    def _check_terms(self, found: Mapping[str, Any]) -> None:
        if any(found.get(name) != value for name, value in self._terms.items()):
            raise OperationConflictError("This operation id was used before with other parameters.")

    def _now(self) -> datetime:
        return self._clock.now().astimezone(UTC)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode("utf-8")).hexdigest()[:40]


def _create(path: Path, document: Mapping[str, Any]) -> bool:
    """Write a file that is not there yet, whole; False when it is."""
    beside = _written_beside(path, document)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    except OSError as error:
        raise _failed(error) from None
    finally:
        beside.unlink(missing_ok=True)
    return True


def _replace(path: Path, document: Mapping[str, Any]) -> None:
    beside = _written_beside(path, document)
    try:
        beside.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise _failed(error) from None


def _written_beside(path: Path, document: Mapping[str, Any]) -> Path:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _failed(error) from None
    return beside


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_result(found: Mapping[str, Any]) -> bool:
    return isinstance(found.get("result"), dict)


def _is_claim(found: Mapping[str, Any]) -> bool:
    """As `begin` and `checkpoint` write it; ValueError where its time is none."""
    evidence = found.get("evidence", "")
    return (
        isinstance(found.get("operation_id"), str)
        and isinstance(found.get("token"), str)
        and datetime.fromisoformat(str(found.get("claimed_at"))).tzinfo is not None
        and (evidence is None or (isinstance(evidence, dict) and _is_evidence(evidence)))
    )


def _is_evidence(found: Mapping[str, Any]) -> bool:
    return isinstance(found.get("step"), str) and isinstance(found.get("data"), dict)


def _read(path: Path, is_ours: Callable[[Mapping[str, Any]], bool]) -> Any:
    """The document as we write it; None where there is no such file."""
    problem: OSError | None = None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and is_ours(found):
            return found
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        pass
    except OSError as error:
        problem = error
    if problem is not None:
        raise _failed(problem)
    raise StorageError(
        f"The file {path} is damaged.", next_step="Look at it before anything is refunded again."
    )


def _failed(error: OSError) -> StorageError:
    return StorageError(
        f"The record of refunds cannot be kept: {error.strerror or type(error).__name__}.",
        next_step="See that the folder can be written and has room, or name another one in VEXTRUS_PAY_HOME.",
    )
