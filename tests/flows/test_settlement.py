"""From the payer's click to the bank: what the sandbox took is settled by a statement made from its own books."""

from datetime import timedelta
from pathlib import Path

from tests.flows.shop import Shop, shop_open
from vextrus_payments import Mode, Money, Refunded, RefundRequest, Side
from vextrus_payments.settlement import SettlementTerms
from vextrus_payments.settlement.words import DHAKA


async def statement_of(shop: Shop, folder: Path) -> Path:
    """The gateway's statement, from the sandbox's own books; refunds by the ids that we were told of."""
    day = shop.clock.now().astimezone(DHAKA).date()
    lines = ["transaction_id,kind,amount,fee,net,reference,occurred_on,settled_on"]
    for row in shop.server.world.as_books()["payments"]:
        fee = Money.from_minor(Money(row["captured"]).amount_minor * 185 // 10_000)
        net = Money(row["captured"]) - fee
        when = f"{row['invoice']},{day},{day + timedelta(days=1)}"
        lines.append(f"{row['transaction_id']},payment,{row['captured']},{fee.amount},{net.amount},{when}")
        for entry in shop.entries:
            if entry.kind == "payment.refunded" and entry.original_transaction_id == row["transaction_id"]:
                back = entry.postings[0].amount.amount
                lines.append(f"{entry.transaction_id},refund,{back},0,{back},{when}")
    path = folder / "statement.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def balance_of(shop: Shop, account: str) -> int:
    once = {entry.id: entry for entry in shop.entries}.values()
    return sum(
        posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
        for entry in once
        for posting in entry.postings
        if posting.account == account
    )


async def test_what_was_taken_is_settled_to_the_paisa(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop:
        for reference, amount in (("INV-1", "1250.50"), ("INV-2", "99.99"), ("INV-3", "700")):
            session = await shop.approved(reference, amount)
            await shop.payments.execute(session.payment_id)
            if reference == "INV-1":
                refund = RefundRequest(
                    operation_id="r1", payment_id=session.payment_id, amount=Money("250.50"), sku="item"
                )
                assert isinstance(await shop.payments.refund(refund), Refunded)
        await shop.payments.deliver()
        assert shop.clearing() == shop.gateway_holds() == Money("1799.99").amount_minor
        path = await statement_of(shop, tmp_path)
        for run in range(2):
            report = await shop.payments.settle_statement(
                "bkash", path, mode=Mode.SANDBOX, terms=SettlementTerms(apply=True)
            )
            assert report.agrees, report.findings
            assert (report.booked, report.already) == ((4, 0), (0, 4))[run]
            await shop.payments.deliver()
            assert shop.clearing() == 0, "all of it has left the gateway"
            assert balance_of(shop, "bank") + balance_of(shop, "gateway_fees:bkash") == shop.gateway_holds()
            assert balance_of(shop, "gateway_fees:bkash") == 2313 + 184 + 1295
