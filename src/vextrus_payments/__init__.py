"""vextrus_payments."""
