"""Whatever a payer types into SSLCommerz's page, and our own password, SSLCommerz may repeat in any text that it sends:
none of it is kept, logged or announced.

Each field is given a text of its own with a secret of its own in it, so a hit names the field.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateways.sslcommerz.hand import NOW, PASSWORD, STORE, notified, posted, sign
from tests.gateways.sslcommerz.little import Little, payments_over
from vextrus_payments import Money, PaymentRequest, PaymentsError, RefundRequest
from vextrus_payments.redaction import is_card_number
from vextrus_payments.testing import FakeClock

#: Every text of an attempt that decides nothing; the last one nobody has documented.
OF_AN_ATTEMPT = """
    card_type card_issuer card_brand card_sub_brand card_issuer_country card_issuer_country_code currency_rate base_fair
    value_a value_b value_c emi_instalment emi_amount emi_description emi_issuer account_details risk_title risk_level
    discount_amount discount_percentage discount_remarks gw_version bank_gw error validated_on card_no store_amount
    tran_date cus_fax nobody_documented_it
""".split()
ELSEWHERE = ["status", "failedreason", "store_name", "storeBanner", "desc", "errorReason", "refund_status"]
FIELDS = OF_AN_ATTEMPT + ELSEWHERE
#: What a notification signs, and may hold any text.
SIGNED_TEXTS = [
    "card_type",
    "card_issuer",
    "card_brand",
    "card_sub_brand",
    "card_issuer_country",
    "error",
    "risk_title",
]


def card(number: int) -> str:
    """The card number of that number."""
    body = f"4111{number * 1111 + 7:011d}"
    return next(body + digit for digit in "0123456789" if is_card_number(body + digit))


def spaced(number: int) -> str:
    return " ".join(card(number)[at : at + 4] for at in range(0, 16, 4))


#: A number -> a text, and what must not be found of it.
KINDS: dict[str, Callable[[int], tuple[str, str]]] = {
    "card": lambda n: (card(n), card(n)),
    "card in words": lambda n: (f"Card {card(n)} declined", card(n)),
    "card spaced": lambda n: (spaced(n), spaced(n)),
    "card dashed": lambda n: ((text := spaced(n).replace(" ", "-")), text),
    "card dotted": lambda n: ((text := spaced(n).replace(" ", ".")), text),
    "pin": lambda n: (f"PIN: 48{n:02d}", f": 48{n:02d}"),
    "otp": lambda n: (f"Your OTP is 9182{n:02d}", f"9182{n:02d}"),
    "otp first": lambda n: (f"9182{n:02d} is your OTP", f"9182{n:02d}"),
    "cvv": lambda n: (f"CVV 7{n:02d}", f"CVV 7{n:02d}"),
    "token": lambda n: ((text := f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{n:02d}.c2lnbmF0dXJl"), text),
    "opaque": lambda n: ((text := f"{n:02d}" + "deadbeef" * 4), text),
    "wallet": lambda n: (f"017706185{n:02d}", f"017706185{n:02d}"),
    "password": lambda n: (f"{n} {PASSWORD} {n}", PASSWORD),
    "password alone": lambda _: (PASSWORD, PASSWORD),
    "named password": lambda n: (f"password={n}letmein", f"{n}letmein"),
}


class Listening:
    """One Payments over a little SSLCommerz that repeats secrets, and everything that is left behind."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.texts = {field: KINDS[kind](number) for number, field in enumerate(FIELDS)}
        self.little, self.clock = Little(), FakeClock(NOW)
        self.left: list[Any] = []
        answer = self.little._answer

        def repeating(path: str, said: dict[str, str]) -> tuple[str, dict[str, Any]]:
            operation, body = answer(path, said)
            return operation, {**body, **self._repeated(operation)}

        self.little._answer = repeating  # type: ignore[method-assign]
        self.payments = payments_over(
            self.little,
            self.clock,
            store=f"sqlite:///{folder / 'shop.db'}",
            ledger=self._told,
            on_event=self._told,
        )

    async def _told(self, news: Any) -> None:
        self.left.append(news)

    def _repeated(self, operation: str) -> dict[str, str]:
        said = {field: text for field, (text, _) in self.texts.items()}
        if operation == "session":
            return {name: said[name] for name in ("failedreason", "store_name", "storeBanner", "desc")}
        if operation == "refund_query":
            return {"errorReason": said["errorReason"], "status": said["refund_status"]}
        return {"errorReason": said["errorReason"]} if operation == "refund" else {}

    def attempt(self, **more: str) -> dict[str, Any]:
        """The payer pays, and every text of it repeats something."""
        made = self.little.pay()
        made.update({field: self.texts[field][0] for field in OF_AN_ATTEMPT}, **more)
        return made

    async def tried(self, call: Any) -> None:
        try:
            self.left.append(await call)
        except PaymentsError as error:
            self.left.append([str(error), repr(error), vars(error)])

    async def open(self, reference: str) -> str:
        session = await self.payments.initialize(
            PaymentRequest(
                operation_id=reference,
                gateway="sslcommerz",
                amount=Money("100.00"),
                merchant_reference=reference,
            )
        )
        self.left.append(session)
        return session.payment_id

    async def post(self, fields: dict[str, str]) -> int:
        transport = httpx.ASGITransport(self.payments.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="https://shop.example") as client:
            kind = {"content-type": "application/x-www-form-urlencoded"}
            return (
                await client.post("/sslcommerz/webhook", content=posted(fields), headers=kind)
            ).status_code

    async def everything_kept(self, payment_id: str) -> None:
        await self.payments.deliver()
        self.left += [await self.payments.get(payment_id), await self.payments.history(payment_id)]

    def found(self, logged: str) -> dict[str, list[str]]:
        """Field -> where what it repeated is found."""
        kept = b"".join(file.read_bytes() for file in self.folder.glob("shop.db*")).decode("utf-8", "replace")
        # "%40" of a form, and "4111 1111" of whoever folds it
        places = {"store": kept, "results": f"{self.left!r}{[str(one) for one in self.left]}", "log": logged}
        hits: dict[str, list[str]] = {}
        for field, (_, secret) in self.texts.items():
            folded = "".join(letter for letter in secret if letter.isalnum()).lower()
            forms = {
                secret,
                json.dumps(secret)[1:-1],
                posted({"x": secret}).decode()[2:],
                *([folded] if len(folded) > 9 else []),
            }
            where = [name for name, text in places.items() if any(form in text for form in forms)]
            if where:
                hits[field] = where
        return hits


def logged(caplog: pytest.LogCaptureFixture) -> str:
    lines = [record.getMessage() + repr(record.__dict__) for record in caplog.records]
    assert any("/validator/api/" in line for line in lines), "nothing was logged: the test proves nothing"
    return "".join(lines)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_answers_repeat_is_found_nowhere(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop = Listening(tmp_path, kind)
    async with shop.payments:
        payment_id = await shop.open("INV-1")
        odd = shop.attempt(status=shop.texts["status"][0])
        await shop.tried(shop.payments.status(payment_id))
        await shop.tried(shop.payments.execute(payment_id))
        odd["status"] = "VALID"
        await shop.tried(shop.payments.status(payment_id))
        refund = RefundRequest(operation_id="r", payment_id=payment_id, amount=Money("40"))
        await shop.tried(shop.payments.refund(refund))
        await shop.tried(shop.payments.refund_status("r"))
        await shop.everything_kept(payment_id)
    assert {"session", "query", "validate", "refund", "refund_query"} <= set(shop.little.asked)
    assert shop.found(logged(caplog)) == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_nor_is_what_a_notification_repeats(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop = Listening(tmp_path, kind)
    async with shop.payments:
        payment_id = await shop.open("INV-1")
        made = shop.attempt()
        told = {name: str(made[name]) for name in ("tran_id", "val_id", "bank_tran_id", "value_d", "amount")}
        told |= {"currency_amount": told["amount"], "store_amount": "97.50"}
        told |= {name: shop.texts[name][0] for name in SIGNED_TEXTS}
        fields = sign({**notified(**told), "store_id": STORE})
        fields |= {name: shop.texts[name][0] for name in ("cus_fax", "nobody_documented_it")}
        assert await shop.post(fields) == 200
        await shop.payments.process_inbox()
        await shop.everything_kept(payment_id)
        facts = await shop.payments.get(payment_id)
        assert facts is not None and len(facts.receipts) == 1
    assert shop.found(logged(caplog)) == {}


@pytest.mark.parametrize("number", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"])
async def test_a_notification_with_the_whole_card_number_in_its_own_field(
    number: str, tmp_path: Path
) -> None:
    shop = Listening(tmp_path, "pin")
    async with shop.payments:
        payment_id = await shop.open("INV-1")
        made = shop.little.pay(card_no=number)
        assert await shop.post(shop.little.notification(made)) == 200
        await shop.payments.process_inbox()
        await shop.everything_kept(payment_id)
        facts = await shop.payments.get(payment_id)
        assert facts is not None and facts.receipts[0].payer_account is None
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("shop.db*")).decode("utf-8", "replace")
    for form in (number, number.replace(" ", "+"), "4111111111111111"):
        assert form not in kept and form not in repr(shop.left)


async def test_a_notification_that_repeats_nothing_is_kept_as_it_came(tmp_path: Path) -> None:
    shop = Listening(tmp_path, "card")
    async with shop.payments:
        await shop.open("INV-1")
        fields = shop.little.notification(shop.little.pay())
        assert await shop.post(fields) == 200
        await shop.payments.process_inbox()
        assert posted(fields) in b"".join(file.read_bytes() for file in tmp_path.glob("shop.db*"))
