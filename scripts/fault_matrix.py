"""Writes docs/fault-matrix.md from the table that the tests play (`--print` shows it instead)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tests.flows.fault_matrix import GATEWAYS, Step, faults_of, steps_of, words  # noqa: E402
from tests.flows.leaving_matrix import MORE  # noqa: E402
from vextrus_payments.testing.faulty import Fault  # noqa: E402

TARGET = ROOT / "docs" / "fault-matrix.md"
_HEAD = """\
# The fault matrix

What the engine makes of every fault at every step of a gateway. Written by `scripts/fault_matrix.py` from the table
that `tests/flows/test_fault_matrix.py` and `test_leaving_matrix.py` play against the sandbox, cell by cell; a step or
fault without words fails there. Which steps and faults a gateway has follows from its capabilities.

Two things hold in every cell: what may move money is not sent again after its bytes have left, unless it is proven not
done; and by the gateway's own books everything is done at most once. A step that may move money is tried with look-ups
failing, too: where they work, the look-up right after a lost answer finds it at once.

A look-up, a session and the list before a refund meet the fault each time they are tried; all else meets it once. The
faults, and whether the gateway does what was asked:

"""


def document() -> str:
    """The page."""
    lines = [_HEAD.rstrip("\n"), "", "| fault | what happens |", "|---|---|"]
    lines += [f"| {fault.value} | {_about(fault)} |" for fault in Fault]
    for gateway in GATEWAYS:
        lines += ["", f"## {gateway.title}"]
        if gateway.other_product_of:
            lines += ["", f"As {gateway.other_product_of}, cell by cell, with these steps alone:", ""]
            lines += [f"- {step.name}" for step in steps_of(gateway)]
            continue
        for step in steps_of(gateway):
            lines += _table(gateway.title, step, faults_of(gateway))
    for more in MORE:
        lines += ["", f"## {more.title}"]
        for step in more.steps:
            lines += _table(more.title, step, more.faults)
    return "\n".join(lines) + "\n"


def _table(title: str, step: Step, faults: tuple[Fault, ...]) -> list[str]:
    lines = ["", f"### {title}: {step.name}", "", f"Safety: {step.safety.value}.", ""]
    lines += ["| fault | the caller is told | once the line works again |", "|---|---|---|"]
    for fault in faults:
        now, later = words(step, fault)
        lines.append(f"| {fault.value} | {now} | {later} |")
    return lines


def _about(fault: Fault) -> str:
    return {
        Fault.NOT_SENT: "not one byte leaves",
        Fault.LOST_BEFORE: "it leaves, the gateway does nothing, no answer comes",
        Fault.LOST_AFTER: "the gateway does it, the answer gets lost",
        Fault.SLOW: "the gateway does it, and answers too late",
        Fault.ERROR_BEFORE: "the gateway does nothing and answers 503",
        Fault.ERROR_AFTER: "the gateway does it and answers 500",
        Fault.MALFORMED: "the gateway does it; half of its answer arrives",
        Fault.EMPTY: "the gateway does it and answers 200 with nothing",
        Fault.HTML: "the gateway does it; a page arrives instead of its answer",
        Fault.REDIRECT: "the gateway does nothing and answers 302",
        Fault.TOKEN_ONCE: "the front door rejects the token, once",
        Fault.TOKEN_ALWAYS: "the front door rejects every token",
    }[fault]


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.write(document())
    else:
        TARGET.write_text(document(), encoding="utf-8")
