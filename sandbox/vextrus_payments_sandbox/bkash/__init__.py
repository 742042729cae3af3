"""bKash Tokenized Checkout v1.2.0-beta in the sandbox: ``rules`` (what happens), ``api`` (the wire), ``pages``."""

from vextrus_payments_sandbox.bkash.gateway import BkashSandbox

__all__ = ["BkashSandbox"]
