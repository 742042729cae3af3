"""Which money is meant."""

from enum import StrEnum


class Mode(StrEnum):
    """sandbox = test money, live = real money. Entries and receipts carry it; the two never mix."""

    SANDBOX = "sandbox"
    LIVE = "live"
