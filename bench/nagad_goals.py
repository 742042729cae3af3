"""The goals of Nagad's crypto: what the SDK adds to the primitives themselves."""

import json
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.results import Result, result
from bench.serving import Server, in_fresh_process
from bench.stats import estimate, ratios

_ROUNDS: Final = 60


@cache
def measured() -> dict[str, Any]:
    from bench.nagad_jobs import prepare

    with TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.json"
        answers.write_text(json.dumps(prepare(Path(folder))), encoding="utf-8")
        with Server(answers=answers) as server:
            found: dict[str, Any] = in_fresh_process(
                "opening_at_nagad", url=server.url, folder=folder, rounds=_ROUNDS
            )
    if found["key loads after the start"]:
        raise RuntimeError(f"{found['key loads after the start']} keys were loaded after the start")
    return found


def p17() -> Result:
    found = measured()
    cpu = found["cpu"]
    return result(
        "P17",
        "Nagad's seal made and opened, against the sum of its primitives; CPU",
        estimate(ratios(cpu["seal"], cpu["primitives of a seal"])),
        unit="x primitives",
        must=1.15,
        stretch=1.05,
        detail={"CPU µs": {name: round(median(one), 1) for name, one in cpu.items()}},
        note="One text sealed and one answer opened: sign, encrypt, decrypt, verify, and Base64 both ways, against"
        " cryptography's own four calls with keys at hand. No key is loaded after the start: that is counted.",
    )


def p17_call() -> Result:
    cpu = measured()["cpu"]
    return result(
        "P17CALL",
        "A full initialize at Nagad, against as many bare calls and the raw primitives; CPU",
        estimate(ratios(cpu["initialize"], cpu["bare"])),
        unit="x bare",
        must=1.25,
        stretch=1.1,
        detail={"CPU µs": {name: round(median(one), 1) for name, one in cpu.items()}},
        note="`NagadGateway.initialize_payment` with everything it has (two sealed calls, a checkpoint between them,"
        " two log lines emitted), against one httpx.AsyncClient that posts the same two bodies, made beforehand, and"
        " beside it two signatures, two encryptions, one decryption and one check.",
    )
