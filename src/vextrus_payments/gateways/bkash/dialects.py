"""Every version of Tokenized Checkout that is spoken here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vextrus_payments.gateways.bkash.dialect import ApiVersion, Dialect
from vextrus_payments.gateways.bkash.v1_dialect import V1
from vextrus_payments.gateways.bkash.v2_dialect import V2

DIALECTS: Final[Mapping[ApiVersion, Dialect]] = MappingProxyType(
    {dialect.version: dialect for dialect in (V1, V2)}
)
