"""The shop's own tables: its orders, and the journal that payments are booked to."""

from django.db import models


class Order(models.Model):
    paid = models.BooleanField(default=False)

    class Meta:
        app_label = "shop"

    @property
    def invoice(self) -> str:
        return f"INV-{self.pk}"


class JournalLine(models.Model):
    entry_id = models.CharField(max_length=100)
    account = models.CharField(max_length=100)
    side = models.CharField(max_length=10)
    amount = models.DecimalField(max_digits=14, decimal_places=2)

    class Meta:
        app_label = "shop"
        constraints = [models.UniqueConstraint(fields=["entry_id", "account", "side"], name="entry_once")]
