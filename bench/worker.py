"""A fresh process for one measurement: `python -m bench.worker JOB '{"parameter": ...}'` prints its result as JSON."""

import json
import sys
from importlib import import_module
from pathlib import Path

from bench import machine


def main() -> None:
    """Run the job."""
    name, parameters = sys.argv[1], json.loads(sys.argv[2])
    if parameters.pop("pinned") and len(machine.cpus()) > 1:
        machine.pin(0, machine.cpus()[:-1])
    # The file that has the job, and no other: importing counts where imports are measured.
    homes = sorted(Path(__file__).parent.glob("*jobs.py"))
    home = next(path.stem for path in homes if f"\ndef {name}(" in path.read_text(encoding="utf-8"))
    job = getattr(import_module(f"bench.{home}"), name)
    print(json.dumps(job(**parameters)))


if __name__ == "__main__":
    main()
