"""What nobody in his right mind sends to the sandbox's recurring platform is refused, never a fault of its own."""

import json

import pytest

from tests.sandbox.test_bkash_recurring import platform_open
from vextrus_payments.gateways.bkash.recurring.models import Frequency

ODD = (
    "http://[",
    "https://\ud800.example/",
    "https://a.example/\r\nX: y",
    "9999-12-31",
    "0001-01-01",
    "\ud800",
    0,
)


@pytest.mark.parametrize("field", ["redirectURL", "startDate", "expiryDate", "payer", "amount", "frequency"])
async def test_a_create_is_refused_or_has_a_page(field: str) -> None:
    async with platform_open() as platform:
        for number, value in enumerate(ODD):
            answer = await platform.create(f"Q-{number}", **{field: value})
            assert answer.status_code in (200, 400), (field, value)
            if answer.status_code == 200:
                page = await platform.client.get(json.loads(answer.content)["redirectURL"])
                assert page.status_code == 200


@pytest.mark.parametrize("frequency", list(Frequency))
async def test_no_schedule_leaves_the_calendar(frequency: Frequency) -> None:
    async with platform_open() as platform:
        for start in ("9999-12-31", "9998-01-01", "9990-12-01"):
            path = f"/api/subscription/payment/schedule?frequency={frequency}&startDate={start}&expiryDate="
            for expiry in ("9999-12-31", "9990-12-31"):
                answer = await platform.call("GET", path + expiry)
                assert answer.status_code in (200, 400), path + expiry
