"""The table of docs/sandbox-manners.md, from the sandbox's own rules."""

from vextrus_payments_sandbox.manners import RULES, UNSEEN


def rules() -> str:
    """What is objected to, why, and what to do."""
    lines = ["| rule | why | what to do | `--strict-manners` |", "|---|---|---|---|"]
    for rule in RULES.values():
        what = rule.rule.replace("<", "&lt;").replace(">", "&gt;")
        lines.append(
            f"| **{rule.gateway}** `{rule.code}`: {what} | {rule.why} | {rule.todo} | {rule.strict or 'notes it'} |"
        )
    return "\n".join(lines) + "\n"


def unseen() -> str:
    """What no sandbox can see."""
    lines = ["| gateway | what | so |", "|---|---|---|"]
    lines += [f"| {one.gateway} | {one.rule} | {one.todo} |" for one in UNSEEN]
    return "\n".join(lines) + "\n"
