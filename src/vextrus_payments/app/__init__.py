"""`Payments`, the public face: payments.py puts it together, tenant.py holds the verbs, single.py spares a tenant."""

from vextrus_payments.app.payments import Payments
from vextrus_payments.app.tenant import TenantPayments

__all__ = ["Payments", "TenantPayments"]
