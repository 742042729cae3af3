"""What bKash's acceptance test of recurring payments would object to (``manners.py``), and what nobody can see."""

from typing import Final

from vextrus_payments_sandbox.gateway_facts import Rule, Unseen

_GATEWAY: Final = "bkash_recurring"
RULES: Final = (
    Rule(
        "refund_unheard",
        _GATEWAY,
        "a refund whose answer got lost was not looked up within 10 minutes",
        "A refund is answered by HTTP 200 alone and told by a message later; whoever heard neither does not know "
        "whether money went back.",
        "Look the payment up before anything else; never send the refund again.",
        "bkash_recurring §7",
    ),
    Rule(
        "headers",
        _GATEWAY,
        "calls without {names}",
        "The guide wants them on every call; today some routes do without.",
        "Send version, channelId and timeStamp with every call.",
        "bkash_recurring §7",
    ),
    Rule(
        "stale_time",
        _GATEWAY,
        "timeStamp more than 5 minutes off",
        "It is there against replays: a clock that is wrong gets every call refused one day.",
        "Send the time of the call itself, in UTC, from a clock that is kept right.",
        "bkash_recurring §7",
    ),
    Rule(
        "no_reason",
        _GATEWAY,
        "cancelled without a reason",
        "The API's own description calls the reason required.",
        "Send ?reason= with every cancellation.",
        "bkash_recurring §7",
    ),
)
UNSEEN: Final = (
    Unseen(
        _GATEWAY,
        "whether messages are proven by the API key over their raw bytes",
        "Verify X-Signature before you read anything; write nothing anew before you do.",
    ),
)
