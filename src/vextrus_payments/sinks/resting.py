"""Tenants whose endpoint gave no answer: it is left alone for a while, so that it keeps no other tenant's rows waiting.

A post that runs into its time limit holds one of the outbox's few places all the while; an endpoint that swallows
everything would soon hold them all. After a few such posts in a row the tenant's rows are turned away at once, until
its rest is over; then one row at a time finds out whether it answers again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from vextrus_payments.clock import Clock
from vextrus_payments.errors import DeliveryError

_FAILURES: Final = 3
_REST_S: Final = 30.0
_PROBED_AGAIN_S: Final = 5.0


@dataclass(slots=True)
class _Record:
    failures: int = 0
    rests_until: float = 0.0
    is_probed: bool = False


class Resting:
    """Who rests, of one sink; with `never`, nobody."""

    def __init__(self, clock: Clock, *, never: bool = False) -> None:
        self._clock = clock
        self._never = never
        self._records: dict[str, _Record] = {}
        """Of tenants whose last post got no answer, and of no others."""

    @contextmanager
    def post(self, tenant: str) -> Iterator["Post"]:
        """Around one post to the tenant's endpoint, which says on the `Post` how it went.

        Raises:
            DeliveryError: the endpoint rests; nothing is to be posted.
        """
        record = self._records.get(tenant)
        probes = record is not None and record.failures >= _FAILURES
        if record is not None and probes:
            left_s = record.rests_until - self._clock.monotonic()
            if left_s > 0 or record.is_probed:
                raise DeliveryError(
                    "The tenant's endpoint gave no answer a moment ago, so nothing was posted.",
                    code="endpoint_rests",
                    retry_after_s=max(left_s, _PROBED_AGAIN_S),
                )
            record.is_probed = True
        post = Post()
        try:
            yield post
        finally:
            if record is not None and probes:
                record.is_probed = False
            if post.answered is True:
                self._records.pop(tenant, None)
            elif post.answered is False and not self._never:
                self._failed(tenant)

    def _failed(self, tenant: str) -> None:
        record = self._records.setdefault(tenant, _Record())
        record.failures += 1
        record.rests_until = self._clock.monotonic() + _REST_S


class Post:
    """How one post went; None: it was not made, or cut off."""

    __slots__ = ("answered",)

    def __init__(self) -> None:
        self.answered: bool | None = None
