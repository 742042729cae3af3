"""`Payments` for code that blocks: Django, Flask, Celery, scripts.

The same verbs with the same signatures as `vextrus_payments.Payments`, without `await`; callbacks may be plain
functions. The work is done by the async engine on one event loop in a thread of its own, shared by the whole process.
"""

from vextrus_payments.sync.facade import Payments
from vextrus_payments.sync.verbs import TenantPayments

__all__ = ["Payments", "TenantPayments"]
