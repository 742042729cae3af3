"""Writes the world down as it changes, and takes it up again: all that lies between the world and its state file.

What is kept: the wallets, the books, the payments of each gateway with its tokens' log and manners, the merchants, the
orders of the fault dial, who is told by webhook and what has not reached him, the record, the clock. What is not: the
log of calls (``GET /_sandbox/wire``) and of webhook tries, and the work of a call that a fault had put off.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from vextrus_payments_sandbox.books import InsufficientFundsError, Movement
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.faults import FaultPlans, Plan
from vextrus_payments_sandbox.record import Entry
from vextrus_payments_sandbox.state.codec import Codec, NotPlainError
from vextrus_payments_sandbox.state.file import Row, StateFile, StateFileError
from vextrus_payments_sandbox.state.sources import (
    ONLY,
    Found,
    Lines,
    Source,
    Things,
    Whole,
    line_list,
    only,
    sorted_in,
)
from vextrus_payments_sandbox.subscriptions import Notice
from vextrus_payments_sandbox.world import SandboxError, Wallet, World

_AT: Final = "at"
_MICROSECOND: Final = timedelta(microseconds=1)


class Keeping(Protocol):
    """What a gateway has to keep (``bkash/lasting.py``)."""

    sources: Sequence[Source]

    def named(self) -> Mapping[type, Any]:
        """How its things are named elsewhere, for the :class:`Codec`."""
        ...

    def restore(self, found: Found, codec: Codec, movements: Sequence[Movement]) -> None:
        """Take up what was written down."""
        ...


class Keeper:
    """Of one sandbox. A world that was written before is taken up by the constructor.

    Raises:
        StateFileError: what was written cannot be taken up; nothing was changed in the file.
    """

    def __init__(
        self,
        file: StateFile,
        world: World,
        faults: FaultPlans,
        courier: Courier,
        gateways: Sequence[Keeping],
        *,
        seed: int | None = None,
    ) -> None:
        self.file = file
        self.problem = ""
        """Why the last change could not be written; empty while all is written."""
        self._world, self._faults, self._courier = world, faults, courier
        self._gateways, self._starts, self._seed = gateways, 1, seed
        named: dict[type, Any] = {Wallet: (lambda one: one.number, lambda number: world.wallets.get(number))}
        for gateway in gateways:
            named |= gateway.named()
        self._codec = Codec(named)
        self._record = Things("entry", world.record, "kept")
        self._movements = Lines("movement", lambda: world.books.movements)
        self._sources: tuple[Source, ...] = (
            Things("wallet", world, "wallets"),
            self._movements,
            Lines("born", lambda: world.register.names),
            Whole("clock", lambda: world.clock.ahead // _MICROSECOND),
            Whole("forgotten", lambda: world.record.forgotten),
            Whole("forgotten_at", lambda: world.record.last_forgotten_at),
            Whole("start", lambda: self._starts),
            Whole("plans", faults.as_json),
            Things("struck", faults.magic, "struck"),
            Things("opened", faults.magic, "opened"),
            Whole("endpoints", self._endpoints),
            Things("notice", courier, "undelivered"),
            *(source for gateway in gateways for source in gateway.sources),
        )
        self._epoch = -1
        self.taken_up = False
        """Whether there was something in the file."""
        found = sorted_in(file.rows())
        if found:
            self._take_up(found)
            self.taken_up = True
        world.keeping = self.keep

    # ------------------------------------------------------------------------------------------- writing

    def keep(self) -> bool:
        """Write what changed, all of it or nothing; false where that cannot be (:attr:`problem`)."""
        try:
            self._write()
        except StateFileError as error:
            self.problem = str(error)
            return False
        self.problem = ""
        return True

    def close(self) -> None:
        """Write what is left, and let the file go."""
        if self._world.keeping is None:
            return
        self.keep()
        self._world.keeping = None
        self.file.close()

    def _write(self) -> None:
        anew = self._epoch != self._world.epoch
        if anew:
            self._record.owner.kept = {str(one.seq): one for one in self._world.record.entries()}
            for source in (self._record, *self._sources):
                source.bind()
        rows = list(self._changes())
        if rows or anew:
            now = f'"{self._world.clock.unskewed().isoformat()}"'
            self.file.write([*rows, (_AT, ONLY, now)], anew=anew)
        self._epoch = self._world.epoch
        for source in (self._record, *self._sources):
            source.written()

    def _changes(self) -> Iterator[Row]:
        for source in (self._record, *self._sources):
            for key, data in source.changes(self._codec):
                yield source.name, key, data

    def _endpoints(self) -> list[dict[str, Any]]:
        return [
            {
                "gateway": one.gateway,
                "url": one.url,
                "version": one.topic.version,
                "base_url": one.base_url,
                "arn": one.arn,
                "token": one.token,
                "confirmed": one.confirmed,
            }
            for one in self._courier.subscriptions.values()
        ]

    # ----------------------------------------------------------------------------------------- taking up

    def _take_up(self, found: Found) -> None:
        problem = ""
        try:
            self._restore(found)
        except (
            NotPlainError,
            SandboxError,
            InsufficientFundsError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            problem = f"{type(error).__name__}: {error}"
        problems = [problem] if problem else self._world.audit()
        if problems:
            raise StateFileError(
                f"the state file {self.file.path} cannot be taken up: {problems[0]}. It was left as it is; "
                "name another file, or use the version of the sandbox that wrote it"
            )

    def _restore(self, found: Found) -> None:
        world, codec = self._world, self._codec
        at = only(found, _AT, codec, datetime, world.now())
        world.clock.restore(only(found, "clock", codec, int, 0) * _MICROSECOND, at)
        forgotten = only(found, "forgotten", codec, int, 0)
        entries = sorted(line_list(found, "entry", codec, Entry), key=lambda one: one.seq)
        world.record.restore(entries, forgotten, only(found, "forgotten_at", codec, str, ""))
        world.record.kept = {str(one.seq): one for one in entries}
        self._record.bind(written=True)
        world.wallets = {key: codec.thing(Wallet, data) for key, data in found.get("wallet", {}).items()}
        movements = line_list(found, "movement", codec, Movement)
        for gateway in self._gateways:
            gateway.restore(found, codec, movements)
            for source in gateway.sources:
                source.bind(written=True)
        born = [(name, reference) for name, reference in line_list(found, "born", codec, tuple[str, str])]
        world.restore(world.wallets, movements, born)
        self._restore_hands(found)
        self._starts = only(found, "start", codec, int, 1) + 1
        if self._seed is not None:  # a repeated id would look like an old one to a client
            world.random.seed(f"{self._seed}/{self._starts}")
        self._epoch = world.epoch
        for source in self._sources:
            if not any(source in gateway.sources for gateway in self._gateways) and source.name != "start":
                source.bind(written=True)
        self._movements.done = len(movements)  # what settled since then is new

    def _restore_hands(self, found: Found) -> None:
        """What somebody had ordered: faults, and whom to tell."""
        codec, magic = self._codec, self._faults.magic
        self._faults.restore(only(found, "plans", codec, list[Plan], []))
        magic.struck = dict.fromkeys(found.get("struck", {}))
        magic.opened = {key: codec.thing(int, data) for key, data in found.get("opened", {}).items()}
        for endpoint in only(found, "endpoints", codec, list[dict[str, Any]], []):
            self._courier.take_up(endpoint.pop("gateway"), endpoint.pop("url"), **endpoint)
        self._courier.undelivered = {
            key: codec.thing(Notice, data) for key, data in found.get("notice", {}).items()
        }
