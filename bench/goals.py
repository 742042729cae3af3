"""The goals: what each claims, and how it is taken from the jobs. The numbers of Must and Stretch live here only."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from bench.authority import make_authority
from bench.door_goals import p8, p8_effects, p9, p10, p10_tail, p11
from bench.nagad_goals import p17, p17_call
from bench.opening_goals import opening
from bench.outbox_goals import outbox, outbox_postgres
from bench.reconcile_goals import reconcile
from bench.results import Result, result
from bench.serving import ROOT, Server, in_fresh_process
from bench.stats import Estimate, estimate, ratios
from bench.store_goals import group, p6, p13
from bench.verify_goals import p7
from scripts.private_servers import holding, why_missing

_ROUNDS: Final = 120
_PAIRS: Final = 5
_AT_ONCE: Final = 100
_MANY: Final = 300
_COLD: Final = 1000
_GRANT_S: Final = 0.05


# ----------------------------------------------------------------------------------------------------- one task


def p1() -> Result:
    with Server() as server:
        found = in_fresh_process("layers", url=server.url, rounds=_ROUNDS, level=20)
    base = found["httpx"]["cpu"]
    return result(
        "P1",
        "A full create, two log lines emitted, against bare httpx; one task, CPU",
        estimate(ratios(found["full"]["cpu"], base)),
        unit="x httpx",
        must=1.00,
        stretch=0.60,
        peers={
            "plain wrapper": median(ratios(found["plain wrapper"]["cpu"], base)),
            "the SDK's transport alone": median(ratios(found["transport"]["cpu"], base)),
        },
        detail={"CPU µs per call": {name: round(median(one["cpu"])) for name, one in found.items()}},
        note="`BkashGateway.initialize_payment` with everything it has, against one httpx.AsyncClient that posts the"
        " same 7 fields and does not even parse the answer. The plain wrapper is pydantic, tenacity and two log"
        " lines around httpx.",
    )


def p4() -> Result:
    with Server() as server:
        found = in_fresh_process("peers_alone", url=server.url, rounds=80)
    base, others = found["httpx"]["cpu"], [name for name in found if name not in ("httpx", "full")]
    shares = {
        name: median(found[name]["cpu"]) / median(base)
        if len(found[name]["cpu"]) < len(base)
        else median(ratios(found[name]["cpu"], base))
        for name in others
    }
    return result(
        "P4",
        "The same call against stripe's async client on httpx; one task, same server, CPU",
        estimate(ratios(found["full"]["cpu"], found["stripe on httpx"]["cpu"])),
        unit="x stripe on httpx",
        must=0.75,
        stretch=0.45,
        peers={f"{name} (x httpx)": share for name, share in sorted(shares.items(), key=lambda one: one[1])}
        | {"the SDK (x httpx)": median(ratios(found["full"]["cpu"], base))},
        detail={
            "CPU µs per call": {name: round(median(one["cpu"])) for name, one in found.items()},
            "calls/s of one task": {name: round(1e6 / median(one["wall"])) for name, one in found.items()},
        },
        note="Every client answers to the same fixed body; the peers log nothing, the SDK emits its two lines.",
    )


def p5() -> Result:
    with Server() as server:
        found = in_fresh_process("layers", url=server.url, rounds=_ROUNDS, level=30)
    full, alone, floor = (found[name]["cpu"] for name in ("full", "transport", "two models on the transport"))
    return result(
        "P5",
        "What our layers add to our own transport, logs filtered, CPU",
        estimate(_added(full, alone)),
        unit="% of the call",
        must=10,
        stretch=5,
        peers={"one model in, one model out, nothing else": median(_added(floor, alone))},
        detail={
            "CPU µs": {
                "full call": round(median(full)),
                "two models on the transport": round(median(floor)),
                "our transport alone": round(median(alone)),
            },
            "the full call with logs filtered, x httpx": round(
                median(ratios(full, found["httpx"]["cpu"])), 3
            ),
        },
        note="(full call - transport call) / full call, round by round; both send the same bytes.",
    )


def _added(call: list[float], transport: list[float]) -> list[float]:
    """How many percent of a call are not the transport's."""
    return [100 * (one - other) / one for one, other in zip(call, transport, strict=True)]


# --------------------------------------------------------------------------------------------------- many tasks


def p2() -> Result:
    values, bases, ours = [], [], []
    for number in range(_PAIRS):
        with Server() as server:
            found = in_fresh_process(
                "concurrent_pair",
                url=server.url,
                rounds=10,
                calls=2 * _AT_ONCE,
                concurrency=_AT_ONCE,
                seed=number,
            )
        values.append(median(ratios(found["full"]["cpu"], found["httpx"]["cpu"])))
        bases.append(median(found["httpx"]["cpu"]))
        ours.append(median(found["full"]["cpu"]))
    peers: dict[str, float] = {}
    for name, who, rounds in (
        ("stripe on httpx", "stripe_httpx", 3),
        ("stripe on aiohttp", "stripe_aiohttp", 5),
        ("square", "square_async", 3),
        ("pybkash", "pybkash_async", 3),
        ("httpx on aiohttp", "httpx_on_aiohttp", 5),
        ("aiohttp alone", "aiohttp_client", 5),
    ):
        with Server() as server:
            alone = in_fresh_process(
                "concurrent_one",
                url=server.url,
                who=who,
                rounds=rounds,
                calls=2 * _AT_ONCE,
                concurrency=_AT_ONCE,
            )
        peers[name] = median(alone[who]["cpu"]) / median(bases)
    return result(
        "P2",
        "The same call, 100 at a time, against bare httpx 100 at a time (limits 100/100), CPU",
        estimate(values),
        unit="x httpx",
        must=0.35,
        stretch=0.20,
        peers=dict(sorted(peers.items(), key=lambda one: one[1])),
        detail={
            "CPU µs per call of bare httpx, lowest to highest pair": [round(min(bases)), round(max(bases))],
            "CPU µs per call of the SDK, lowest to highest pair": [round(min(ours)), round(max(ours))],
            "each pair's ratio": " ".join(f"{value:.3f}" for value in values),
        },
        note=f"{_PAIRS} pairs, each in a fresh process, 10 interleaved blocks of 200 calls each; the median of the"
        " pairs, and the range it spans. Bare httpx is bistable at this concurrency, so its range is given. Peers"
        " ran alone, against the median base.",
    )


def p3() -> Result:
    by_places: dict[int, Estimate] = {}
    cpu: dict[str, int] = {}
    for places in (_MANY, 100):
        with Server() as server:
            found = in_fresh_process("flatness", url=server.url, rounds=40, concurrency=_MANY, places=places)
        by_places[places] = estimate(ratios(found["many"]["cpu"], found["one"]["cpu"]))
        cpu[f"1 at a time ({places} places)"] = round(median(found["one"]["cpu"]))
        cpu[f"{_MANY} at a time ({places} places)"] = round(median(found["many"]["cpu"]))
    worse = max(by_places.values(), key=lambda one: one.high)
    return result(
        "P3",
        "Flatness: CPU per call at 300 callers against one caller",
        worse,
        unit="x one caller",
        must=1.25,
        stretch=1.0,
        detail={
            "with 300 connections": round(by_places[_MANY].value, 3),
            "with the default 100 connections": round(by_places[100].value, 3),
            "CPU µs per call": cpu,
        },
        note="Blocks of one caller and of 300 callers in turns, logs on; with 300 connections and with the default"
        " 100 (the others wait in line). The worse of the two counts.",
    )


# ------------------------------------------------------------------------------------------------------- tokens


def p12() -> Result:
    inside = []
    for _ in range(3):
        with Server(grant_delay_s=_GRANT_S) as server:
            in_fresh_process("cold_calls", url=server.url, who="ours", calls=_COLD)
            inside.append(float(server.counts()["grants"]))
    across = {kind: [_grants_of_four(kind) for _ in range(2)] for kind in ("file", "sqlite store")}
    no_redis = why_missing("redis")
    if no_redis is None:
        across["redis"] = [_grants_of_four_over_redis() for _ in range(2)]
    peers: dict[str, float] = {}
    for name, who, calls in (
        ("pybkash, 200 calls", "pybkash_async", 200),
        ("bkash-pgw-tokenized, 40 calls", "bkash_pgw", 40),
    ):
        with Server(grant_delay_s=_GRANT_S) as server:
            in_fresh_process("cold_calls", url=server.url, who=who, calls=calls)
            peers[name] = float(server.counts()["grants"])
    everything = inside + [float(count) for counts in across.values() for count in counts]
    return result(
        "P12",
        "Grants for 1,000 cold calls at once: in one process, and in 4 over a shared backend",
        Estimate(median(everything), min(everything), max(everything)),
        unit="grants",
        must=1,
        stretch=1,
        peers=peers,
        detail={
            "one process": inside,
            **{f"4 processes over the {kind}": counts for kind, counts in across.items()},
        },
        note="Counted at the server, which takes 50 ms for a grant. 1,000 calls at once in one process (3 times);"
        " 4 processes of 250 calls that start together, over token files, the SQLite store and a Redis"
        f"{'' if no_redis is None else f' (left out: {no_redis})'} (twice each). Lowest and highest stand for the"
        " interval.",
    )


def _grants_of_four_over_redis() -> int:
    with holding("redis", durable=True) as held:
        return _grants_of_four("redis", held.places["redis"])


def _grants_of_four(kind: str, url: str = "") -> int:
    """Grants that 4 processes of 250 cold calls make over one shared backend; `url`: where it is, if not in a file."""
    with tempfile.TemporaryDirectory() as folder, Server(grant_delay_s=_GRANT_S) as server:
        place = url or (folder if kind == "file" else str(Path(folder) / "payments.db"))
        parameters = {
            "pinned": False,
            "url": server.url,
            "who": "ours",
            "calls": _COLD // 4,
            "backend": kind,
            "place": place,
            "wait": True,
        }
        command = [sys.executable, "-m", "bench.worker", "cold_calls", json.dumps(parameters)]
        workers = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None and worker.stdin is not None
                if worker.stdout.readline().strip() != "ready":
                    raise RuntimeError("a process did not get ready")
            for worker in workers:
                worker.stdin.write("go\n")  # type: ignore[union-attr]
                worker.stdin.flush()  # type: ignore[union-attr]
            done = [json.loads(worker.communicate(timeout=120)[0].splitlines()[-1]) for worker in workers]
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                    worker.wait()
        if sum(one["calls"] for one in done) != _COLD:
            raise RuntimeError("not every call got its session")
        return server.counts()["grants"]


# ------------------------------------------------------------------------------------------------------ imports

_CORE: Final = "import httpx, pydantic, tenacity, cryptography, structlog"
_GATEWAY: Final = "from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway"
#: What a first call needs besides: nothing may hide behind a lazy import.
_ALL_OF_IT: Final = (
    f"{_GATEWAY}\nfrom vextrus_payments.transport import HttpxTransport\n"
    "import vextrus_payments.transport.shared, vextrus_payments.tokens.cache, vextrus_payments.tokens.memory\n"
)
_FRESH: Final = 15


def p14() -> Result:
    found = _side_by_side({"ours": "import vextrus_payments", "core": _CORE})
    return result(
        "P14",
        "import vextrus_payments against importing the five core packages, CPU",
        estimate(ratios(found["ours"], found["core"])),
        unit="x core packages",
        must=0.19,
        stretch=0.08,
        detail={"CPU ms": {name: round(median(values), 1) for name, values in found.items()}},
        note=f"{_FRESH} fresh interpreters each, in turns, byte code cached, without click and rich (which httpx pulls"
        " in where they are installed).",
    )


def p15() -> Result:
    ready = f"{_ALL_OF_IT}{_models_built()}"
    others = _third_party_of(ready)
    only = _third_party_of(_GATEWAY)
    found = _side_by_side(
        {
            "ready to call": ready,
            "its third-party modules": others,
            "import alone": _GATEWAY,
            "its own set": only,
        }
    )
    value = estimate(ratios(found["ready to call"], found["its third-party modules"]))
    return result(
        "P15",
        "Import of the bKash gateway against importing just the third-party modules it uses, CPU",
        value,
        unit="x its third-party set",
        must=1.15,
        stretch=1.05,
        detail={
            "the import statement alone, against the set it pulls in": round(
                median(ratios(found["import alone"], found["its own set"])), 3
            ),
            "CPU ms": {name: round(median(values), 1) for name, values in found.items()},
        },
        note=f"{_FRESH} fresh interpreters each, in turns. Measured is everything a first payment needs (gateway,"
        " transport, token cache, its models built), so that nothing hides behind a lazy import; against it stands a"
        " process that imports exactly the third-party modules that this loads.",
    )


def _models_built() -> str:
    """Statements that make pydantic build the models of a payment's life, where it has put that off."""
    return (
        "from vextrus_payments.gateways.bkash import models as m\n"
        "for model in (m.GrantBody, m.TokenAnswer, m.CreateBody, m.CreateAnswer, m.PaymentIdBody, m.ExecuteAnswer,"
        " m.QueryAnswer):\n    model.model_rebuild()\n"
    )


def _third_party_of(statements: str) -> str:
    """Statements that import exactly the third-party modules which these statements load."""
    _, loaded = _import_job(statements)
    ours = ("vextrus_payments", "bench")
    foreign = [
        name
        for name in loaded
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith(ours)
    ]
    lines = ["import importlib"]
    # __editable__ finders and the like are no packages; what cannot be imported by name is left out.
    lines += [f"importlib.import_module({name!r})" for name in foreign if name.split(".")[0].isidentifier()]
    return "\n".join(lines)


def _side_by_side(programs: dict[str, str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(-1, _FRESH):
        for name in programs if number % 2 else reversed(programs):
            cpu_ms, _ = _import_job(programs[name])
            if number >= 0:  # the first time fills the cache of byte code
                found[name].append(cpu_ms)
    return found


#: A bare interpreter's own words: nothing of the bench is imported there. httpx pulls click, rich and pygments in
#: where they happen to be installed; a bare install has none of them.
_PRISTINE: Final = """
import sys, time
for extra in ("click", "rich", "pygments"):
    sys.modules[extra] = None
before = set(sys.modules)
started = time.process_time_ns()
{statements}
spent = time.process_time_ns() - started
print(spent / 1e6, *sorted(name for name in set(sys.modules) - before if sys.modules[name] is not None))
"""


def _import_job(statements: str) -> tuple[float, list[str]]:
    """CPU milliseconds of these statements in a fresh interpreter, and the modules they load."""
    command = [sys.executable, "-c", _PRISTINE.format(statements=statements)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    cpu_ms, *modules = told.split()
    return float(cpu_ms), modules


# -------------------------------------------------------------------------------------------------- connections


def p18() -> Result:
    found: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        cert, key = make_authority(Path(folder))
        for who in ("ours", "bare_httpx", "pybkash_async"):
            with Server(cert=cert, key=key) as server:
                contexts = in_fresh_process(
                    "connections", url=server.url, who=who, callers=150, calls=1000, cafile=str(cert)
                )["contexts"]
                counts = server.counts()
                found[who] = {"contexts": contexts, "connections": counts["connections"]}
    ours = found["ours"]
    opened = float(ours["connections"])
    if ours["contexts"] != 1:
        opened = float("inf")
    return result(
        "P18",
        "Connections for 1,000 calls by 150 callers over TLS, with one SSL context in the process",
        Estimate(opened, opened, opened),
        unit="connections",
        must=150,
        stretch=None,
        peers={
            "bare httpx (default limits)": found["bare_httpx"]["connections"],
            "pybkash": found["pybkash_async"]["connections"],
        },
        detail={
            "SSL contexts built": {
                "the SDK, three merchants": ours["contexts"],
                "bare httpx": found["bare_httpx"]["contexts"],
                "pybkash": found["pybkash_async"]["contexts"],
            }
        },
        note="Counted at the server and, for the contexts, at ssl.SSLContext. Three merchants' gateways of one"
        " process share connections and context. A second context would fail the goal.",
    )


GOALS: Final[dict[str, Callable[[], Result]]] = {
    "P1": p1,
    "P2": p2,
    "P3": p3,
    "P4": p4,
    "P5": p5,
    "P6": p6,
    "P7": p7,
    "P8": p8,
    "P8EFFECTS": p8_effects,
    "P9": p9,
    "P10": p10,
    "P10TAIL": p10_tail,
    "P11": p11,
    "P12": p12,
    "P13": p13,
    "P14": p14,
    "P15": p15,
    "P17": p17,
    "P17CALL": p17_call,
    "OPENING": opening,
    "P18": p18,
    "GROUP": group,
    "OUTBOX": outbox,
    "OUTBOX4": outbox_postgres,
    "RECONCILE": reconcile,
}
