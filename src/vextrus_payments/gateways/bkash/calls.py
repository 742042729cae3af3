"""Every call of both versions: how it is named, how its answer is read, what proves its success (dossier §10.8).

The proof is the field that must be there where bKash sent no code, and also where it did.
"""

from typing import Final

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.gateways.bkash.envelope import Call
from vextrus_payments.gateways.bkash.errors import Operation

# ------------------------------------------------------------------------------------ Tokenized v1.2.0-beta (§3, §4)

GRANT: Final = Call(Operation.GRANT, m.TokenAnswer, lambda a: bool(a.id_token))
REFRESH: Final = Call(Operation.REFRESH, m.TokenAnswer, lambda a: bool(a.id_token))
CREATE: Final = Call(Operation.CREATE, m.CreateAnswer, lambda a: bool(a.payment_id))
EXECUTE: Final = Call(
    Operation.EXECUTE, m.ExecuteAnswer, lambda a: bool(a.payment_id and a.transaction_status)
)
QUERY: Final = Call(
    Operation.QUERY,
    m.QueryAnswer,
    lambda a: bool(a.payment_id and (a.transaction_status or a.agreement_status)),
)
CAPTURE: Final = Call(
    Operation.CAPTURE, m.CaptureVoidAnswer, lambda a: bool(a.payment_id and a.transaction_status)
)
VOID: Final = Call(Operation.VOID, m.CaptureVoidAnswer, lambda a: bool(a.payment_id and a.transaction_status))
SEARCH: Final = Call(Operation.SEARCH, m.SearchAnswer, lambda a: bool(a.trx_id and a.transaction_status))
REFUND_V1: Final = Call(Operation.REFUND, m.RefundV1Answer, lambda a: bool(a.refund_trx_id))
REFUND_V2: Final = Call(
    Operation.REFUND, m.RefundV2Answer, lambda a: bool(a.refund_trx_id and a.refund_transaction_status)
)
REFUND_STATUS_V1: Final = Call(
    Operation.REFUND_STATUS,
    m.RefundStatusV1Answer,
    # Before any refund there is nothing but the code (§4.10).
    lambda a: bool(a.status_code or a.original_trx_id or a.refund_trx_id),
)
REFUND_STATUS_V2: Final = Call(
    Operation.REFUND_STATUS, m.RefundStatusV2Answer, lambda a: bool(a.original_trx_id)
)
AGREEMENT_CREATE: Final = Call(Operation.AGREEMENT_CREATE, m.CreateAnswer, lambda a: bool(a.payment_id))
AGREEMENT_EXECUTE: Final = Call(
    Operation.AGREEMENT_EXECUTE, m.ExecuteAnswer, lambda a: bool(a.payment_id and a.agreement_status)
)
AGREEMENT_STATUS: Final = Call(
    Operation.AGREEMENT_STATUS, m.AgreementAnswer, lambda a: bool(a.agreement_id and a.agreement_status)
)
AGREEMENT_CANCEL: Final = Call(
    Operation.AGREEMENT_CANCEL, m.AgreementAnswer, lambda a: bool(a.agreement_id and a.agreement_status)
)

# ----------------------------------------------------------------------------------------------- Tokenized v2 (§5)

V2_CREATE: Final[Call[m.CreateAnswer]] = Call(Operation.CREATE, v2.CreateAnswer, lambda a: bool(a.payment_id))
V2_EXECUTE: Final[Call[m.ExecuteAnswer]] = Call(
    Operation.EXECUTE, v2.ExecuteAnswer, lambda a: bool(a.payment_id and a.transaction_status)
)
V2_QUERY: Final[Call[m.QueryAnswer]] = Call(
    Operation.QUERY, v2.QueryAnswer, lambda a: bool(a.payment_id and a.transaction_status)
)
V2_SEARCH: Final[Call[m.SearchAnswer]] = Call(
    Operation.SEARCH, v2.SearchAnswer, lambda a: bool(a.trx_id and a.transaction_status)
)
# An agreement has its id from its create on, and is known by nothing else.
V2_AGREEMENT_CREATE: Final[Call[m.CreateAnswer]] = Call(
    Operation.AGREEMENT_CREATE, v2.CreateAnswer, lambda a: bool(a.agreement_id)
)
V2_AGREEMENT_EXECUTE: Final[Call[m.ExecuteAnswer]] = Call(
    Operation.AGREEMENT_EXECUTE, v2.ExecuteAnswer, lambda a: bool(a.agreement_id and a.agreement_status)
)
V2_AGREEMENT_LOOK_UP: Final[Call[m.QueryAnswer]] = Call(
    Operation.AGREEMENT_STATUS, v2.QueryAnswer, lambda a: bool(a.agreement_id and a.agreement_status)
)
V2_AGREEMENT_STATUS: Final[Call[m.AgreementAnswer]] = Call(
    Operation.AGREEMENT_STATUS, v2.AgreementAnswer, lambda a: bool(a.agreement_id and a.agreement_status)
)
V2_AGREEMENT_CANCEL: Final[Call[m.AgreementAnswer]] = Call(
    Operation.AGREEMENT_CANCEL, v2.AgreementAnswer, lambda a: bool(a.agreement_id and a.agreement_status)
)
