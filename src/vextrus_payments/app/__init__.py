"""`Payments`, the public face: payments.py is what a host calls, tenant.py holds the verbs, single.py spares a tenant;
wiring.py puts the parts together, opening.py opens and closes them, standing.py measures how they stand."""

from vextrus_payments.app.payments import Payments
from vextrus_payments.app.tenant import TenantPayments

__all__ = ["Payments", "TenantPayments"]
