"""A whole initialize at every gateway, against as many bare calls and the raw primitives of its crypto."""

import json
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.nagad_goals import measured as at_nagad
from bench.opening_jobs import answers
from bench.results import Result, result
from bench.serving import Server, in_fresh_process
from bench.stats import estimate, ratios

_ROUNDS = 80


def opening() -> Result:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "answers.json"
        file.write_text(json.dumps(answers()), encoding="utf-8")
        with Server(answers=file) as server:
            cpu = in_fresh_process("openings", url=server.url, rounds=_ROUNDS)
    nagad = at_nagad()["cpu"]
    cpu |= {"nagad": nagad["initialize"], "bare nagad": nagad["bare"]}
    all_ratios = {
        name: ratios(cpu[name], cpu[f"bare {name}"]) for name in cpu if not name.startswith("bare ")
    }
    worst = max(all_ratios, key=lambda name: median(all_ratios[name]))
    return result(
        "OPENING",
        "A full initialize, against as many bare calls and its raw primitives; CPU, the worst of all gateways",
        estimate(all_ratios[worst]),
        unit="x bare",
        must=1.25,
        stretch=1.1,
        peers={name: median(one) for name, one in all_ratios.items()},
        detail={"CPU µs": {name: round(median(one), 1) for name, one in cpu.items()}},
        note="`initialize_payment` with everything it has, its log line emitted, against one httpx.AsyncClient that"
        " sends the same body, made beforehand, and does not parse the answer. Nagad's bare side makes two calls and"
        " the signatures, encryptions and decryption of them.",
    )
