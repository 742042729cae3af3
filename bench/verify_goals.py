"""The goal of the verifiers: a webhook proven and read."""

from statistics import median
from typing import Final

from bench.results import Result, result
from bench.serving import in_fresh_process
from bench.stats import estimate, ratios

_ROUNDS: Final = 60


def p7() -> Result:
    found = in_fresh_process("verifying", rounds=_ROUNDS)
    cpu = found["cpu"]
    base = cpu["stripe"]
    return result(
        "P7",
        "A webhook verified and read, against stripe.Webhook.construct_event; CPU",
        estimate(ratios(cpu["Standard Webhooks"], base)),
        unit="x stripe",
        must=0.1,
        stretch=0.05,
        peers={
            f"{name} (x stripe)": median(ratios(cpu[name], base))
            for name in cpu
            if name not in ("stripe", "Standard Webhooks")
        },
        detail={
            "CPU µs per message": {name: round(median(one), 1) for name, one in cpu.items()},
            "bytes of a body": found["bytes"],
        },
        note="The adapter's whole `handle_webhook`, two live secrets configured: the sender chosen, the HMAC over the"
        " raw bytes, the time on both sides, strict JSON without repeated keys, the exact amount, the frozen event."
        " Both bodies have the same length: stripe's event of a payment, and ours with bKash's answer inside. Other"
        " rows: our message with stripe's own object inside, without anything beside its fields, and bKash's"
        " notification, whose certificate is kept as after the first message.",
    )
