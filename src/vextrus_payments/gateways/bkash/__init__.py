"""bKash."""
