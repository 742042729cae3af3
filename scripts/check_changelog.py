"""Every fragment in changelog.d/ has a known kind and a sentence, and the change log can be built from them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"(?:\+[a-z0-9-]+|\d+)\.(?P<kind>[a-z]+)\.md")


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    kinds = [kind["directory"] for kind in project["tool"]["towncrier"]["type"]]
    problems = []
    for path in sorted((ROOT / "changelog.d").glob("[!.]*")):
        named = _NAME.fullmatch(path.name)
        if path.name == "README.md":
            continue
        if named is None or named["kind"] not in kinds:
            problems.append(
                f"{path.name}: a fragment is named +words.KIND.md, KIND one of {', '.join(kinds)}"
            )
        elif not re.search(r"\w.*\.\s*$", path.read_text(encoding="utf-8")):
            problems.append(f"{path.name}: a fragment is one or more whole sentences for users")
    draft = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if draft.returncode:
        problems.append(draft.stderr.strip() or "towncrier cannot build the change log")
    print("\n".join(problems) if problems else "check_changelog: every fragment fits")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
