"""Records that were read or written a moment ago, by their text: the next operation on a payment need not parse them.

Equal texts are equal records, and records are frozen; so one object may serve all who read the text. A record that
holds a mapping (metadata, evidence, a reason's own words) is never kept: whoever got it could change it for others.
"""

from typing import Any, Final, TypeVar

from vextrus_payments.documents import from_json, to_json
from vextrus_payments.records import Operation, Payment, Receipt, Submission

T = TypeVar("T")

_LIMIT: Final = 2_048
"""How many records are kept: a few megabytes."""


class Recall:
    """Of one connection: used by its thread alone."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def load(self, cls: type[T], text: str) -> T:
        """The record of this text."""
        kept = self._kept.get(text)
        if type(kept) is cls:
            return kept
        record = from_json(cls, text)
        self._keep(text, record)
        return record

    def dump(self, record: object) -> str:
        """The record's text, and the record is remembered for whoever reads it next."""
        text = to_json(record)
        self._keep(text, record)
        return text

    def _keep(self, text: str, record: object) -> None:
        if not _is_frozen(record):
            return
        if len(self._kept) >= _LIMIT:
            self._kept.clear()  # seldom, and cheaper than keeping order at every use
        self._kept[text] = record


def _is_frozen(record: object) -> bool:
    """Whether nothing of the record can be changed. What is not named here is not kept."""
    kind = type(record)
    if kind is Operation:
        return not record.evidence and record.reason is None  # type: ignore[attr-defined]
    if kind is Payment:
        return not record.metadata and record.closed_reason is None  # type: ignore[attr-defined]
    return kind is Submission or kind is Receipt
