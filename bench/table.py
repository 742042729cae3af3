"""The tables in docs/benchmarks.md, between markers; the text around them is written by hand."""

from pathlib import Path
from typing import Any, Final

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- bench:begin: written by `make bench`, do not edit -->"
END: Final = "<!-- bench:end -->"
_WORDS: Final = {"stretch": "stretch reached", "must": "must held", "missed": "**must missed**"}


def rendered(goals: dict[str, Any]) -> str:
    """Goals, then what the others need, then what the figures were taken on."""
    lines = [
        "| Goal | | Measured (95 %) | Must | Stretch | Verdict |",
        "|---|---|---|---|---|---|",
    ]
    for name, goal in goals.items():
        lines.append(
            f"| {name} | {goal['title']} | **{_shown(goal['value'])}**"
            f" ({_shown(goal['low'])}-{_shown(goal['high'])}) {goal['unit']}"
            f" | {_limit(goal['must'])} | {_limit(goal['stretch'])} | {_WORDS[goal['verdict']]} |"
        )
    for name, goal in goals.items():
        if not goal["peers"] and not goal["detail"]:
            continue
        lines += ["", f"**{name}**: {goal['note']}", ""]
        if goal["peers"]:
            lines += [f"| {name}: the others, same run | {goal['unit']} |", "|---|---|"]
            lines += [f"| {who} | {_shown(value)} |" for who, value in goal["peers"].items()]
            lines.append("")
        if goal["detail"]:
            lines += [f"- {what}: {_detail(value)}" for what, value in goal["detail"].items()]
    lines += ["", *_runs(goals)]
    return "\n".join(lines)


def _runs(goals: dict[str, Any]) -> list[str]:
    """One line per run that figures come from."""
    found: dict[str, list[str]] = {}
    for name, goal in goals.items():
        run = goal["run"]
        about = (
            f"{run['at']}, Python {run['python']}, {run['system']}, {run['cpus']} processors,"
            f" load {run['load'][0]} before and {run['load'][1]} after"
        )
        found.setdefault(about, []).append(name)
    return [f"Taken {about}: {', '.join(names)}." for about, names in found.items()]


def _shown(value: float) -> str:
    return f"{value:g}"


def _limit(value: float | None) -> str:
    return "-" if value is None else f"<= {value:g}"


def _detail(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_detail(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " to ".join(_detail(one) for one in value)
    return _shown(value) if isinstance(value, int | float) else str(value)


def written(document: Path, goals: dict[str, Any]) -> None:
    """Replace what stands between the markers.

    Raises:
        ValueError: the document has no markers; nothing is written.
    """
    text = document.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document.name} has lost its markers")
    document.write_text(f"{head}{BEGIN}\n{rendered(goals)}\n{END}{tail}", encoding="utf-8", newline="\n")
