"""Nagad's remote payment gateway 1.0, as far as public sources know it (the Nagad dossier, §14)."""

from vextrus_payments_sandbox.nagad.gateway import NagadSandbox

__all__ = ["NagadSandbox"]
