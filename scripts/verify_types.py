"""Every public symbol of vextrus_payments has a known type: `pyright --verifytypes` at 100 %, or the list of gaps."""

import json
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = "vextrus_payments"


def main() -> int:
    bin_folder = Path(sys.executable).parent
    # pyright asks the `python` on the PATH where packages lie; --pythonpath does not reach --verifytypes
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(bin_folder), os.environ.get("PATH", "")]),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }
    command = [sys.executable, "-m", "pyright", "--verifytypes", PACKAGE, "--ignoreexternal", "--outputjson"]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False
    )
    try:
        report = json.loads(done.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        print(done.stdout + done.stderr, file=sys.stderr)
        return 1
    counts = report["exportedSymbolCounts"]
    exported = sum(counts.values())
    for symbol in report["symbols"]:
        if not symbol["isTypeKnown"]:
            reasons = {note["message"].split("\n")[0] for note in symbol["diagnostics"]}
            causes = {reason for reason in reasons if not reason.startswith("Type of base class")}
            if causes:  # a class whose base is incomplete is no gap of its own
                print(f"{symbol['name']}: {'; '.join(sorted(causes))}")
    print(f"pyright --verifytypes: {counts['withKnownType']} of {exported} public symbols have a known type")
    return 0 if exported and report["completenessScore"] == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
