"""Reconciliation: whatever is open is looked at until its end is known, by workers and on demand.

steps.py reads off the facts what is due (pure); looking.py does it for one payment; lanes.py keeps the manners per
tenant and gateway; worker.py takes what is due from the store; since.py goes through a restored backup.
"""

from vextrus_payments.reconcile.limits import ReconcileLimits
from vextrus_payments.reconcile.looking import Ports, Recovery
from vextrus_payments.reconcile.report import OnEach, Problem, Reconciled, ReconcileReport
from vextrus_payments.reconcile.steps import Action, Step, asked_for, next_agreement_step, next_step
from vextrus_payments.reconcile.worker import SEEN_MARK, Reconciler

__all__ = [
    "SEEN_MARK",
    "Action",
    "OnEach",
    "Ports",
    "Problem",
    "ReconcileLimits",
    "ReconcileReport",
    "Reconciled",
    "Reconciler",
    "Recovery",
    "Step",
    "asked_for",
    "next_agreement_step",
    "next_step",
]
