"""`vextrus-pay webhooks`: the flight recorder of what gateways sent, and what was made of it."""

import click


@click.group(
    epilog="""\b
Examples:
  vextrus-pay webhooks list --app shop.payments:payments           what came, newest first
  vextrus-pay webhooks show EVENT_ID --app shop.payments:payments
  vextrus-pay webhooks replay EVENT_ID --app shop.payments:payments"""
)
def command() -> None:
    """Look at the notifications that gateways sent, and have them worked on again.

    Every delivery that proved its sender is kept for 30 days. A replay is harmless: news is applied by what it is, so
    that the second time changes nothing.
    """
