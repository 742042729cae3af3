"""Settlement matching: a gateway's statement against our receipts.

`SettlementRun(store, ...).run("statement.csv")` reads a CSV or XLSX statement, reports every difference as a typed
`Break` that names the field and both values, and (with `apply`) books what agrees. docs/settlement.md shows it whole.
"""

from vextrus_payments.settlement.formats import Column, StatementFormat
from vextrus_payments.settlement.matching import Tolerances
from vextrus_payments.settlement.run import OnFinding, OnProgress, SettlementRun, SettlementTerms
from vextrus_payments.settlement.words import (
    BadRow,
    Break,
    BreakKind,
    Days,
    Finding,
    Phase,
    Progress,
    SettlementReport,
)

__all__ = [
    "BadRow",
    "Break",
    "BreakKind",
    "Column",
    "Days",
    "Finding",
    "OnFinding",
    "OnProgress",
    "Phase",
    "Progress",
    "SettlementReport",
    "SettlementRun",
    "SettlementTerms",
    "StatementFormat",
    "Tolerances",
]
