"""Play one run again: python -m tests.simulation.replay CASE SEED [--kill 12,340] [--planted NAME] [--all]."""

import argparse
from contextlib import nullcontext

from tests.simulation.settings import CASES
from vextrus_payments.testing.simulation.judge import play
from vextrus_payments.testing.simulation.planted import PLANTED

COMMAND = "python -m tests.simulation.replay"


def main() -> int:
    """0: nothing was wrong. 1: something was; it is printed, with what happened."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Play one run of the crash simulator again.")
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("seed", type=int)
    parser.add_argument("--kill", default="", help="the points at which a process is killed: 12,340")
    parser.add_argument("--planted", choices=sorted(PLANTED), help="with this bug planted")
    parser.add_argument("--all", action="store_true", help="print what happened even if nothing was wrong")
    asked = parser.parse_args()
    setting, weather = CASES[asked.case]
    kill_at = [int(point) for point in asked.kill.split(",") if point]
    with PLANTED[asked.planted].plant() if asked.planted else nullcontext():
        verdict = play(setting, asked.seed, kill_at=kill_at, weather=weather)
    if asked.all or not verdict.clean:
        print(*verdict.journal, sep="\n")
    print(f"{verdict.points} points, {verdict.kills} kills, {verdict.struck} faults, {verdict.fingerprint}")
    for rule, subject in sorted(verdict.wrong):
        print(f"WRONG {rule}: {subject}")
    for rule, subject in sorted(verdict.disagreement):
        print(f"ONLY ONE CHECKER SAYS {rule}: {subject}")
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
