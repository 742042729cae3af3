"""Mutation testing of the code that decides about money: `make mutate` (one group: `make mutate ONLY=money`).

mutmut changes one thing at a time in a copy of the tree and runs the tests that stand for the file. A change that no
test notices is a survivor. Changes to nothing but the words of a message are counted apart: tests hold on to a
message's code and fields, not to its wording. Every other survivor has to stand in docs/mutants.md with the reason why
it may live; a new one fails the run, and so does a share of killed ones below 90 percent.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTED = ROOT / "docs" / "mutants.md"
FLOOR_PERCENT = 90.0

_RECORDING = ["answers", "drafting", "holds", "pictures", "refunds", "resolutions", "seen", "sessions"]
#: The quick ones only: what walks about at random (test_plans.py, test_life_machine.py) takes far too long per mutant.
_STATE_TESTS = [
    "test_rules_tables.py",
    "test_rules_stories.py",
    "test_rules_guards.py",
    "test_rules_answers.py",
    "test_rules_pages.py",
    "test_rules_refunds.py",
    "test_states.py",
    "test_reserving.py",
    "test_recording.py",
    "test_judging.py",
    "test_holds.py",
    "test_refunds_listed.py",
    "test_ledger_accounts.py",
    "test_ledger_contract.py",
]

#: group -> the files whose lines are changed, and the tests that must notice
GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "money": (["money"], ["test_money.py"]),
    "retry": (["retry"], ["test_retry.py"]),
    "signature": (["signing"], ["test_signing.py", "test_signing_rsa.py"]),
    "ledger": (["ledger"], _STATE_TESTS),
    "states": (["states", "watching", "reserving", "judging"], _STATE_TESTS),
    "recording": ([f"recording/{name}" for name in _RECORDING], _STATE_TESTS),
}

_STRING = re.compile(r"""f?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_WORDS_GIVEN = re.compile(r",? ?\b(rule|next_step)=(TEXT|None),?( (?=\)))?")
_WORDS_ARGUMENT = re.compile(r"^\s*(rule|next_step|what|why|doc)=(TEXT|None),?$")


@dataclass
class Tally:
    """What became of the mutants of one group."""

    killed: int = 0
    words: int = 0
    survivors: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """The share of killed ones among those that change more than words."""
        counted = self.killed + len(self.survivors)
        return 100.0 if not counted else 100.0 * self.killed / counted


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="groups, parted by commas")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else list(GROUPS)
    listed = LISTED.read_text(encoding="utf-8") if LISTED.is_file() else ""
    failed = False
    for name in wanted:
        tally = _run(name, options.jobs)
        unlisted = [survivor for survivor in tally.survivors if survivor not in listed]
        print(
            f"{name}: {tally.percent:.1f} % killed ({tally.killed} of {tally.killed + len(tally.survivors)}),"
            f" {tally.words} changes of words apart"
        )
        for survivor in unlisted:
            print(f"  not in docs/mutants.md: {survivor}")
        failed = failed or bool(unlisted) or tally.percent < FLOOR_PERCENT
    return int(failed)


def _run(name: str, jobs: int) -> Tally:
    modules, tests = GROUPS[name]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        _copy_tree(tree)
        _configure(tree, modules, [f"tests/unit/{test}" for test in tests])
        command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(jobs)]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        if "mutations/second" not in done.stdout:
            sys.exit(f"{name}: mutmut did not come to its end:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return _count(tree)


def _copy_tree(tree: Path) -> None:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _configure(tree: Path, modules: list[str], tests: list[str]) -> None:
    folders = sorted(path.name for path in tree.iterdir() if path.name not in ("src", ".git"))
    files = [f"src/vextrus_payments/{module}.py" for module in modules]
    missing = [file for file in [*files, *tests] if not (tree / file).is_file()]
    if missing:
        sys.exit(f"not there: {', '.join(missing)}")
    lines = [
        "\n[tool.mutmut]",
        'source_paths = ["src"]',
        f"only_mutate = {files}",
        f"also_copy = {folders}",
        f"pytest_add_cli_args_test_selection = {tests}",
        'pytest_add_cli_args = ["-q", "-x", "-p", "no:cacheprovider"]',
    ]
    with (tree / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def _count(tree: Path) -> Tally:
    tally = Tally()
    listing = _mutmut(tree, "results", "--all", "true")
    for line in listing.splitlines():
        mutant, _, status = line.strip().partition(": ")
        if status in ("killed", "timeout", "suspicious", "segfault", "caught by type check"):
            tally.killed += 1
        elif status:
            change = _change(_mutmut(tree, "show", mutant))
            if _only_words(change):
                tally.words += 1
            else:
                function = re.sub(r"__mutmut_\d+$", "", mutant)
                tally.survivors.append(f"`{function}`: {_shown(change)}")
    return tally


def _mutmut(tree: Path, *words: str) -> str:
    command = [sys.executable, "-m", "mutmut", *words]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout


def _change(diff: str) -> tuple[list[str], list[str]]:
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    return [line[1:] for line in lines if line.startswith("-")], [
        line[1:] for line in lines if line.startswith("+")
    ]


def _only_words(change: tuple[list[str], list[str]]) -> bool:
    """True when both sides are the same but for the text of string literals, or a message that became None."""
    before, after = (" ".join(_STRING.sub("TEXT", line).strip() for line in side) for side in change)
    before, after = (re.sub(r"TEXT( TEXT)+", "TEXT", side) for side in (before, after))
    if before == after:
        return any(" " in text for line in change[0] for text in _STRING.findall(line))
    if re.sub(r"\bNone\b", "TEXT", after) == before and re.search(r"\b(raise|Error)\b|^TEXT,?$", before):
        return True
    if before == re.sub(r"^None,|\bRefused\(None", lambda found: found[0].replace("None", "TEXT"), after):
        return any(" " in text for line in change[0] for text in _STRING.findall(line))
    if len({_WORDS_GIVEN.sub("", side).rstrip(", )") for side in (before, after)}) == 1:
        return True
    return all(_WORDS_ARGUMENT.match(_STRING.sub("TEXT", line)) for side in change for line in side)


def _shown(change: tuple[list[str], list[str]]) -> str:
    before, after = (" ".join(line.strip() for line in side) for side in change)
    return f"`{before}` -> `{after}`"


if __name__ == "__main__":
    sys.exit(main())
