"""Handing entries to the ledger and news to the listener: at least once, in order per subject.

A row is leased, handed over, and marked delivered; one that is not taken is offered again after a growing pause, and
set aside with an alarm when that goes on for too long or its taker says that it never will. Nothing here touches the
payer's path, and nothing is dropped.
"""

from vextrus_payments.outbox.alarms import AlarmCallback, AlarmKind, OutboxAlarm
from vextrus_payments.outbox.box import Outbox
from vextrus_payments.outbox.limits import OutboxLimits
from vextrus_payments.sink_port import EventCallback

__all__ = ["AlarmCallback", "AlarmKind", "EventCallback", "Outbox", "OutboxAlarm", "OutboxLimits"]
