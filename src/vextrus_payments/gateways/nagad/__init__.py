"""Nagad online payment (check-out API 1.0): payments and refunds."""
