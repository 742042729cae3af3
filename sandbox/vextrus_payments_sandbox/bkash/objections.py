"""What bKash's acceptance test would object to (``manners.py``), and what of it no sandbox can see."""

from typing import Final

from vextrus_payments_sandbox.gateway_facts import Rule, Unseen

RULES: Final = (
    Rule(
        "query_after_answer",
        "bkash",
        "query after execute had answered",
        "bKash fails merchants who query a payment whose execute had given an answer.",
        "Believe the answer of execute; query only where none came, or none that can be read.",
        "bkash §1.3, §11",
    ),
    Rule(
        "lost_execute",
        "bkash",
        "no query within 10 minutes of an execute whose answer was lost",
        "The money may have moved: only a query tells, and a merchant who does not ask loses the payment.",
        "After a time-out, a broken connection, a 5xx or an unreadable answer call Query Payment; never execute again.",
        "bkash §1.3, §11",
    ),
    Rule(
        "execute_repeated",
        "bkash",
        "execute repeated",
        "A payment is executed once. Whoever repeats it does not know what became of the first one.",
        "Execute once for each paymentID, whatever reloads the return page; query where no answer came.",
        "bkash §1.3, §4.4",
    ),
    Rule(
        "execute_after_end",
        "bkash",
        "execute after the payer's page ended in {state}",
        "bKash forbids to execute after status=failure or status=cancel.",
        "Execute only after status=success; show the payer that the payment failed, or was cancelled.",
        "bkash §4.3, §11",
    ),
    Rule(
        "execute_unapproved",
        "bkash",
        "execute before the payer had confirmed",
        "Execute is for payments that came back with status=success; before that it is refused.",
        "Wait for the payer's return; a return is a hint that anybody can send, so execute nothing ahead of it.",
        "bkash §4.3, §11",
    ),
    Rule(
        "grants",
        "bkash",
        "more than two tokens within an hour",
        "bKash allows two grants an hour, refreshes included, then blocks for an hour; who grants one for each payment "
        "does not go live.",
        "Keep the token for its hour and share it among all customers and processes.",
        "bkash §1.4, §11",
        strict="refuses the grant with HTTP 429, and for an hour every other",
    ),
    Rule(
        "invoice_reused",
        "bkash",
        "invoice used for an earlier payment",
        "merchantInvoiceNumber is unique for each attempt.",
        "Make a new invoice number for each create, also where the order is the same.",
        "bkash §11",
        strict="refuses the create with 2031",
    ),
    Rule(
        "amount_changed",
        "bkash",
        "invoice asked for again with another amount: {before}, now {now}",
        "An amount that changes for one invoice may come from the browser, where the payer can change it.",
        "Take the amount from your own order, never from what the browser sends.",
        "bkash §11",
    ),
    Rule(
        "forbidden_characters",
        "bkash",
        "<, > or & in {field}",
        "bKash does not take them in references and invoice numbers.",
        "Use letters, digits and dashes.",
        "bkash §11",
    ),
    Rule(
        "refund_unchecked",
        "bkash",
        "refunds, and never a look at a refund's status",
        "Who refunds must have Refund Status as well.",
        "Call Refund Status where a refund gave no answer; call it once in the acceptance test.",
        "bkash §11",
    ),
    Rule(
        "lost_refund",
        "bkash",
        "no refund status within 10 minutes of a refund whose answer was lost",
        "The refund may have gone through: who repeats it refunds twice, who forgets it has wrong books.",
        "Call Refund Status and compare with what was there before; never refund again without it.",
        "bkash §4.11",
    ),
    Rule(
        "payout_repeated",
        "bkash",
        "a second payout under the same invoice number",
        "A payout has no idempotency key: the same call twice pays twice, and nothing gets the money back.",
        "Never send a payout again by yourself; let a person decide, and give the next one a number of its own.",
        "bkash §6",
    ),
    Rule(
        "lost_payout",
        "bkash",
        "no look at the balance or at the payout within 10 minutes of a payout whose answer was lost",
        "The money may be gone: who repeats it pays twice, who forgets it has wrong books.",
        "Compare organization balance with what it was before; where there is a payoutID, query it.",
        "bkash §6",
    ),
    Rule(
        "hung_up",
        "bkash",
        "left {operation} after {seconds} s without an answer",
        "bKash asks for a time-out of 30 s on every call: an execute may take that long and succeed.",
        "Wait 30 s for an answer before you give up.",
        "bkash §11",
    ),
    Rule(
        "from_browser",
        "bkash",
        "{operation} was called from a web page ({page})",
        "Browsers must never see a token or call bKash: whoever has them can act as the merchant.",
        "Call bKash from your server alone.",
        "bkash §11",
    ),
)
UNSEEN: Final = (
    Unseen(
        "bkash",
        "whether the payer is shown bKash's own error message, and a text for success, failure and cancel",
        "Look at your pages once for each; `vextrus-pay bkash uat-report` lists the cases.",
    ),
    Unseen(
        "bkash",
        "whether the amount of a first create comes from the browser",
        "Only a second create of the same invoice with another amount is seen here.",
    ),
    Unseen("bkash", "the logo (128 x 128, PNG, at most 10 KB, over https)", "Hand it in with the report."),
    Unseen(
        "bkash",
        "a time-out under 30 s on calls that answer at once",
        "Order the fault `delay;seconds=30` for execute: who leaves before its end is noted.",
    ),
)
