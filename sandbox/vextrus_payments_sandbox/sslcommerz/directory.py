"""Where sessions are found: by key, tran_id, val_id, bank_tran_id or a reference of the merchant's own (dossier §1.6).

What a store asks for is found among its own sessions alone.
"""

from dataclasses import replace

from vextrus_payments.gateways.sslcommerz.models import Status
from vextrus_payments_sandbox.sslcommerz.records import Attempt, Merchant, Session
from vextrus_payments_sandbox.world import World


class Directory:
    """Every session, and the indexes over them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions: dict[str, Session] = {}
        """By session key."""
        self._by_tran: dict[tuple[str, str], list[Session]] = {}
        self._by_id: dict[str, Session] = {}
        self._latest: dict[str, Session] = {}

    def named(self, handle: str) -> Session | None:
        """The session that somebody names by whatever he has; of a tran_id or a value_d the latest, whosever it is."""
        return self.sessions.get(handle.upper()) or self._by_id.get(handle) or self._latest.get(handle)

    def is_used(self, merchant: Merchant, tran_id: str) -> bool:
        """Whether a store has opened a session under this tran_id before."""
        return (merchant.store_id, tran_id) in self._by_tran

    def validated(self, merchant: Merchant, val_id: str) -> tuple[Session, Attempt, Status] | None:
        """A store's own paid transaction by its val_id, and its status: VALID at first, VALIDATED from then on."""
        session = self._by_id.get(val_id)
        if session is None or session.merchant != merchant:
            return None
        attempt = next((one for one in session.paid if one.val_id == val_id), None)
        if attempt is None:
            return None
        if attempt.validated_at is not None:
            return session, attempt, Status.VALIDATED
        known = replace(attempt, validated_at=self.world.now())
        session.attempts = tuple(known if one is attempt else one for one in session.attempts)
        return session, known, Status.VALID

    def by_tran(self, merchant: Merchant, tran_id: str) -> list[Session]:
        """Every session of a store under one tran_id, oldest first."""
        return list(self._by_tran.get((merchant.store_id, tran_id), ()))

    def by_key(self, merchant: Merchant, key: str) -> Session | None:
        """A store's own session."""
        session = self.sessions.get(key.upper())
        return session if session is not None and session.merchant == merchant else None

    def by_bank_tran(self, merchant: Merchant, bank_tran_id: str) -> tuple[Session, Attempt] | None:
        """A store's own paid transaction."""
        session = self._by_id.get(bank_tran_id)
        if session is None or session.merchant != merchant:
            return None
        return next(((session, one) for one in session.paid if one.bank_tran_id == bank_tran_id), None)

    def _clear(self) -> None:
        """Forget the indexes."""
        for kept in (self._by_tran, self._by_id, self._latest):
            kept.clear()

    def _index(self, session: Session) -> None:
        self._by_tran.setdefault((session.merchant.store_id, session.tran_id), []).append(session)
        self._latest[session.tran_id] = session
        if session.values.get("value_d"):  # where sources say that a reference of one's own belongs (§1.4)
            self._latest[session.values["value_d"]] = session

    def _know(self, session: Session, attempt: Attempt) -> None:
        for known in (attempt.bank_tran_id, attempt.val_id):
            if known:
                self._by_id[known] = session
