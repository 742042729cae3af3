"""A fresh process for one measurement: `python -m bench.worker JOB '{"parameter": ...}'` prints its result as JSON."""

import json
import sys

from bench import machine


def main() -> None:
    """Run the job."""
    name, parameters = sys.argv[1], json.loads(sys.argv[2])
    if parameters.pop("pinned") and len(machine.cpus()) > 1:
        machine.pin(0, machine.cpus()[:-1])
    from bench import jobs

    print(json.dumps(getattr(jobs, name)(**parameters)))


if __name__ == "__main__":
    main()
