"""What gateways post by themselves: a state file of before the queues were one is still read, whole."""

from collections.abc import Callable
from typing import Any

import pytest

from vextrus_payments_sandbox.bkash_recurring import posting
from vextrus_payments_sandbox.bkash_recurring.records import Merchant
from vextrus_payments_sandbox.sslcommerz import ipn
from vextrus_payments_sandbox.state.codec import Codec

MERCHANT = Merchant(name="sandbox")
_NAMED: tuple[Callable[[Any], str], Callable[[str], object | None]] = (
    lambda one: one.name,
    {MERCHANT.name: MERCHANT}.get,
)
MESSAGE = (
    '{"number": 7, "kind": "PAYMENT", "merchant": "sandbox", "reference": "41", "transaction_id": "AB12CD34EF", '
    '"fields": "{\\"trxId\\":\\"AB12CD34EF\\"}", "due_at": "2026-03-12T10:41:09.120000+00:00", '
    '"fault": "webhook_delayed", "skew_s": 2.5}'
)
IPN = (
    '{"number": 3, "reference": "S-1", "url": "http://127.0.0.1:9/ipn", "fields": {"status": "VALID", '
    '"val_id": "260312104109x"}, "due_at": "2026-03-12T10:41:09.120000+00:00", "fault": ""}'
)


@pytest.mark.parametrize(("wanted", "line"), [(posting.Message, MESSAGE), (ipn.Ipn, IPN)])
def test_a_message_of_an_earlier_release_comes_back_and_is_written_as_it_was(
    wanted: type[Any], line: str
) -> None:
    codec = Codec({Merchant: _NAMED})
    assert codec.text(codec.thing(wanted, line)) == line
